//! The answers within a multi. Source: client-protocol.md 5.1.

use bytes::Bytes;
use ox_jute::{DecodeError, Decoder, Jute};
use ox_proto::{
    Create2Response, CreateResponse, ErrorCode, ErrorResponse, GetChildrenResponse,
    GetDataResponse, MultiHeader, OpCode, Stat, StatResponse,
};

/// What became of one operation of a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The path that was made.
    Create(String),
    /// The path that was made, and its stat.
    Create2(String, Stat),
    /// Deleted.
    Delete,
    /// The stat after it, at that point within the multi.
    SetData(Stat),
    /// The version matched.
    Check,
    /// Data and stat.
    GetData(Option<Bytes>, Stat),
    /// The children's names.
    GetChildren(Vec<String>),
    /// Why it failed; [`ErrorCode::Ok`] for one that was undone because a later one failed, and
    /// [`ErrorCode::RuntimeInconsistency`] for those after that one.
    Error(ErrorCode),
}

impl OpResult {
    /// Reads a whole answer.
    pub(crate) fn decode_all(input: &mut Decoder<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut results = Vec::new();
        loop {
            let header = MultiHeader::decode(input)?;
            if header.done {
                return Ok(results);
            }
            results.push(Self::decode(header.r#type, input)?);
        }
    }

    fn decode(code: i32, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match OpCode::from_code(code) {
            Some(OpCode::Create) => Self::Create(CreateResponse::decode(input)?.path),
            Some(OpCode::Create2) => {
                let Create2Response { path, stat } = Jute::decode(input)?;
                Self::Create2(path, stat)
            }
            Some(OpCode::Delete) => Self::Delete,
            Some(OpCode::SetData) => Self::SetData(StatResponse::decode(input)?.stat),
            Some(OpCode::Check) => Self::Check,
            Some(OpCode::GetData) => {
                let GetDataResponse { data, stat } = Jute::decode(input)?;
                Self::GetData(data, stat)
            }
            Some(OpCode::GetChildren) => {
                Self::GetChildren(GetChildrenResponse::decode(input)?.children)
            }
            Some(OpCode::Error) => {
                let ErrorResponse { err } = Jute::decode(input)?;
                Self::Error(ErrorCode::from_code(err).ok_or(DecodeError::Value(err))?)
            }
            _ => return Err(DecodeError::Value(code)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(r#type: i32) -> MultiHeader {
        MultiHeader {
            r#type,
            done: false,
            err: 0,
        }
    }

    #[test]
    fn every_kind_of_result_is_read_up_to_the_end_mark() {
        let stat = Stat {
            version: 3,
            ..Stat::default()
        };
        let mut bytes = Vec::new();
        header(15).encode(&mut bytes);
        Create2Response {
            path: "/a".into(),
            stat: stat.clone(),
        }
        .encode(&mut bytes);
        header(2).encode(&mut bytes);
        header(-1).encode(&mut bytes);
        ErrorResponse { err: -101 }.encode(&mut bytes);
        MultiHeader::END.encode(&mut bytes);
        let results = OpResult::decode_all(&mut Decoder::new(&bytes));
        assert_eq!(
            results,
            Ok(vec![
                OpResult::Create2("/a".into(), stat),
                OpResult::Delete,
                OpResult::Error(ErrorCode::NoNode),
            ])
        );
    }

    #[test]
    fn an_answer_without_an_end_mark_is_refused() {
        let mut bytes = Vec::new();
        header(2).encode(&mut bytes);
        let results = OpResult::decode_all(&mut Decoder::new(&bytes));
        assert_eq!(results, Err(DecodeError::End));
    }
}
