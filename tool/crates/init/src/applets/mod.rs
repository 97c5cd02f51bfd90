//! Programs that the xtask binary stands in for on a sandbox machine, chosen by the name it is called by.

mod console;
mod journalctl;
mod nc;
mod search;
mod systemctl;
mod talk;
pub mod time;
mod transient;

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use tool_base::fail::Status;

/// Folder of a machine for programs that `search` starts.
pub const SEARCHERS: &str = "/machine/search";

/// Runs the applet that `args[0]` names; `None` where it names none.
pub fn dispatch(args: &[OsString]) -> Result<Option<Status>> {
    let name = args.first().and_then(|a| Path::new(a).file_name()).and_then(|n| n.to_str()).unwrap_or_default();
    let applet: fn(&str, &[String]) -> Result<u8, String> = match name {
        "systemctl" => systemctl::run,
        "journalctl" => journalctl::run,
        "poweroff" | "reboot" | "halt" | "shutdown" => systemctl::power,
        "systemd-notify" => talk::notify,
        "systemd-cat" => talk::cat,
        "nc" => nc::run,
        "ioc-console" => console::run,
        "systemd-run" => transient::run,
        _ => return if search::has(name) { search::run(name, args).map(Some) } else { Ok(None) },
    };
    let rest: Vec<String> = args[1..].iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let status = applet(name, &rest).unwrap_or_else(|message| {
        say(&message);
        1
    });
    Ok(Some(Status::Other(status)))
}

/// A line on stderr, as it is: these programs speak for themselves, not for xtask.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Bytes on stdout. `false` when nobody reads them any more.
fn print(bytes: &[u8]) -> bool {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Options of a command line: each with its value, and the rest.
struct Options {
    /// Options in their order: name with dashes, value.
    given: Vec<(String, String)>,
    /// Words that are no options.
    words: Vec<String>,
}

/// Splits a command line. `flags` take no value, `valued` take one; both list `-s` and `--long` forms.
fn options(program: &str, args: &[String], flags: &str, valued: &str, optional: &str) -> Result<Options, String> {
    let mut out = Options { given: Vec::new(), words: Vec::new() };
    let mut args = args.iter();
    let unknown = |name: &str| format!("{program}: unrecognized option '{name}' (not offered by the sandbox)");
    while let Some(arg) = args.next() {
        if arg == "--" {
            out.words.extend(args.cloned());
            break;
        }
        if let Some((name, value)) = arg.split_once('=').filter(|_| arg.starts_with("--")) {
            if !lists(valued, name) && !lists(optional, name) {
                return Err(unknown(name));
            }
            out.given.push((name.to_owned(), value.to_owned()));
        } else if arg.starts_with("--") {
            if lists(valued, arg) {
                let value = args.next().ok_or_else(|| format!("{program}: option '{arg}' requires an argument"))?;
                out.given.push((arg.clone(), value.clone()));
            } else if lists(optional, arg) {
                let value = args.as_slice().first().filter(|next| may_follow(arg, next)).cloned();
                args.by_ref().take(usize::from(value.is_some())).for_each(drop);
                out.given.push((arg.clone(), value.unwrap_or_default()));
            } else if lists(flags, arg) {
                out.given.push((arg.clone(), String::new()));
            } else {
                return Err(unknown(arg));
            }
        } else if arg.len() > 1 && arg.starts_with('-') {
            for (at, letter) in arg[1..].char_indices() {
                let name = format!("-{letter}");
                let rest = &arg[1 + at + letter.len_utf8()..];
                if lists(valued, &name) {
                    let value = if rest.is_empty() { args.next().cloned() } else { Some(rest.to_owned()) };
                    let value = value.ok_or_else(|| format!("{program}: option requires an argument -- '{letter}'"))?;
                    out.given.push((name, value));
                    break;
                }
                if lists(optional, &name) {
                    // As getopt does: a value only when it follows at once, or, for numbers, as the next word.
                    let mut value = rest.to_owned();
                    if rest.is_empty()
                        && let Some(next) = args.as_slice().first().filter(|next| may_follow(&name, next))
                    {
                        value.clone_from(next);
                        args.next();
                    }
                    out.given.push((name, value));
                    break;
                }
                if !lists(flags, &name) {
                    return Err(format!("{program}: invalid option -- '{letter}' (not offered by the sandbox)"));
                }
                out.given.push((name, String::new()));
            }
        } else {
            out.words.push(arg.clone());
        }
    }
    Ok(out)
}

/// Whether `word` is one of `words`.
fn lists(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

/// How many words of a command line are a program's own: its options, before the command that it is to run.
fn own_arguments(args: &[String], valued: &str) -> usize {
    let mut at = 0;
    while let Some(arg) = args.get(at).filter(|a| a.len() > 1 && a.starts_with('-')) {
        at += 1;
        if arg == "--" {
            break;
        }
        at += usize::from(lists(valued, arg));
    }
    at.min(args.len())
}

/// `3`, `+3`, `all`, and for boots `-1` or an id: what may follow `-b` or `-n` as a word of its own.
fn may_follow(option: &str, word: &str) -> bool {
    let boot = matches!(option, "-b" | "--boot");
    let digits = if boot { word.trim_start_matches(['-', '+']) } else { word.trim_start_matches('+') };
    word == "all"
        || (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
        || (boot && word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit()))
}

impl Options {
    fn has(&self, names: &[&str]) -> bool {
        self.given.iter().any(|(n, _)| names.contains(&n.as_str()))
    }

    /// Values of an option, all of them.
    fn all(&self, names: &[&str]) -> Vec<&str> {
        self.given.iter().filter(|(n, _)| names.contains(&n.as_str())).map(|(_, v)| v.as_str()).collect()
    }

    /// The last value of an option.
    fn last(&self, names: &[&str]) -> Option<&str> {
        self.all(names).last().copied()
    }
}

/// µs since 1970.
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
