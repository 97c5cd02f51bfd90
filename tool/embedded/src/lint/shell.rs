//! Lines and words of a start-up script, as the shell of EPICS reads them.

use super::text::Text;

/// The lines: one that ends with a backslash goes on. The last one is not read unless a line feed ends it.
pub fn lines(text: &Text) -> (Vec<Text>, Option<Text>) {
    let mut lines: Vec<Text> = text.lines().collect();
    let mut unended = None;
    if text.bytes.last().is_some_and(|last| *last != b'\n') {
        let last = lines.pop().unwrap_or_default();
        let first = last.bytes.iter().position(|byte| !byte.is_ascii_whitespace());
        let last = first.map(|first| last.slice(first, last.bytes.len()));
        // There is nothing behind it that `exit` would keep from being read.
        unended = last.filter(|last| last.bytes[0] != b'#' && last.lossy().trim() != "exit");
    }
    let mut whole: Vec<Text> = Vec::new();
    let mut goes_on = false;
    for line in lines {
        let end = line.bytes.strip_suffix(b"\r").unwrap_or(&line.bytes).len();
        let more = end > 0 && line.bytes[end - 1] == b'\\';
        let line = line.slice(0, end - usize::from(more));
        match whole.last_mut().filter(|_| goes_on) {
            Some(last) => last.extend(&line),
            None => whole.push(line),
        }
        goes_on = more;
    }
    (whole, unended)
}

/// `A=1,B=2`, as the macro library splits it.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = epics_base_rs::server::iocsh::macro_defn_pairs(text).into_iter();
    pairs.filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The file that the output of a command goes to.
pub fn redirected(line: &Text) -> Option<Text> {
    let (mut quote, mut escaped) = (0, false);
    let starts = line.bytes.iter().position(|&byte| {
        let plain = quote == 0 && !std::mem::take(&mut escaped);
        match byte {
            b'\\' => escaped = plain,
            b'"' | b'\'' if plain => quote = byte,
            _ if byte == quote => quote = 0,
            _ => {}
        }
        plain && byte == b'>'
    })?;
    let name = starts + line.bytes[starts..].iter().position(|byte| *byte != b'>')?;
    words(&line.slice(name, line.bytes.len())).ok()?.into_iter().next()
}

/// Quotes of typography, which are letters for the shell.
const LETTERS: [&str; 5] = ["“", "”", "„", "‘", "’"];

/// Where a word starts with one.
pub fn typographic(line: &Text) -> Option<usize> {
    let mut quote = 0;
    (0..line.bytes.len()).find(|&at| {
        let byte = line.bytes[at];
        let starts = quote == 0 && (at == 0 || b" \t(,".contains(&line.bytes[at - 1]));
        match byte {
            b'"' | b'\'' if quote == 0 => quote = byte,
            _ if byte == quote => quote = 0,
            _ => {}
        }
        starts && LETTERS.iter().any(|own| line.bytes[at..].starts_with(own.as_bytes()))
    })
}

/// The words as they were meant: with quotes in the place of these.
pub fn meant(line: &Text) -> Option<Vec<Text>> {
    let (mut out, mut quote, mut at) = (Text::default(), 0, 0);
    while at < line.bytes.len() {
        let letter = LETTERS.iter().find(|own| quote == 0 && line.bytes[at..].starts_with(own.as_bytes()));
        let byte = letter.map_or(line.bytes[at], |_| b'"');
        match byte {
            b'"' | b'\'' if quote == 0 && letter.is_none() => quote = byte,
            _ if byte == quote => quote = 0,
            _ => {}
        }
        out.push(byte, line.places[at]);
        at += letter.map_or(1, |own| own.len());
    }
    words(&out).ok()
}

/// Splits a line as the shell does: at blanks, commas and parentheses outside of quotes. An argument may be empty. The error is
/// where a quote opens that is never closed.
pub fn words(line: &Text) -> Result<Vec<Text>, usize> {
    let bytes = &line.bytes;
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if b" \t\r(),".contains(&bytes[at]) {
            at += 1;
            continue;
        }
        let (mut word, mut quote) = (Text::default(), 0);
        let (mut was_quoted, mut opened) = (false, 0);
        while at < bytes.len() && (quote != 0 || !b" \t\r(),".contains(&bytes[at])) {
            let byte = bytes[at];
            if byte == quote {
                quote = 0;
            } else if quote == 0 && matches!(byte, b'"' | b'\'') {
                (quote, was_quoted, opened) = (byte, true, at);
            } else if byte == b'\\' && quote == 0 && at + 1 < bytes.len() {
                at += 1;
                word.push(bytes[at], line.places[at]);
            } else if byte == b'#' && quote == 0 && word.bytes.is_empty() && words.is_empty() {
                return Ok(words);
            } else {
                word.push(byte, line.places[at]);
            }
            at += 1;
        }
        if quote != 0 {
            return Err(opened);
        }
        if was_quoted || !word.bytes.is_empty() {
            words.push(word);
        }
    }
    Ok(words)
}
