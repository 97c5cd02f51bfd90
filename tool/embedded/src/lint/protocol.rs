//! StreamDevice protocols, by the parser and the compiler of the soft IOC.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use stream_rs::StreamBuffer;
use stream_rs::cstr::CPtr;
use stream_rs::error::{self as stream, stream_error_at};
use stream_rs::format::{COMPARE_FLAG, PSEUDO_FORMAT, SKIP_FLAG, StreamFormat};
use stream_rs::protocol::{Client, FormatType, Protocol, codes, get_protocol, path, print_string, set_path};

use super::bounds;
use super::report::{Place, Report, nearest, suggest};

/// Handlers that a function can have; `None` is the function itself.
const HANDLERS: [Option<&[u8]>; 6] =
    [None, Some(b"@init"), Some(b"@mismatch"), Some(b"@writetimeout"), Some(b"@replytimeout"), Some(b"@readtimeout")];

/// What StreamDevice says where a function uses an argument that its link does not give.
const MISSING: &str = "Missing value for parameter $";

/// Protocol files that were read, and calls of their functions.
#[derive(Debug, Default)]
pub struct Protocols {
    files: HashMap<PathBuf, File>,
    calls: HashMap<(PathBuf, String), Compiled>,
}

/// A protocol file.
#[derive(Debug)]
pub struct File {
    text: Arc<str>,
    pub functions: Vec<String>,
    /// In lower case: StreamDevice does not look at case.
    pub names: HashSet<String>,
    /// StreamDevice's parser comes to its end.
    whole: bool,
}

/// A function of a protocol file, and who calls it.
#[derive(Debug)]
pub struct Function {
    /// Name of the file.
    pub file: String,
    pub name: String,
    /// The handlers that it has, its file's own among them.
    pub handlers: Vec<&'static str>,
    pub records: Vec<String>,
}

/// What became of a function with its arguments.
#[derive(Debug, Default)]
pub struct Compiled {
    /// What StreamDevice said last, if it is no mistake of the function without arguments.
    pub fault: Option<(u32, String)>,
    pub conversions: Vec<Conversion>,
    /// Lines of `exec`, which the soft IOC does not have.
    pub execs: Vec<u32>,
    /// Lines of `event`, which few ports have.
    pub events: Vec<u32>,
    /// What it says and waits for, and what @init does.
    pub steps: Vec<Step>,
    pub variables: Variables,
}

/// What StreamDevice's variables say of its lines.
#[derive(Debug, Default)]
pub struct Variables {
    /// What ends what it says, and what it waits for; `None` is up to the port.
    pub ends: [Option<Vec<u8>>; 2],
    pub separator: Vec<u8>,
    /// `ExtraInput = Ignore`.
    pub more: bool,
    /// `MaxInput`.
    pub longest: usize,
}

/// An `out` or `in`.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub out: bool,
    pub pieces: Vec<Piece>,
}

/// A part of what is said or waited for.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Byte(u8),
    /// `\?`, any byte.
    Any,
    /// `\_`, white space.
    Blank,
    /// A conversion, coded as StreamDevice has it, without its `%` and the target; whether it is of the record itself.
    Value(Vec<u8>, bool),
}

/// A conversion such as `%f`, of a value and not of nothing (`%*f`, checksums).
#[derive(Debug, PartialEq)]
pub struct Conversion {
    /// The line of its command.
    pub line: u32,
    /// The field or record that it is redirected to.
    pub target: Option<String>,
    /// As it is written, without the `%` and the target.
    pub text: String,
    /// StreamDevice's number of the type of its value.
    pub kind: i32,
    /// It takes its value from the record.
    pub writes: bool,
}

impl Protocols {
    /// Reads a file once; what is wrong in it is reported then. `None` where it cannot be parsed, so that StreamDevice has none of
    /// its functions.
    pub fn read(&mut self, path: &Path, report: &mut Report) -> Option<&File> {
        if !self.files.contains_key(path) {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
            let (functions, whole) = if bounds::within(&text, report.file(path), crate::growth::Kind::Protocol, report)
            {
                let functions = functions(&text);
                let whole = judge(path, &text, &functions, report);
                (functions, whole)
            } else {
                (Vec::new(), false)
            };
            let names = functions.iter().map(|name| name.to_lowercase()).collect();
            self.files.insert(path.to_owned(), File { text: text.into(), functions, names, whole });
        }
        self.files.get(path).filter(|file| file.whole)
    }

