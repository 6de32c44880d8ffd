//! Every connection of the server, and how many there may be.
//!
//! Invariant: a slot names one connection from its admission to its release, and the core releases
//! it only when nothing of it is on its way any more.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ox_session::ClientId;
use parking_lot::Mutex;
use slab::Slab;

use crate::client::Client;
use crate::clock::wall_ms;

/// A port for clients. Connections are counted for each by itself, as by Java's two factories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Port {
    /// `clientPort`.
    Plain,
    /// `secureClientPort`: TLS and nothing else.
    Secure,
}

/// How many connections there may be at one port; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// From one address (`maxClientCnxns`).
    pub(crate) per_address: usize,
    /// In all (`maxCnxns`).
    pub(crate) in_all: usize,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Its address has this many already.
    PerAddress(usize),
    /// There are this many already.
    InAll(usize),
}

/// The table of connections.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: ConnectionLimits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    slots: Slab<Option<Arc<Client>>>,
    by_address: HashMap<(Port, IpAddr), usize>,
    open: HashMap<Port, usize>,
}

impl Clients {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            table: Mutex::default(),
        }
    }

    /// Gives a new connection its name.
    pub(crate) fn admit(&self, port: Port, address: SocketAddr) -> Result<Arc<Client>, Rejected> {
        let mut table = self.table.lock();
        let (per_address, in_all) = (self.limits.per_address, self.limits.in_all);
        let open = *table.open.entry(port).or_default();
        if in_all > 0 && open >= in_all {
            return Err(Rejected::InAll(open));
        }
        let of_address = table.by_address.entry((port, address.ip())).or_default();
        if per_address > 0 && *of_address >= per_address {
            return Err(Rejected::PerAddress(*of_address));
        }
        *of_address += 1;
        table.open.insert(port, open + 1);
        let slot = table.slots.vacant_entry();
        let id = ClientId(u32::try_from(slot.key()).expect("fewer connections than 2^32"));
        let client = Arc::new(Client::new(id, address, port, wall_ms()));
        slot.insert(Some(Arc::clone(&client)));
        Ok(client)
    }

    /// The connection has ended; its name stays taken until [`release`](Self::release).
    pub(crate) fn ended(&self, client: &Client) {
        let mut table = self.table.lock();
        table.slots[slot(client.id)] = None;
        if let Some(open) = table.open.get_mut(&client.port) {
            *open -= 1;
        }
        let address = (client.port, client.address.ip());
        if let Some(count) = table.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                table.by_address.remove(&address);
            }
        }
    }

    /// The name of a connection that has ended is free again.
    pub(crate) fn release(&self, id: ClientId) {
        self.table.lock().slots.remove(slot(id));
    }

    /// All open connections, oldest slot first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let table = self.table.lock();
        table
            .slots
            .iter()
            .filter_map(|(_, client)| client.clone())
            .collect()
    }
}

fn slot(id: ClientId) -> usize {
    usize::try_from(id.0).expect("a slot is an index")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 4000))
    }

    #[test]
    fn limits_are_per_address_and_in_all() {
        let clients = Clients::new(ConnectionLimits {
            per_address: 1,
            in_all: 2,
        });
        let first = clients.admit(Port::Plain, address(1)).unwrap();
        assert_eq!(
            clients.admit(Port::Plain, address(1)).unwrap_err(),
            Rejected::PerAddress(1)
        );
        clients.admit(Port::Plain, address(2)).unwrap();
        assert_eq!(
            clients.admit(Port::Plain, address(3)).unwrap_err(),
            Rejected::InAll(2)
        );
        clients.admit(Port::Secure, address(1)).unwrap();
        clients.ended(&first);
        clients.admit(Port::Plain, address(1)).unwrap();
    }

    #[test]
    fn a_name_is_not_given_again_before_its_release() {
        let clients = Clients::new(ConnectionLimits {
            per_address: 0,
            in_all: 0,
        });
        let first = clients.admit(Port::Plain, address(1)).unwrap();
        clients.ended(&first);
        assert_ne!(clients.admit(Port::Plain, address(1)).unwrap().id, first.id);
        clients.release(first.id);
        assert_eq!(clients.admit(Port::Plain, address(1)).unwrap().id, first.id);
        assert_eq!(clients.all().len(), 2);
    }
}
