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

/// Whose lines they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The shell's, or `msi`'s: only macros stand within each other.
    Plain,
    Database,
    Protocol,
}

/// A line that is too long, or brackets that are too deep: those of macros on a line, and outside of texts and comments those
/// in which values and blocks of a file stand.
pub fn lines(text: &[u8], kind: Kind) -> Option<Beyond> {
    let mut depth = 0_usize;
    for (line, own) in text.split(|byte| *byte == b'\n').enumerate().map(|(at, own)| (at + 1, own)) {
        if own.len() > LONGEST {
            return Some((line, format!("this line has {} bytes: the soft IOC reads up to {LONGEST}", own.len())));
        }
        if kind == Kind::Plain || kind == Kind::Database && starts_record(own) {
            depth = 0;
        }
        let (mut macros, mut quote, mut comment, mut before, mut lone) = (0_usize, 0, false, 0, Vec::new());
        for (at, &byte) in own.iter().enumerate() {
            let plain = quote == 0 && !comment;
            let escaped = before == b'\\' && quote != 0;
            match byte {
                _ if escaped => {}
                b'(' | b'{' if before == b'$' => macros += 1,
                b')' | b'}' => macros = macros.saturating_sub(1),
                // One that nothing closes on its line is no text, and the readers go on behind it.
                b'"' | b'\'' if plain && !lone.contains(&byte) => {
                    if closes(&own[at + 1..], byte) {
                        quote = byte;
                    } else {
                        lone.push(byte);
                    }
                }
                b'#' if plain => comment = true,
                _ if byte == quote => quote = 0,
                _ => {}
            }
            match byte {
                b'[' | b'{' if plain => depth += 1,
                b']' | b'}' if plain => depth = depth.saturating_sub(1),
                _ => {}
            }
            if macros > BRACKETS || depth > BRACKETS && kind != Kind::Plain {
                let what = format!(
                    "more than {BRACKETS} brackets are open here: the soft IOC reads no more within each other"
                );
                return Some((line, what));
            }
            before = if escaped { 0 } else { byte };
        }
    }
    None
}

fn closes(text: &[u8], quote: u8) -> bool {
    let mut escaped = false;
    text.iter().any(|byte| {
        let closes = *byte == quote && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })
}

/// What stands open before it is closed no better.
fn starts_record(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let rest = line.strip_prefix(b"record").or_else(|| line.strip_prefix(b"grecord"));
    rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_bound() {
        for (length, told) in [(LONGEST, None), (LONGEST + 1, Some(2))] {
            assert_eq!(lines(format!("\n{}\n", "a".repeat(length)).as_bytes(), Kind::Plain).map(|own| own.0), told);
        }
    }

    #[test]
    fn brackets_are_those_of_a_files_own_words() {
        let told = |text: &str, kind| lines(text.as_bytes(), kind).map(|own| own.0);
        for (kind, line) in [
            (Kind::Database, "# {\n"),
            (Kind::Database, "#record(ai, \"X\") {\n"),
            (Kind::Database, "record(ai, X[0) {\n"),
            (Kind::Database, "  field(DESC, \"a\\\"{[\")\n"),
            (Kind::Database, "field(INP, {a:'['})\n"),
            (Kind::Protocol, "f { out ESC '[2J' \"${\"; } # {\n"),
            (Kind::Plain, "echo '{' [ {\n"),
            (Kind::Plain, "# file x {\n"),
        ] {
            assert_eq!(told(&line.repeat(300), kind), None, "{line}");
        }
        for (kind, deep) in [
            (Kind::Plain, "$("),
            (Kind::Plain, "\"${'"),
            (Kind::Plain, "# $(A="),
            (Kind::Database, "["),
            (Kind::Database, "{a:"),
            (Kind::Protocol, "{'['"),
        ] {
            assert_eq!(told(&format!("\n{}", deep.repeat(BRACKETS)), kind), None, "{deep}");
            assert_eq!(told(&format!("\n{}", deep.repeat(BRACKETS + 1)), kind), Some(2), "{deep}");
        }
        for lone in ["' ", "\"\\\" ", "'\\' '"] {
            assert_eq!(told(&(lone.to_owned() + &"[".repeat(BRACKETS + 1)), Kind::Database), Some(1), "{lone}");
        }
        assert_eq!(told(&"[\n".repeat(BRACKETS + 1), Kind::Database), Some(BRACKETS + 1));
    }

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