    /// All functions of the files that were read; `calls` says which file and call each record names.
    pub fn functions(&self, calls: &BTreeMap<String, (PathBuf, String)>) -> Vec<Function> {
        let mut records: HashMap<(&Path, String), Vec<String>> = HashMap::new();
        for (record, (path, call)) in calls {
            if let Some(name) = self::name(call) {
                records.entry((path, name)).or_default().push(record.clone());
            }
        }
        let mut all = Vec::new();
        for (path, own) in &self.files {
            for name in &own.functions {
                let word = name.to_lowercase();
                // What the arguments are is of no concern here.
                let (.., commands) =
                    compile(&path.to_string_lossy(), &[vec![word.clone()], vec!["1".to_owned(); 9]].concat());
                all.push(Function {
                    file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    name: name.clone(),
                    handlers: commands.handlers,
                    records: records.get(&(path.as_path(), word)).cloned().unwrap_or_default(),
                });
            }
        }
        all.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        all
    }

    /// The text of a file that was read.
    pub fn text(&self, path: &Path) -> Arc<str> {
        self.files.get(path).map(|file| Arc::clone(&file.text)).unwrap_or_default()
    }

    /// A function as a link calls it, `NAME` or `NAME(ARGUMENT, …)`.
    pub fn call(&mut self, path: &Path, call: &str) -> &Compiled {
        let key = (path.to_owned(), call.to_owned());
        self.calls.entry(key).or_insert_with(|| {
            let wanted = arguments(call).unwrap_or_default();
            let name = path.to_string_lossy();
            let (said, compiled, commands) = compile(&name, &wanted);
            let known = || wanted.len() == 1 && !said.contains(MISSING);
            let fault = (!compiled && !known()).then(|| first_message(&said, &name, 1)).flatten();
            let Commands { conversions, execs, events, steps, variables, .. } = commands;
            Compiled { fault, conversions, execs, events, steps, variables }
        })
    }
}

/// Whether StreamDevice can parse the file.
fn judge(path: &Path, text: &str, functions: &[String], report: &mut Report) -> bool {
    let name = path.to_string_lossy();
    let file = report.file(path);
    if text.starts_with('\u{feff}') {
        let what = "the file starts with a byte order mark, which StreamDevice takes for a part of its first word";
        report.error(Place { file, line: 1, column: 1 }, "byte-order-mark", what, "save it as UTF-8 without BOM");
        return true;
    }
    for (name, line) in unknown_variables(text) {
        let what = format!("StreamDevice has no variable `{name}`, and nothing here uses it");
        let hint = suggest(&name, VARIABLES, String::new);
        report.warning(
            Place { file, line, column: column(text, line, &format!("'{name}'")) },
            "unknown-variable",
            what,
            hint,
        );
    }
    let lines: Vec<&str> = text.lines().collect();
    let starts = starts(&lines);
    // A file without functions is parsed too.
    for function in functions.iter().map(String::as_str).chain([""]) {
        let function = function.to_lowercase();
        let (mut said, mut compiled, mut commands) = compile(&name, std::slice::from_ref(&function));
        let open = said.contains(MISSING);
        if open {
            let all = [vec![function.clone()], vec!["1".to_owned(); 9]].concat();
            (said, compiled, commands) = compile(&name, &all);
        }
        if said.trim().is_empty() {
            continue;
        }
        let start = starts.get(&function).copied().unwrap_or(1);
        let Some((mut line, what)) = first_message(&said, &name, start) else { continue };
        line = commands.number.or_else(|| known_line(&lines, line, &what)).or(commands.failed).unwrap_or(start);
        let parse_failed = !said.contains("not found in protocol file");
        // What only the record's arguments decide is judged where the record is.
        let sure = !open || ["Unknown command name", "Unknown handler"].iter().any(|own| what.starts_with(own));
        if (!compiled && sure) || (compiled && parse_failed) {
            let place = Place {
                file,
                line,
                column: column_in(lines.get(line.saturating_sub(1) as usize).unwrap_or(&""), &what),
            };
            report.error(place, "protocol", what, "see StreamDevice's manual on protocol files");
        }
        if compiled && parse_failed {
            return false; // the parser stops at its first mistake
        }
    }
    true
}

