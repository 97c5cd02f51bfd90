//! Something that a regular expression of StreamDevice matches: a guess, which its own engine judges.

/// Groups in groups.
const DEEPEST: usize = 20;

/// The expression in a coded conversion, `/EXPRESSION/…` behind its flags. StreamDevice escapes a byte by 0x1B.
pub fn of_conversion(coded: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = coded.split(|byte| *byte == b'/').next().map(|flags| coded[flags.len()..].iter().skip(1))?;
    let mut out = Vec::new();
    loop {
        match *bytes.next()? {
            b'/' => return Some(out),
            0x1B => match *bytes.next()? {
                b'/' => out.push(b'/'),
                own if own & 0x7F < 0x30 => out.extend(format!("\\x{own:02x}").bytes()),
                own => out.extend([b'\\', own]),
            },
            own => out.push(own),
        }
    }
}

/// A text that it matches; `None` for what is not read here.
pub fn sample(expression: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader { rest: expression };
    let out = reader.alternatives(0)?;
    reader.rest.is_empty().then_some(out)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The first of them counts; up to what ends a group.
    fn alternatives(&mut self, depth: usize) -> Option<Vec<u8>> {
        let first = self.sequence(depth)?;
        while self.skip(b"|") {
            self.sequence(depth)?;
        }
        Some(first)
    }

    fn sequence(&mut self, depth: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(first) = self.rest.first() {
            if b"|)".contains(first) {
                break;
            }
            let atom = self.atom(depth)?;
            for _ in 0..self.times()? {
                out.extend(&atom);
            }
        }
        Some(out)
    }

    fn atom(&mut self, depth: usize) -> Option<Vec<u8>> {
        Some(match self.next()? {
            b'^' | b'$' => Vec::new(),
            b'.' => vec![b'1'],
            b'(' if depth < DEEPEST => {
                // What looks around or sets options is not read here.
                if !self.skip(b"?:") && self.rest.starts_with(b"?") {
                    return None;
                }
                let inner = self.alternatives(depth + 1)?;
                self.skip(b")").then_some(inner)?
            }
            b'[' => vec![self.class()?],
            b'\\' => self.escape()?,
            own if b"(*+?{".contains(&own) => return None,
            own => vec![own],
        })
    }

    /// How often the last atom is to be there.
    fn times(&mut self) -> Option<usize> {
        let times = match self.rest.first() {
            Some(b'*' | b'+' | b'?') => {
                self.next();
                1
            }
            Some(b'{') => {
                self.next();
                let end = self.rest.iter().position(|byte| *byte == b'}')?;
                let inner = std::str::from_utf8(&self.rest[..end]).ok()?;
                self.rest = &self.rest[end + 1..];
                inner.split(',').next()?.parse().ok().filter(|times| *times <= 1000)?
            }
            _ => return Some(1),
        };
        // Lazy or possessive.
        let _ = self.skip(b"?") || self.skip(b"+");
        Some(times)
    }

    /// A byte for `\d` and its kind; none for a place such as `\b`.
    fn escape(&mut self) -> Option<Vec<u8>> {
        Some(vec![match self.next()? {
            b'd' | b'w' | b'S' => b'1',
            b's' | b'W' => b' ',
            b'D' => b'x',
            b'b' | b'A' | b'z' | b'Z' => return Some(Vec::new()),
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = self.rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let (own, rest) = self.rest.split_at(digits);
                self.rest = rest;
                u8::from_str_radix(std::str::from_utf8(own).ok()?, 16).unwrap_or(0)
            }
            own if own.is_ascii_alphanumeric() => return None,
            own => own,
        }])
    }

    /// One of a class.
    fn class(&mut self) -> Option<u8> {
        let not = self.skip(b"^");
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        loop {
            let first = match self.next()? {
                b']' if !ranges.is_empty() => break,
                b'[' if self.rest.starts_with(b":") => return None,
                // The samples of `\d` and its kind stand for all of them.
                b'\\' => *self.escape()?.first()?,
                own => own,
            };
            let to = match self.rest {
                [b'-', end, ..] if *end != b']' => {
                    self.rest = &self.rest[2..];
                    *end
                }
                _ => first,
            };
            ranges.push((first, to));
        }
        if not {
            let fits = |byte: &u8| !ranges.iter().any(|(from, to)| (*from..=*to).contains(byte));
            return b"1x _-".iter().copied().chain(33..127).find(fits);
        }
        ranges.first().map(|(from, _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_of_the_expression() {
        let cases: [(&str, Option<&str>); 14] = [
            (r"^psu (\d+\.\d+)$", Some("psu 1.1")),
            (r"a|b", Some("a")),
            (r"x(?:on|off)+?y", Some("xony")),
            (r"[^,]*,[A-Z]{3}[]a]", Some("1,AAA]")),
            (r"[^\d]\x41\w{2,}", Some("xA11")),
            (r"\bend.?", Some("end1")),
            (r"[+-]?\d", Some("+1")),
            ("", Some("")),
            (r"(?=x)y", None),
            (r"[[:digit:]]", None),
            (r"(open", None),
            (r"close)", None),
            (r"*", None),
            (r"\1", None),
        ];
        for (expression, wanted) in cases {
            let found = sample(expression.as_bytes());
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{expression}");
        }
        assert!(sample(&b"(".repeat(10_000)).is_none());
        assert_eq!(of_conversion(b".1/a\x1B/\x1Bd\x1B\x02/x/").as_deref(), Some(&b"a/\\d\\x02"[..]));
        assert_eq!(of_conversion(b"/open"), None);
    }
}
