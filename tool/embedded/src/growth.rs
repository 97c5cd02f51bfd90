//! What is too much for the readers of the soft IOC. They need the square of a line's length, a frame of the stack for each bracket
//! within brackets, and twice the work where a file includes others twice. Nobody's files come near.

/// Bytes of a line.
pub const LONGEST: usize = 1 << 20;
/// Brackets within brackets.
const BRACKETS: usize = 100;
/// Bytes that may come of one database or script with all that they include, and those that each file counts for, were it empty.
pub const LARGEST: usize = 64 << 20;
const FILE: usize = 4096;

/// What is left of [`LARGEST`].
#[derive(Debug)]
pub struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(LARGEST)
    }
}

impl Room {
    /// Whether there is room for one more file.
    pub fn takes_file(&mut self) -> bool {
        self.takes(FILE)
    }

    /// Whether there is room for one more script. Its lines take longer than those of databases.
    pub fn takes_script(&mut self, bytes: usize) -> bool {
        self.takes(bytes.saturating_add(FILE).saturating_mul(4))
    }

    /// Whether there is room for so many bytes.
    pub fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Where there is too much of what: the number of the line.
pub type Beyond = (usize, String);

/// A line that is too long, or brackets that are too deep. Those of macros, in texts and in comments end with their line.
pub fn lines(text: &[u8]) -> Option<Beyond> {
    let mut depth = 0_usize;
    for (line, own) in text.split(|byte| *byte == b'\n').enumerate().map(|(at, own)| (at + 1, own)) {
        if own.len() > LONGEST {
            return Some((line, format!("this line has {} bytes: the soft IOC reads up to {LONGEST}", own.len())));
        }
        let (mut here, mut in_text, mut comment) = (0_usize, false, false);
        for &byte in own {
            comment |= byte == b'#' && !in_text;
            let level = if in_text || comment || b"()".contains(&byte) { &mut here } else { &mut depth };
            match byte {
                b'"' => in_text = !in_text,
                b'[' | b'{' | b'(' => *level += 1,
                b']' | b'}' | b')' => *level = level.saturating_sub(1),
                _ => {}
            }
            if depth.max(here) > BRACKETS {
                return Some((
                    line,
                    format!("more than {BRACKETS} brackets within brackets: the soft IOC reads no more"),
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn files_are_counted_though_they_are_empty() {
        let mut room = Room::default();
        assert!((0..10_000).all(|_| room.takes_file()));
        assert!(!(0..10_000).all(|_| room.takes_file()));
        assert!(!room.takes(1));
        let mut room = Room::default();
        assert!((0..2000).all(|_| room.takes_script(1000)) && !(0..2000).all(|_| room.takes_script(10_000)));
    }
}