/// The line that a message is about, by the one it tells. A variable's value is without its line: what the message quotes
/// tells it then. StreamDevice tells any number where it has read behind the end of what it has of a line.
fn known_line(all: &[&str], told: u32, what: &str) -> Option<u32> {
    let lines = || (1..).zip(all);
    let with = |word: &str| lines().find(|(_, own)| code(own).to_lowercase().contains(word)).map(|(number, _)| number);
    if let Some(value) = what.strip_prefix("Value '").and_then(|rest| rest.split('\'').next()) {
        let value = value.to_lowercase();
        // Of the one variable whose values are few.
        let is_it = |own: &str| own.split_once("extrainput").is_some_and(|(_, rest)| rest.contains(&value));
        let own = lines().find(|(_, own)| is_it(&code(own).to_lowercase())).map(|(number, _)| number);
        return own.or_else(|| with(&value)).or(Some(told));
    }
    if told == 0 {
        let quoted = what.rsplit(": ").next().unwrap_or(what);
        return lines().find(|(_, own)| own.contains(quoted)).map(|(number, _)| number);
    }
    (told as usize <= all.len()).then_some(told)
}

/// Compiles a function with its arguments: what StreamDevice says, whether it could, and what it found.
fn compile(file: &str, call: &[String]) -> (String, bool, Commands) {
    // An IOC that looks at its own files first says what it has to say as it would else.
    let (path, colored) = (path(), stream::stream_debug_colored());
    let [error, stamped] = [&stream::STREAM_ERROR, &stream::STREAM_MSG_TIME_STAMPED].map(|flag| flag.load(Relaxed));
    set_path(None);
    stream::set_stream_error(1);
    stream::set_stream_msg_time_stamped(0);
    stream::set_stream_debug_colored(false);
    stream::capture_stderr();
    let mut commands = Commands::default();
    let mut compiled = true;
    if let Some(mut protocol) = get_protocol(file, &StreamBuffer::from_bytes(call.join("\0").as_bytes())) {
        let mut code = StreamBuffer::new();
        compiled = HANDLERS.iter().enumerate().all(|(number, handler)| {
            commands.reacts = number > 1;
            let compiled = protocol.get_commands(*handler, &mut code, &mut commands);
            let name = handler.and_then(|name| std::str::from_utf8(name).ok());
            commands.handlers.extend(name.filter(|_| !code.is_empty()));
            compiled
        });
        commands.variables = use_variables(&mut protocol);
        compiled = compiled && protocol.check_unused();
    }
    let said = String::from_utf8_lossy(&stream::take_captured()).into_owned();
    set_path(path.as_deref());
    stream::set_stream_error(error);
    stream::set_stream_msg_time_stamped(stamped);
    stream::set_stream_debug_colored(colored);
    (said, compiled, commands)
}

/// The name of the function that is called, in lower case; `None` where no `)` ends its arguments.
pub fn name(call: &str) -> Option<String> {
    arguments(call).map(|words| words[0].clone())
}

/// The name of a function in lower case, and the arguments it is called with, as StreamDevice splits them
/// (`StreamCore::parse`); `None` where it refuses them, as no `)` ends them.
fn arguments(call: &str) -> Option<Vec<String>> {
    let (name, inner) = call.split_once('(').map_or((call, None), |(name, inner)| (name, Some(inner)));
    let mut words = vec![name.trim_end_matches(' ').to_lowercase()];
    let Some(inner) = inner else { return Some(words) };
    // What a backslash guards is a letter like others; two of them stay two.
    let mut marks = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, (c == '\\').then(|| chars.next()).flatten()) {
            (_, Some('\\')) => marks.extend([('\\', true); 2]),
            (_, Some(guarded)) => marks.push((guarded, true)),
            ('\\', None) => {}
            _ => marks.push((c, false)),
        }
    }
    marks.pop().filter(|(last, _)| *last == ')')?;
    let mut depth = 0_i32;
    let all = marks.split(|&(c, guarded)| {
        depth += i32::from(c == '(' && !guarded) - i32::from(c == ')' && !guarded);
        let ends = c == ',' && !guarded && depth <= 0;
        depth = if ends { 0 } else { depth };
        ends
    });
    words.extend(all.map(|word| {
        let word: String = word.iter().map(|(c, _)| *c).collect();
        let own = word.strip_prefix(' ').unwrap_or(&word);
        own.strip_suffix(' ').unwrap_or(own).to_owned()
    }));
    Some(words)
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

