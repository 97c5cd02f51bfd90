//! StreamDevice protocols, by the parser and the compiler of the soft IOC.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use stream_rs::StreamBuffer;
use stream_rs::cstr::CPtr;
use stream_rs::error::{self as stream, stream_error_at};
use stream_rs::protocol::{Client, FormatType, Protocol, get_protocol, set_path};

use super::finding::{Place, Report};

/// Handlers that a function can have; `None` is the function itself.
const HANDLERS: [Option<&[u8]>; 6] =
    [None, Some(b"@init"), Some(b"@mismatch"), Some(b"@writetimeout"), Some(b"@replytimeout"), Some(b"@readtimeout")];

/// Protocol files that were read.
#[derive(Debug, Default)]
pub struct Protocols {
    files: HashMap<PathBuf, BTreeMap<String, usize>>,
}

impl Protocols {
    /// Reads a file once; what is wrong in it is reported then. The functions it has, in lower case as
    /// StreamDevice compares them, and how many parameters each one takes; `None` where it has a mistake.
    pub fn read(&mut self, path: &Path, report: &mut Report) -> &BTreeMap<String, usize> {
        if !self.files.contains_key(path) {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
            let functions = functions(&text);
            judge(path, &text, &functions, report);
            self.files.insert(path.to_owned(), functions);
        }
        &self.files[path]
    }
}

fn judge(path: &Path, text: &str, functions: &BTreeMap<String, usize>, report: &mut Report) {
    set_path(None);
    stream::set_stream_error(1);
    stream::set_stream_msg_time_stamped(0);
    stream::set_stream_debug_colored(false);
    let name = path.to_string_lossy();
    let file = report.file(path);
    let mut words: Vec<(&str, usize)> = functions.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    // A file without functions is parsed too.
    words.push(("", 0));
    for (function, parameters) in words {
        stream::capture_stderr();
        let wanted: Vec<u8> = [function.as_bytes(), &b"\x001".repeat(parameters)].concat();
        let mut compiled = true;
        if let Some(mut protocol) = get_protocol(&name, &StreamBuffer::from_bytes(&wanted)) {
            let mut code = StreamBuffer::new();
            compiled = HANDLERS.iter().all(|handler| protocol.get_commands(*handler, &mut code, &mut Commands));
            use_variables(&mut protocol);
            compiled = compiled && protocol.check_unused();
        }
        let said = String::from_utf8_lossy(&stream::take_captured()).into_owned();
        let start = line_of(text, function);
        let Some((line, what)) = first_message(&said, &name, start) else { continue };
        let parse_failed = !said.contains("not found in protocol file");
        // What only the record's arguments decide is not judged: here they are all `1`.
        let sure =
            parameters == 0 || ["Unknown command name", "Unknown handler"].iter().any(|own| what.starts_with(own));
        if (!compiled && sure) || (compiled && parse_failed) {
            let place = Place { file, line, column: column(text, line, &what) };
            report.error(place, "protocol", what, "see StreamDevice's manual on protocol files");
        }
        if compiled && parse_failed {
            return; // the parser stops at its first mistake
        }
    }
}

/// The first message: the following ones tell what it is part of. `start` is the line of the function.
fn first_message(said: &str, name: &str, start: u32) -> Option<(u32, String)> {
    let placed = |line: &'_ str| -> Option<(u32, String)> {
        let (line, what) = line.strip_prefix(name)?.strip_prefix(" line ")?.split_once(": ")?;
        Some((line.parse().ok()?, what.trim().to_owned()))
    };
    let first = said.lines().find(|line| !line.trim().is_empty())?;
    // One without a line is followed by the command it is about.
    let line = said.lines().find_map(placed).map(|(line, _)| line);
    let line = line.or_else(|| first.rsplit_once("' line ")?.1.trim().parse().ok());
    let what = placed(first)
        .map_or_else(|| first.split(" defined in protocol file").next().unwrap_or(first).to_owned(), |(_, what)| what);
    Some((line.unwrap_or(start), what.trim().to_owned()))
}

/// The line where a function starts; the first one where it is not found.
fn line_of(text: &str, function: &str) -> u32 {
    let starts = |line: &str| {
        let line = line.trim_start().to_lowercase();
        line.strip_prefix(function)
            .is_some_and(|rest| !function.is_empty() && rest.trim_start().starts_with(['{', '#']))
            || (line.trim_end() == function && !function.is_empty())
    };
    let at = text.lines().position(starts).unwrap_or(0);
    u32::try_from(at + 1).unwrap_or(1)
}

/// The column of what a message quotes, or of the first word of the line.
fn column(text: &str, line: u32, what: &str) -> u32 {
    let line = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
    let quoted = what.split('\'').nth(1).filter(|word| !word.is_empty());
    let lower = line.to_ascii_lowercase();
    let at = quoted.and_then(|word| lower.find(&word.to_ascii_lowercase()));
    let at = at.unwrap_or_else(|| line.find(|c: char| !c.is_whitespace()).unwrap_or(0));
    u32::try_from(line[..at].chars().count() + 1).unwrap_or(1)
}

