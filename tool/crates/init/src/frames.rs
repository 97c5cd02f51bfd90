//! What processes of a machine say to its journal, as bytes: it may be anything (`tool/fuzz` tries).

/// Longest message that stays whole, bytes; journald's `LineMax=`.
const LINE_MAX: usize = 48 * 1024;

/// Takes `<N>` from the head of a message.
pub fn take_priority(message: &[u8]) -> (Option<u32>, &[u8]) {
    let number = message.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().take(5).position(|b| *b == b'>')?;
        let number = std::str::from_utf8(&rest[..end]).ok()?.parse::<u32>().ok()?;
        Some((number, &rest[end + 1..]))
    });
    number.map_or((None, message), |(number, rest)| (Some(number), rest))
}

/// Cuts a stream of bytes into messages: at newlines, and where one grows too long.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Adds bytes and returns the messages that are complete, without the blanks at their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut done = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n' || *b == 0) {
            let (piece, ends) = match piece {
                [head @ .., b'\n' | 0] => (head, true),
                _ => (piece, false),
            };
            self.rest.extend_from_slice(piece);
            while self.rest.len() > LINE_MAX {
                let tail = self.rest.split_off(LINE_MAX);
                done.push(std::mem::replace(&mut self.rest, tail));
            }
            if ends {
                let line = std::mem::take(&mut self.rest);
                done.push(line.trim_ascii_end().to_vec());
            }
        }
        done
    }

    /// What came after the last newline.
    pub fn finish(self) -> Option<Vec<u8>> {
        let line = self.rest.trim_ascii_end();
        (!line.is_empty()).then(|| line.to_vec())
    }
}

/// A message to `/dev/log`.
pub struct Syslog<'a> {
    /// Facility and severity.
    pub priority: u32,
    /// Who speaks.
    pub identifier: Option<String>,
    /// Its process, as it says.
    pub pid: Option<String>,
    /// What is said.
    pub message: &'a [u8],
}

/// `<13>Nov 23 12:00:00 tag[12]: text`, and the form of RFC 5424.
pub fn syslog(datagram: &[u8]) -> Syslog<'_> {
    let datagram = datagram.strip_suffix(b"\n").or_else(|| datagram.strip_suffix(b"\0")).unwrap_or(datagram);
    let (priority, rest) = take_priority(datagram);
    let priority = priority.unwrap_or(13);
    if let Some(rest) = rest.strip_prefix(b"1 ") {
        let mut words = rest.splitn(6, |b| *b == b' ').map(|w| String::from_utf8_lossy(w).into_owned());
        let (_, _, tag, pid) = (words.next(), words.next(), words.next(), words.next());
        let known = |word: Option<String>| word.filter(|w| w != "-");
        let body = rest.splitn(6, |b| *b == b' ').nth(5).unwrap_or_default();
        return Syslog { priority, identifier: known(tag), pid: known(pid), message: structured_data(body) };
    }
    let head =
        rest.get(..16).is_some_and(|h| h[3] == b' ' && h[6] == b' ' && h[9] == b':' && h[12] == b':' && h[15] == b' ');
    let rest = if head { &rest[16..] } else { rest };
    let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
    let Some(tag) = rest[..end].strip_suffix(b":").filter(|t| !t.is_empty()) else {
        return Syslog { priority, identifier: None, pid: None, message: rest };
    };
    let tag = String::from_utf8_lossy(tag);
    let (identifier, pid) = match tag.split_once('[') {
        Some((name, pid)) => (name.to_owned(), Some(pid.trim_end_matches(']').to_owned())),
        None => (tag.into_owned(), None),
    };
    Syslog { priority, identifier: Some(identifier), pid, message: rest.get(end + 1..).unwrap_or_default() }
}

/// Drops the structured data in front of a message: `-` or `[…]`.
fn structured_data(body: &[u8]) -> &[u8] {
    let end = match body.first() {
        Some(b'[') => body.windows(2).position(|w| w == b"] ").map_or(body.len(), |at| at + 2),
        Some(b'-') => 2,
        _ => 0,
    };
    body.get(end..).unwrap_or_default()
}

/// `KEY=value` lines, or `KEY`, newline, length in 8 bytes, value, newline.
pub fn native(mut rest: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        if let Some(at) = line.iter().position(|b| *b == b'=') {
            fields.push((String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec()));
            continue;
        }
        let Some((length, tail)) = rest.split_first_chunk::<8>() else { break };
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some(value) = tail.get(..length) else { break };
        fields.push((String::from_utf8_lossy(line).into_owned(), value.to_vec()));
        rest = tail.get(length + 1..).unwrap_or_default();
    }
    fields
}

/// What the first seven lines of a stream say.
pub struct Heading<'a> {
    /// Who speaks.
    pub identifier: String,
    /// The unit, as it says.
    pub unit: String,
    /// Priority of lines that name none.
    pub priority: u32,
    /// Lines may begin with `<N>`.
    pub level_prefix: bool,
    /// What follows.
    pub body: &'a [u8],
}

/// Seven lines say what a stream is: identifier, unit, priority, level prefix, three switches.
pub fn heading(bytes: &[u8]) -> Heading<'_> {
    let mut parts = bytes.splitn(8, |b| *b == b'\n');
    let mut next = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (identifier, unit, priority, prefix) = (next(), next(), next(), next());
    let (priority, level_prefix) = (priority.parse().unwrap_or(6), prefix == "1");
    Heading { identifier, unit, priority, level_prefix, body: parts.nth(3).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn syslog_of_logger() {
        let entry = syslog(b"<13>Nov 23 12:00:00 cftag[12]: hello there");
        assert_eq!(
            (entry.priority, entry.identifier.as_deref(), entry.message),
            (13, Some("cftag"), &b"hello there"[..])
        );
        let entry = syslog(b"<14>1 2026-11-23T12:00:00+00:00 host tag 12 - [a b=\"c\"] hello");
        assert_eq!(
            (entry.identifier.as_deref(), entry.pid.as_deref(), entry.message),
            (Some("tag"), Some("12"), &b"hello"[..])
        );
        assert_eq!(syslog(b"plain text").message, b"plain text");
    }

    #[test]
    fn native_entries() {
        let datagram = b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n";
        assert_eq!(native(datagram), [("MESSAGE".into(), b"a\nb".to_vec()), ("PRIORITY".into(), b"3".to_vec())]);
    }

    #[test]
    fn priorities() {
        assert_eq!(take_priority(b"<3>bad"), (Some(3), &b"bad"[..]));
        assert_eq!(take_priority(b"<x>bad"), (None, &b"<x>bad"[..]));
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = syslog(&bytes).message;
            let _ = native(&bytes);
        }

        #[test]
        fn however_a_stream_is_cut_the_lines_are_the_same(text in "[ab\n]{0,40}", cut in 0_usize..40) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let mut lines = Lines::default();
            let mut got = lines.push(head);
            got.extend(lines.push(tail));
            got.extend(lines.finish());
            let want: Vec<Vec<u8>> = text.lines().map(|l| l.as_bytes().to_vec()).collect();
            prop_assert_eq!(got, want);
        }
    }
}
