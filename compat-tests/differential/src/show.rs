//! A script as a person reads it.

use std::fmt;

use crate::normal::readable;
use crate::script::{Connect, Cut, Field, Part, Request, Script, Step, Zxid};

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            write!(formatter, "step {number}: {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(connect) => write!(formatter, "{connect}"),
            Self::Batch { on, requests } => {
                writeln!(formatter, "connection {on}")?;
                all(requests, formatter)
            }
            Self::Drop(label) => writeln!(formatter, "connection {label} is closed by the client"),
            Self::Expire { of, server } => {
                writeln!(formatter, "the session of {of} expires on server {server}")
            }
            Self::Collect(count) => writeln!(formatter, "{count} znodes are collected"),
        }
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            label,
            server,
            version,
            last_zxid,
            timeout,
            session_of,
            password,
            read_only,
            cut,
            behind,
        } = self;
        write!(formatter, "connection {label} to server {server}")?;
        match session_of {
            Some(of) => write!(formatter, ", session of {of}")?,
            None => write!(formatter, ", new session")?,
        }
        writeln!(
            formatter,
            ", version={version} lastZxidSeen={last_zxid} timeOut={timeout} \
             passwd={password:?} readOnly={read_only:?}{cut}"
        )?;
        all(behind, formatter)
    }
}

fn all(requests: &[Request], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    requests
        .iter()
        .try_for_each(|request| writeln!(formatter, "   {request}"))
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Op {
                xid,
                opcode,
                body,
                cut,
            } => {
                let name = name(*opcode);
                write!(
                    formatter,
                    "{name} ({opcode}) xid={xid}{}{cut}",
                    Fields(body)
                )
            }
            Self::Frame { length, payload } => {
                let bytes = payload.len();
                write!(formatter, "a frame of length {length} with {bytes} zeros")
            }
        }
    }
}

struct Fields<'a>(&'a [Field]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Field { name, part } in self.0 {
            write!(formatter, " {name}=")?;
            match part {
                Part::Byte(value) => write!(formatter, "{value}")?,
                Part::Int(value) => write!(formatter, "{value}")?,
                Part::Long(value) => write!(formatter, "{value}")?,
                Part::Zxid(zxid) => write!(formatter, "{zxid}")?,
                Part::Text(text) => write!(formatter, "{}", readable(text.as_deref()))?,
                Part::Vector(records) | Part::Sequence(records) => {
                    write!(formatter, "[")?;
                    for (index, record) in records.iter().enumerate() {
                        let comma = if index == 0 { "" } else { "," };
                        write!(formatter, "{comma}{}", Fields(record))?;
                    }
                    write!(formatter, " ]")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(zxid) => write!(formatter, "{zxid}"),
            Self::Base(more) => write!(formatter, "base+{more}"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Short(fewer) => write!(formatter, " {fewer} bytes short"),
            Self::Long(more) => write!(formatter, " and {more} bytes more"),
        }
    }
}

/// ZooKeeper's name of an opcode.
fn name(opcode: i32) -> &'static str {
    match opcode {
        1 => "create",
        2 => "delete",
        3 => "exists",
        4 => "getData",
        5 => "setData",
        6 => "getACL",
        7 => "setACL",
        8 => "getChildren",
        9 => "sync",
        11 => "ping",
        12 => "getChildren2",
        13 => "check",
        14 => "multi",
        15 => "create2",
        16 => "reconfig",
        17 => "checkWatches",
        18 => "removeWatches",
        19 => "createContainer",
        20 => "deleteContainer",
        21 => "createTTL",
        22 => "multiRead",
        100 => "auth",
        101 => "setWatches",
        102 => "sasl",
        103 => "getEphemerals",
        104 => "getAllChildrenNumber",
        105 => "setWatches2",
        106 => "addWatch",
        107 => "whoAmI",
        -10 => "createSession",
        -11 => "closeSession",
        _ => "unknown",
    }
}