/// The functions of a protocol file and the highest parameter (`$1`) each one uses.
fn functions(text: &str) -> BTreeMap<String, usize> {
    let (mut found, mut depth, mut word, mut quote) = (BTreeMap::new(), 0_u32, String::new(), None);
    let mut current: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '$' || (c == '\\' && chars.peek() == Some(&'$')) {
            let digit = chars.clone().find(|c| *c != '$').and_then(|c| c.to_digit(10));
            if let (Some(digit), Some(function)) = (digit, &current) {
                let count: &mut usize = found.entry(function.clone()).or_default();
                *count = (*count).max(digit as usize);
            }
        }
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), _) => quote = if c == open || c == '\n' { None } else { quote },
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => drop(chars.find(|c| *c == '\n')),
            (None, '{') => {
                if depth == 0 {
                    current = Some(word.to_lowercase());
                    found.entry(word.to_lowercase()).or_default();
                }
                depth += 1;
                word.clear();
            }
            (None, '}') => {
                depth = depth.saturating_sub(1);
                current = current.filter(|_| depth > 0);
                word.clear();
            }
            (None, ';' | '=') => word.clear(),
            (None, c) if c.is_whitespace() => {}
            (None, c) => word.push(c),
        }
    }
    found.remove("");
    found
}

/// Looks at the variables that StreamDevice knows, as it does, so that handlers alone are left unused.
fn use_variables(protocol: &mut Protocol) {
    for name in [&b"locktimeout"[..], b"readtimeout", b"replytimeout", b"writetimeout", b"maxinput", b"pollperiod"] {
        let mut number = 0;
        protocol.get_number_variable(name, &mut number, u64::from(u32::MAX));
    }
    let mut choice = 0;
    protocol.get_enum_variable(b"extrainput", &mut choice, &[b"error", b"ignore"]);
    for name in [&b"interminator"[..], b"outterminator", b"terminator", b"separator"] {
        let mut text = StreamBuffer::new();
        protocol.get_string_variable(name, &mut text, None);
    }
}

/// Compiles commands as StreamDevice does, but for what depends on the record.
struct Commands;

impl Client for Commands {
    fn compile_command(
        &mut self,
        protocol: &mut Protocol,
        buffer: &mut StreamBuffer,
        command: CPtr<'_>,
        args: &mut CPtr<'_>,
    ) -> bool {
        let mut number = 0;
        match command.cstr() {
            b"in" => protocol.compile_string(buffer, args, FormatType::ScanFormat, Some(self), 0),
            b"out" | b"exec" => protocol.compile_string(buffer, args, FormatType::PrintFormat, Some(self), 0),
            b"wait" | b"connect" => protocol.compile_number(&mut number, args, u64::from(u32::MAX)),
            b"event" => {
                args.advance(args.strlen());
                true
            }
            b"disconnect" => true,
            name => {
                let what = [b"Unknown command name '", name, b"'\n"].concat();
                stream_error_at(command.line_number(), protocol.filename(), &what);
                false
            }
        }
    }

    fn get_field_address(&mut self, _field: &[u8], address: &mut StreamBuffer) -> bool {
        address.append(&0_u32.to_ne_bytes());
        true
    }

    fn name(&self) -> String {
        "lint".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_their_parameters() {
        let text = "Terminator = LF; # no {\na { out \"x}{\"; @init { in 'y'; } }\nB\n{ out \"\\$1\" $2; a; }\n";
        assert_eq!(functions(text), [("a".to_owned(), 0), ("b".to_owned(), 2)].into());
    }

    fn found(text: &str) -> Vec<(u32, u32, &'static str)> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("soft-ioc-lint-{}-{}.proto", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let written = fs::write(&path, text);
        assert!(written.is_ok());
        let mut report = Report::default();
        Protocols::default().read(&path, &mut report);
        assert!(fs::remove_file(&path).is_ok());
        report.lines()
    }

    #[test]
    fn good_protocols_are_silent() {
        assert_eq!(found("Terminator = CR LF;\nget { out \"x\\$1\"; in \"%f\"; @mismatch { in \"%(EGU)s\"; } }\n"), []);
        assert_eq!(found(""), []);
    }

    #[test]
    fn mistakes_have_their_place() {
        assert_eq!(found("get {\n  out \"x\";\n  inn \"%f\";\n}\n"), [(3, 3, "protocol")]);
        assert_eq!(found("get {\n  out \"x;\n}\n").len(), 1);
        assert_eq!(found("get {\n  in \"%y\";\n}\n")[0].0, 2);
        assert_eq!(found("get {\n  in \"%f\";\n").len(), 1);
        assert_eq!(found("get { in \"%f\"; @nonsense { in \"x\"; } }\n").len(), 1);
    }
}
