//! The driver's shell channel to PID 1 of a machine. A frame is the length of its header in four bytes, big end first,
//! the header, and as many bytes as the header's `body` says.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// Longest header of a frame, bytes.
const HEADER_MAX: usize = 1 << 20;

/// What every header has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Head<T> {
    /// Number of the request, also in its reply.
    pub id: Option<u64>,
    /// What is said.
    #[serde(flatten)]
    pub content: T,
    /// Length of what follows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub body: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_zero(size: &u64) -> bool {
    *size == 0
}

/// What the driver wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Request {
    /// A sign of life.
    Ping,
    /// Runs the body by bash.
    Execute {
        /// Limit, seconds.
        timeout: Option<f64>,
    },
    /// Tries to connect.
    Tcp {
        /// Name or address.
        addr: String,
        /// Port.
        port: u16,
    },
    /// Tries to connect.
    Unix {
        /// The socket.
        path: String,
        /// Whether it takes datagrams.
        datagram: bool,
    },
}

/// What PID 1 answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// It is there.
    Pong {},
    /// The command has ended; the body is its output.
    Ended {
        /// Exit status.
        status: i32,
    },
    /// Of an attempt to connect.
    Tried {
        /// Whether it worked.
        open: bool,
    },
    /// The request could not be served.
    Error {
        /// Why.
        error: String,
    },
}

/// A request as it came: its number, what it wants or what is wrong with it, and its body.
pub type Received = (Option<u64>, Result<Request, String>, Vec<u8>);

/// Of a request that is not known, number and length are.
#[derive(Default, Deserialize)]
struct Nothing {}

/// Reads one frame. `None` at the end.
pub fn read(from: &mut impl Read) -> Option<Received> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|n| *n <= HEADER_MAX)?;
    let mut text = vec![0; length];
    from.read_exact(&mut text).ok()?;
    let Head { id, body: size, .. } = serde_json::from_slice::<Head<Nothing>>(&text).unwrap_or_default();
    let request = serde_json::from_slice::<Head<Request>>(&text).map(|head| head.content).map_err(|e| e.to_string());
    let mut body = Vec::new();
    let read = from.take(size).read_to_end(&mut body).ok()?;
    (read as u64 == size).then_some((id, request, body))
}

/// Writes one frame.
pub fn write(to: &mut impl Write, id: Option<u64>, reply: Reply, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(&Head { id, content: reply, body: body.len() as u64 })?;
    let length = u32::try_from(header.len()).map_err(io::Error::other)?.to_be_bytes();
    to.write_all(&[&length, header.as_slice()].concat())?;
    to.write_all(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_a_length_a_header_and_a_body() {
        let header = br#"{"id":1,"op":"execute","timeout":null,"body":3}"#;
        let bytes = [&[0, 0, 0, 47], &header[..], b"abcrest"].concat();
        let mut from = &bytes[..];
        let read = read(&mut from).unwrap();
        assert_eq!((read, from), ((Some(1), Ok(Request::Execute { timeout: None }), b"abc".to_vec()), &b"rest"[..]));
    }

    #[test]
    fn what_is_not_known_is_answered_and_loses_no_place() {
        let header = br#"{"id":7,"op":"dance","body":3}"#;
        let bytes = [&[0, 0, 0, 30], &header[..], b"abcrest"].concat();
        let mut from = &bytes[..];
        let (id, request, body) = read(&mut from).unwrap();
        assert_eq!((id, body.as_slice(), from), (Some(7), &b"abc"[..], &b"rest"[..]));
        assert!(request.unwrap_err().contains("`dance`"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&mut &bytes[..]);
        }
    }
}
