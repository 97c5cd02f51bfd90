//! StreamDevice protocols, by the parser and the compiler of the soft IOC.

mod compile;
mod source;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bounds;
use super::report::{Place, Report, suggest};
use compile::{Commands, compile};
pub use source::column;
use source::{VARIABLES, column_in, first_message, functions, known_line, starts, unknown_variables};

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