/// The lines where functions start, by their names in lower case.
fn starts(lines: &[&str]) -> HashMap<String, u32> {
    let mut starts = HashMap::new();
    for (number, line) in (1..).zip(lines) {
        let line = line.trim().to_lowercase();
        let name = line.split(['{', '#']).next().unwrap_or_default().trim_end();
        if !name.is_empty() {
            starts.entry(name.to_owned()).or_insert(number);
        }
    }
    starts
}

/// The column of what a message quotes, or of the first word of the line.
pub fn column(text: &str, line: u32, what: &str) -> u32 {
    column_in(text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default(), what)
}

/// The same, in a line.
fn column_in(line: &str, what: &str) -> u32 {
    let quoted = what.split('\'').nth(1).filter(|word| !word.is_empty());
    let lower = line.to_ascii_lowercase();
    let at = quoted.and_then(|word| lower.find(&word.to_ascii_lowercase()));
    let at = at.unwrap_or_else(|| line.find(|c: char| !c.is_whitespace()).unwrap_or(0));
    u32::try_from(line[..at].chars().count() + 1).unwrap_or(1)
}

/// The functions of a protocol file.
fn functions(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut word, mut quote) = (Vec::new(), 0_u32, String::new(), None);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), _) => quote = if c == open || c == '\n' { None } else { quote },
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => drop(chars.find(|c| *c == '\n')),
            // A reference, `${1}`.
            (None, '$') if chars.peek() == Some(&'{') => drop(chars.find(|c| *c == '}')),
            (None, '{') => {
                if depth == 0 && !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
                depth += 1;
                word.clear();
            }
            (None, '}') => {
                depth = depth.saturating_sub(1);
                word.clear();
            }
            (None, ';' | '=') => word.clear(),
            (None, c) if c.is_whitespace() => {}
            (None, c) => word.push(c),
        }
    }
    found
}

/// Variables that StreamDevice looks at.
const VARIABLES: [&str; 11] = [
    "Terminator",
    "InTerminator",
    "OutTerminator",
    "Separator",
    "LockTimeout",
    "ReadTimeout",
    "ReplyTimeout",
    "WriteTimeout",
    "MaxInput",
    "PollPeriod",
    "ExtraInput",
];

/// A line without its strings and its comment.
fn code(line: &str) -> String {
    let (mut quote, mut escaped) = (None, false);
    let outside = |c: &char| match quote {
        Some(_) if std::mem::take(&mut escaped) => false,
        Some(own) => {
            escaped = *c == '\\';
            quote = quote.filter(|_| *c != own);
            false
        }
        None => {
            quote = Some(*c).filter(|c| ['"', '\''].contains(c));
            quote.is_none()
        }
    };
    let text: String = line.chars().filter(outside).collect();
    text.split('#').next().unwrap_or_default().to_owned()
}

/// Variables that are nearly one of those, with their lines, and that nothing in the file refers to.
fn unknown_variables(text: &str) -> Vec<(String, u32)> {
    let lower = text.to_lowercase();
    let statements = (1..).zip(text.lines()).flat_map(|(number, line)| {
        code(line).split([';', '{', '}']).map(|own| (own.to_owned(), number)).collect::<Vec<_>>()
    });
    let own = statements.filter_map(|(statement, number)| {
        let name = statement.split_once('=')?.0.trim();
        let near = nearest(name, VARIABLES).filter(|own| !own.eq_ignore_ascii_case(name));
        let word = name.to_lowercase();
        let used = lower.contains(&format!("${word}")) || lower.contains(&format!("${{{word}}}"));
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (near.is_some() && is_name && !used).then(|| (name.to_owned(), number))
    });
    own.collect()
}

