//! Words of a value: quotes, C escapes, specifiers, variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Splits a value into words as systemd does: quotes may surround a word or a part of it, `\` escapes as in C.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    Ok(split_quoted(text)?.into_iter().map(|(word, _)| word).collect())
}

/// Like [`split`], and says of each word whether it was quoted (a quoted `;` separates no commands).
pub fn split_quoted(text: &str) -> Result<Vec<(String, bool)>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        let mut word = Vec::new();
        let mut quoted = false;
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match c {
                '\\' => unescape(&mut chars, &mut word)?,
                '"' | '\'' if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => {
                    quote = Some(c);
                    quoted = true;
                }
                _ => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if let Some(quote) = quote {
            return Err(format!("unbalanced {quote} in `{text}`"));
        }
        words.push((String::from_utf8_lossy(&word).into_owned(), quoted));
    }
}

fn unescape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut Vec<u8>) -> Result<(), String> {
    let Some(c) = chars.next() else { return Err("`\\` at the end of the value".into()) };
    let mut code = |digits: usize, radix: u32, first: &str| -> Result<u32, String> {
        let text: String = first.chars().chain(chars.by_ref()).take(digits).collect();
        let all = text.chars().count() == digits && text.chars().all(|c| c.is_digit(radix));
        u32::from_str_radix(&text, radix)
            .ok()
            .filter(|n| all && *n != 0)
            .ok_or_else(|| format!("bad escape `\\{c}{text}`"))
    };
    let plain = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        's' => 32,
        '\\' | '"' | '\'' => c as u8,
        'x' => u8::try_from(code(2, 16, "")?).unwrap_or(b'?'),
        '0'..='7' => u8::try_from(code(3, 8, &c.to_string())?).map_err(|_| format!("bad escape `\\{c}`"))?,
        'u' | 'U' => {
            let number = code(if c == 'u' { 4 } else { 8 }, 16, "")?;
            let wide = char::from_u32(number).ok_or_else(|| format!("no character {number:#x}"))?;
            word.extend_from_slice(wide.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        // systemd keeps the backslash of an unknown escape.
        _ => {
            word.push(b'\\');
            word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
    };
    word.push(plain);
    Ok(())
}

/// Variables of a service.
pub type Env = BTreeMap<String, String>;

/// Replaces `${X}` inside words and splits words that begin with `$`; `$$` is a dollar sign. As for systemd, all that follows
/// is the name: `${X-default}` and `$X$Y` are variables that nobody can set, and so nothing.
pub fn expand(words: &[String], env: &Env) -> Vec<String> {
    let mut out = Vec::new();
    for word in words {
        match word.strip_prefix('$').filter(|name| !name.is_empty() && !name.starts_with(['{', '$'])) {
            Some(name) => out.extend(env.get(name).into_iter().flat_map(|v| split(v).unwrap_or_default())),
            None => out.push(expand_word(word, env)),
        }
    }
    out
}

fn expand_word(word: &str, env: &Env) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            out.push_str(env.get(name).map_or("", String::as_str));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// Whether a text can be the name of a variable.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What the specifiers of a unit stand for.
#[derive(Debug, Clone, Default)]
pub struct Specifiers {
    /// Full name of the unit: `inst@a.service`.
    pub unit: String,
    /// Name of the machine.
    pub host: String,
    /// Boot, 32 hex digits.
    pub boot_id: String,
    /// Machine, 32 hex digits.
    pub machine_id: String,
    /// The unit's file.
    pub fragment: PathBuf,
}

impl Specifiers {
    /// Replaces `%i`, `%n` and the like.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        if !text.contains('%') {
            return Ok(text.to_owned());
        }
        let stem = self.unit.rsplit_once('.').map_or(self.unit.as_str(), |(stem, _)| stem);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => out.push('%'),
                Some('n') => out.push_str(&self.unit),
                Some('N') => out.push_str(stem),
                Some('p') => out.push_str(prefix),
                Some('P') => out.push_str(&unescape_name(prefix)),
                Some('i') => out.push_str(instance),
                Some('I') => out.push_str(&unescape_name(instance)),
                Some('j') => out.push_str(prefix.rsplit('-').next().unwrap_or(prefix)),
                Some('J') => out.push_str(&unescape_name(prefix.rsplit('-').next().unwrap_or(prefix))),
                Some('f') => {
                    let path = unescape_name(if instance.is_empty() { prefix } else { instance });
                    out.push('/');
                    out.push_str(path.trim_start_matches('/'));
                }
                Some('H' | 'q') => out.push_str(&self.host),
                Some('l') => out.push_str(self.host.split('.').next().unwrap_or("")),
                Some('b') => out.push_str(&self.boot_id),
                Some('m') => out.push_str(&self.machine_id),
                Some('t') => out.push_str("/run"),
                Some('S') => out.push_str("/var/lib"),
                Some('C') => out.push_str("/var/cache"),
                Some('L') => out.push_str("/var/log"),
                Some('E') => out.push_str("/etc"),
                Some('T') => out.push_str("/tmp"),
                Some('V') => out.push_str("/var/tmp"),
                Some('h') => out.push_str("/root"),
                Some('s') => out.push_str("/bin/bash"),
                Some('a') => {
                    out.push_str(&std::env::consts::ARCH.replace("x86_64", "x86-64").replace("aarch64", "arm64"));
                }
                Some('v') => out.push_str(&kernel()),
                Some('d') => {
                    out.push_str("/run/credentials/");
                    out.push_str(&self.unit);
                }
                Some('o') => out.push_str(&os_release("ID")),
                Some('w') => out.push_str(&os_release("VERSION_ID")),
                Some('W') => out.push_str(&os_release("VARIANT_ID")),
                Some('B') => out.push_str(&os_release("BUILD_ID")),
                Some('A') => out.push_str(&os_release("IMAGE_VERSION")),
                Some('M') => out.push_str(&os_release("IMAGE_ID")),
                Some('y') => out.push_str(&self.fragment.to_string_lossy()),
                Some('Y') => out.push_str(&self.fragment.parent().unwrap_or(Path::new("")).to_string_lossy()),
                Some('u' | 'g') => out.push_str("root"),
                Some('U' | 'G') => out.push('0'),
                Some(other) => return Err(format!("specifier `%{other}` is not known to the sandbox")),
                None => return Err(format!("`%` at the end of `{text}` (write `%%` for a percent sign)")),
            }
        }
        Ok(out)
    }
}