/// Looks at the variables that StreamDevice knows, as it does, so that handlers alone are left unused.
fn use_variables(protocol: &mut Protocol) -> Variables {
    let [.., longest, _] =
        [&b"locktimeout"[..], b"readtimeout", b"replytimeout", b"writetimeout", b"maxinput", b"pollperiod"].map(
            |name| {
                let mut number = 0;
                protocol.get_number_variable(name, &mut number, u64::from(u32::MAX));
                number
            },
        );
    let mut choice = 0;
    protocol.get_enum_variable(b"extrainput", &mut choice, &[b"error", b"ignore"]);
    let [out, input, both, separator] =
        [&b"outterminator"[..], b"interminator", b"terminator", b"separator"].map(|name| {
            let (mut text, mut defined) = (StreamBuffer::new(), false);
            protocol.get_string_variable(name, &mut text, Some(&mut defined));
            defined.then(|| text.bytes().split(|byte| *byte == ESCAPE).collect::<Vec<_>>().concat())
        });
    Variables {
        ends: [out.or_else(|| both.clone()), input.or(both)],
        separator: separator.unwrap_or_default(),
        more: choice == 1,
        longest: usize::try_from(longest).unwrap_or(0),
    }
}

/// Compiles commands as StreamDevice does, but for what depends on the record.
#[derive(Default)]
struct Commands {
    conversions: Vec<Conversion>,
    execs: Vec<u32>,
    events: Vec<u32>,
    steps: Vec<Step>,
    variables: Variables,
    /// The handlers that have commands.
    handlers: Vec<&'static str>,
    /// A handler is compiled that is called when something else went wrong.
    reacts: bool,
    /// The line of the command that cannot be compiled.
    failed: Option<u32>,
    /// The same, if it wants a number.
    number: Option<u32>,
}

/// Stands before a byte that is no code.
const ESCAPE: u8 = 0x1B;

impl Commands {
    fn string(&mut self, protocol: &mut Protocol, kind: FormatType, command: CPtr<'_>, args: &mut CPtr<'_>) -> bool {
        let mut code = StreamBuffer::new();
        let compiled = protocol.compile_string(&mut code, args, kind, Some(self), 0);
        let line = u32::try_from(command.line_number()).unwrap_or(1);
        let mut at = code.ptr(0);
        let mut pieces = Vec::new();
        while at.peek() != codes::EOS {
            let code = at.peek();
            at.advance(usize::from(code == ESCAPE));
            let byte = at.peek();
            at.advance(1);
            if code != codes::FORMAT && code != codes::FORMAT_FIELD {
                pieces.push(match code {
                    codes::SKIP => Piece::Any,
                    codes::WHITESPACE => Piece::Blank,
                    _ => Piece::Byte(byte),
                });
                continue;
            }
            let target = (code == codes::FORMAT_FIELD).then(|| {
                let target = String::from_utf8_lossy(at.cstr()).into_owned();
                at.advance(at.strlen() + 1);
                at.advance(2 + usize::from(u16::from_ne_bytes([at.at(0), at.at(1)])));
                target
            });
            pieces.push(Piece::Value(at.cstr().to_vec(), target.is_none()));
            let mut text = StreamBuffer::new();
            at = print_string(&mut text, at);
            let format = StreamFormat::extract(&mut at);
            if format.flags & SKIP_FLAG == 0 && format.type_ < PSEUDO_FORMAT {
                let text = String::from_utf8_lossy(text.bytes()).into_owned();
                // `%=f` in input compares with the value of the record.
                let writes = kind == FormatType::PrintFormat || format.flags & COMPARE_FLAG != 0;
                self.conversions.push(Conversion { line, target, text, kind: format.type_, writes });
            }
        }
        if !self.reacts && command.cstr() != b"exec" {
            self.steps.push(Step { out: kind == FormatType::PrintFormat, pieces });
        }
        compiled
    }
}

impl Client for Commands {
    fn compile_command(
        &mut self,
        protocol: &mut Protocol,
        _code: &mut StreamBuffer,
        command: CPtr<'_>,
        args: &mut CPtr<'_>,
    ) -> bool {
        let compiled = self.command(protocol, command, args);
        if !compiled {
            self.failed = u32::try_from(command.line_number()).ok();
            self.number = self.failed.filter(|_| [&b"wait"[..], b"connect", b"event"].contains(&command.cstr()));
        }
        compiled
    }

    fn get_field_address(&mut self, _field: &[u8], address: &mut StreamBuffer) -> bool {
        address.append(&0_u32.to_ne_bytes());
        true
    }

    fn name(&self) -> String {
        "lint".to_owned()
    }
}