/// Release of the running kernel.
fn kernel() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim_end().to_owned()
}

/// A value of `/etc/os-release`.
fn os_release(key: &str) -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

/// `a-b\x2dc` as a path: `a/b-c`.
pub fn unescape_name(name: &str) -> String {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("\\x").and_then(|r| r.get(..2)).and_then(|h| u8::from_str_radix(h, 16).ok());
        if let Some(byte) = hex {
            out.push(byte);
            rest = &rest[4..];
            continue;
        }
        let c_out = if c == '-' { '/' } else { c };
        out.extend_from_slice(c_out.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[c.len_utf8()..];
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(
            split(r#"/bin/sh -c 'exit 3; "x"' a\ b "t\tq\x41" \101"#).unwrap(),
            ["/bin/sh", "-c", "exit 3; \"x\"", "a\\ b", "t\tqA", "A"]
        );
        assert_eq!(split("'' x").unwrap(), ["", "x"]);
        assert_eq!(split("'open").unwrap_err(), "unbalanced ' in `'open`");
        assert!(split("\\x4").is_err());
    }

    #[test]
    fn variables() {
        let env = Env::from([("A".into(), "one two".into()), ("B".into(), "x".into())]);
        let words: Vec<String> =
            ["$A", "${A}-$B", "$$B", "$NONE", "${NONE}", "$A$B", "-${A-x}"].map(String::from).to_vec();
        assert_eq!(expand(&words, &env), ["one", "two", "one two-$B", "$B", "", "-"]);
    }

    #[test]
    fn specifiers() {
        let s = Specifiers { unit: "a-b@x\\x2dy-z.service".into(), host: "machine".into(), ..Default::default() };
        assert_eq!(s.expand("%n %p %i %I %j %H %%").unwrap(), "a-b@x\\x2dy-z.service a-b x\\x2dy-z x-y/z b machine %");
        assert_eq!(s.expand("%z").unwrap_err(), "specifier `%z` is not known to the sandbox");
    }

    proptest! {
        #[test]
        fn split_and_expand_never_panic(text in "(\\PC|\\\\|%|\\$|\\{|\\}|'|\"){0,60}") {
            if let Ok(words) = split(&text) {
                let _ = expand(&words, &Env::new());
            }
            let _ = Specifiers { unit: text.clone(), ..Default::default() }.expand(&text);
        }
    }
}