impl Commands {
    fn command(&mut self, protocol: &mut Protocol, command: CPtr<'_>, args: &mut CPtr<'_>) -> bool {
        let mut number = 0;
        match command.cstr() {
            b"in" => self.string(protocol, FormatType::ScanFormat, command, args),
            b"out" => self.string(protocol, FormatType::PrintFormat, command, args),
            b"exec" => {
                self.execs.push(u32::try_from(command.line_number()).unwrap_or(1));
                self.string(protocol, FormatType::PrintFormat, command, args)
            }
            b"wait" | b"connect" => protocol.compile_number(&mut number, args, u64::from(u32::MAX)),
            b"event" => {
                let mut mask = |args: &mut CPtr<'_>| protocol.compile_number(&mut number, args, u64::from(u32::MAX));
                if args.peek() == b'(' {
                    args.advance(1);
                    let whole = mask(args) && args.peek() == b')';
                    args.advance(usize::from(whole));
                    if !whole {
                        stream_error_at(command.line_number(), protocol.filename(), b"Expect ')' behind the mask\n");
                        return false;
                    }
                    while args.peek().is_ascii_whitespace() {
                        args.advance(1);
                    }
                }
                let compiled = args.peek() == 0 || mask(args);
                self.events.extend(compiled.then(|| u32::try_from(command.line_number()).unwrap_or(1)));
                compiled
            }
            b"disconnect" => true,
            name => {
                let what = [b"Unknown command name '", name, b"'\n"].concat();
                stream_error_at(command.line_number(), protocol.filename(), &what);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_behind_all_that_looks_like_one() {
        let text =
            "Terminator = LF; # no {\na { out \"x}{\"; @init { in 'y'; } }\nGet${1}B\n{ out \"\\${1}\" ${2}; a; }\n";
        assert_eq!(functions(text), ["a", "GetB"]);
    }

    #[test]
    fn arguments_are_those_of_stream_device() {
        let cases: [(&str, &[&str]); 8] = [
            ("Get", &["get"]),
            ("get (a)", &["get", "a"]),
            ("get( a ,b  c,)", &["get", "a", "b  c", ""]),
            ("get(f(x,y),\\,\\\\)", &["get", "f(x,y)", ",\\\\"]),
            ("get()", &["get", ""]),
            ("get(a),(b,c))", &["get", "a)", "(b,c)"]),
            ("get(\\(,b\\)", &["get", "(", "b"]),
            ("get\t", &["get\t"]),
        ];
        for (call, words) in cases {
            assert_eq!(
                arguments(call).as_deref(),
                Some(&words.iter().map(|own| (*own).to_owned()).collect::<Vec<_>>()[..]),
                "{call}"
            );
        }
        for call in ["get(a", "get(", "get(a)b", "get(a\\", "get() "] {
            assert_eq!(arguments(call), None, "{call}");
        }
    }

    fn on_disk<T>(text: &str, use_it: impl FnOnce(&Path) -> T) -> T {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("soft-ioc-lint-{}-{}.proto", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        assert!(fs::write(&path, text).is_ok());
        let out = use_it(&path);
        assert!(fs::remove_file(&path).is_ok());
        out
    }

    #[test]
    fn a_call_has_its_arguments_or_says_which_are_missing() {
        let text = "Terminator = LF;\nother { out \"\\$2\"; }\nget {\n  out \"x\\${1}\";\n  other;\n  in \"%(E\\$3)\\$2\";\n}\n";
        on_disk(text, |path| {
            let mut protocols = Protocols::default();
            let mut report = Report::default();
            assert_eq!(protocols.read(path, &mut report).unwrap().functions, ["other", "get"]);
            assert_eq!(report.lines(), []);
            let missing = |protocols: &mut Protocols, call| protocols.call(path, call).fault.clone();
            let told = |number: u32, line| Some((line, format!("{MISSING}{number}")));
            assert_eq!(missing(&mut protocols, "get"), told(1, 4));
            assert_eq!(missing(&mut protocols, "get(a)"), told(2, 2));
            assert_eq!(missing(&mut protocols, "get(a,f)"), told(3, 6));
            let whole = protocols.call(path, "get(a, f, GU)");
            let target = Some("EGU".to_owned());
            let read = Conversion { line: 6, target, text: "f".to_owned(), kind: 4, writes: false };
            assert_eq!((&whole.fault, &whole.conversions[..]), (&None, &[read][..]));
        });
    }

    #[test]
    fn a_variable_of_the_file_may_need_an_argument() {
        let text = "Terminator = LF;\nAsk = \"\\$1?\";\nget { out $Ask; in \"%*d%<sum8>\" \"%=f\"; }\n";
        on_disk(text, |path| {
            let mut protocols = Protocols::default();
            assert_eq!(protocols.call(path, "get").fault, Some((2, format!("{MISSING}1"))));
            let found = protocols.call(path, "GET(x)");
            assert_eq!(found.fault, None);
            let kinds: Vec<_> = found.conversions.iter().map(|own| (own.text.as_str(), own.writes)).collect();
            assert_eq!(kinds, [("=f", true)]);
        });
    }

    fn found(text: &str) -> Vec<(u32, u32, &'static str)> {
        on_disk(text, |path| {
            let mut report = Report::default();
            Protocols::default().read(path, &mut report);
            report.lines()
        })
    }

    #[test]
    fn good_protocols_are_silent() {
        assert_eq!(found("Terminator = CR LF;\nget { out \"x\\$1\"; in \"%f\"; @mismatch { in \"%(EGU)s\"; } }\n"), []);
        assert_eq!(found(""), []);
    }

    #[test]
    fn events_have_a_mask_and_a_limit() {
        on_disk("a { event; }\nb { event(5) 1000; }\nc { event 3; }\nd { event(x); }\n", |path| {
            let mut report = Report::default();
            assert!(Protocols::default().read(path, &mut report).is_some());
            assert_eq!(report.lines(), [(4, 1, "protocol")]);
            assert_eq!(Protocols::default().call(path, "b").events, [2]);
        });
    }

    #[test]
    fn mistakes_have_their_place() {
        assert_eq!(found("get {\n  out \"x\";\n  inn \"%f\";\n}\n"), [(3, 3, "protocol")]);
        assert_eq!(found("get {\n  out \"x;\n}\n").len(), 1);
        assert_eq!(found("get {\n  in \"%y\";\n}\n")[0].0, 2);
        assert_eq!(found("get {\n  in \"%f\";\n").len(), 1);
        assert_eq!(found("\nReplyTimeout = 500ms;\nget { in \"%f\"; }\n")[0], (2, 1, "protocol"));
        assert_eq!(found("\u{feff}Terminator = LF;\nget { in \"%f\"; }\n"), [(1, 1, "byte-order-mark")]);
        assert_eq!(found("  Termnator = LF;\nget { in \"%f\"; }\n"), [(1, 3, "unknown-variable")]);
        assert_eq!(found("Seperator = \",\";\nget { in \"%f\" $Seperator; }\n"), []);
        // A brace too few has StreamDevice read none of the functions: said once, whoever calls them.
        on_disk("get {\n  out \"x\";\nput { out \"y\"; }\n", |path| {
            let (mut protocols, mut report) = (Protocols::default(), Report::default());
            assert_eq!([(); 2].map(|()| protocols.read(path, &mut report).is_some()), [false; 2]);
            assert_eq!(report.lines(), [(3, 1, "protocol")]);
        });
        assert_eq!(found("get { in \"%f\"; @nonsense { in \"x\"; } }\n").len(), 1);
        for number in ["100ms", "1.5", "", "99999999999", "\"x\""] {
            for command in
                ["wait", "connect", "event"].into_iter().filter(|own| !(*own == "event" && number.is_empty()))
            {
                let text = format!("get {{\n  in \"%f\";\n  {command} {number};\n  out \"x\";\n}}\n");
                assert_eq!(found(&text), [(3, 3, "protocol")], "{text}");
            }
        }
        assert_eq!(found("get {\n  wait 100ms\n  in \"%f\";\n  out \"x\";\n}\n"), [(2, 3, "protocol")]);
        assert_eq!(found("get {\n  out \"x\";\n  in \"%{a|b\";\n}\n"), [(3, 3, "protocol")]);
        assert_eq!(found("# ignored\nExtraInput =\n  ignored;\nget { in \"%f\"; }\n"), [(3, 3, "protocol")]);
        assert_eq!(found("\nExtraInput = ignored;\nget { in \"%f\"; }\n"), [(2, 14, "protocol")]);
    }
}
