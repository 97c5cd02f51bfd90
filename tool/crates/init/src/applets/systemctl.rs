//! `systemctl`: asks the manager, prints as systemd's does.

mod environment;
mod files;
mod jobs;
mod print;
mod status;

pub(super) use jobs::explain;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use super::{Options, options, say};
use crate::unit::mangle;
use tool_base::protocol::control::{Power, Reply, Request, Shown, Verb};

const FLAGS: &str = "\
    --no-pager --no-legend --plain --quiet -q --no-block --wait --all -a --full -l --failed --value --now --force -f \
    --system --no-ask-password --no-wall --no-reload --runtime -r --recursive --reverse --after --before --show-types \
    --with-dependencies --version --help -h";
const VALUED: &str = "\
    -p --property -P -t --type --state -s --signal --kill-who --kill-whom -n --lines -o --output --job-mode --root \
    --preset-mode --timestamp --what --check-inhibitors";

/// How the refusal of what only root may ask begins.
const DENIED: &str = "Access denied";

/// Asks the manager, and takes the answer that belongs to the request.
macro_rules! asked {
    ($kind:ident, $request:expr) => {
        match $crate::applets::systemctl::ask(&$request)? {
            Reply::$kind(answer) => answer,
            other => return Err($crate::applets::systemctl::odd(&other)),
        }
    };
}
use asked;

/// Asks the manager.
pub(super) fn ask(request: &Request) -> Result<Reply, String> {
    let no_bus = |e: std::io::Error| {
        let text = e.to_string();
        format!("Failed to connect to bus: {}", text.split(" (os error").next().unwrap_or_default())
    };
    let mut stream = UnixStream::connect("/run/systemd/xtask").map_err(no_bus)?;
    let text = serde_json::to_string(request).map_err(|e| e.to_string())? + "\n";
    stream.write_all(text.as_bytes()).map_err(no_bus)?;
    let mut line = String::new();
    let count = BufReader::new(stream).read_line(&mut line).map_err(no_bus)?;
    if count == 0 {
        return Err("Warning! D-Bus connection terminated.".to_owned());
    }
    match serde_json::from_str(&line).map_err(|e| format!("Failed to read the answer: {e}"))? {
        Reply::Refused => Err(format!("{DENIED}: Interactive authentication required.")),
        answer => Ok(answer),
    }
}

/// What is said of an answer that does not belong to the request.
pub(super) fn odd(answer: &Reply) -> String {
    match answer {
        Reply::Error(error) => error.clone(),
        other => format!("Failed to read the answer: {other:?}"),
    }
}

/// Runs `systemctl`.
pub(super) fn run(program: &str, args: &[String]) -> Result<u8, String> {
    if args
        .iter()
        .take_while(|a| *a != "--")
        .any(|a| a == "--user" || a == "--machine" || a.starts_with("--machine=") || a == "-M")
    {
        // There is no manager per user on the machine: what the real program says then.
        return Err("Failed to connect to bus: No such file or directory".to_owned());
    }
    let given = options(program, args, FLAGS, VALUED, "")?;
    if given.has(&["--version"]) {
        super::print(b"systemd 252 (xtask sandbox)\n");
        return Ok(0);
    }
    if given.has(&["--help", "-h"]) {
        super::print(b"systemctl [OPTIONS...] COMMAND ...\n\nA part of systemd's program, as the sandbox of cargo xtask offers it.\n");
        return Ok(0);
    }
    let (verb, words) = match given.words.split_first() {
        Some((verb, words)) => (verb.as_str(), words),
        None => ("list-units", &[][..]),
    };
    match verb {
        "start" => job(Verb::Start, words, &given),
        "stop" => job(Verb::Stop, words, &given),
        "restart" => job(Verb::Restart, words, &given),
        "try-restart" | "condrestart" => job(Verb::TryRestart, words, &given),
        "reload" => job(Verb::Reload, words, &given),
        "reload-or-restart" | "force-reload" => job(Verb::ReloadOrRestart, words, &given),
        "try-reload-or-restart" => job(Verb::TryReloadOrRestart, words, &given),
        "isolate" => Err("systemctl: `isolate` is not offered by the sandbox".to_owned()),
        "kill" => jobs::kill(words, &given),
        "reset-failed" => simple("reset failed state of unit", &Request::ResetFailed { units: mangle_all(words)? }),
        "daemon-reload" | "daemon-reexec" => ask(&Request::Reload).map(|_| 0),
        "show" => print::show(words, &given),
        "cat" => print::cat(words),
        "status" => status::run(words, &given),
        "is-active" => is_state(words, &given, &["active", "reloading"], 3),
        "is-failed" => is_state(words, &given, &["failed"], 1),
        "is-enabled" => files::is_enabled(words, &given),
        "is-system-running" => {
            let state = asked!(State, Request::State { wait: given.has(&["--wait"]) });
            if !given.has(&["--quiet", "-q"]) {
                super::print(format!("{state}\n").as_bytes());
            }
            Ok(u8::from(state != "running"))
        }
        "list-units" => print::list_units(words, &given),
        "list-jobs" => print::list_jobs(words, &given),
        "list-unit-files" => print::list_files(words, &given),
        "list-dependencies" => print::list_dependencies(words, &given),
        "get-default" => files::get_default(),
        "set-default" => files::set_default(words, &given),
        "show-environment" => environment::list(),
        "set-environment" | "unset-environment" | "import-environment" => environment::change(verb, words),
        "enable" | "disable" | "mask" | "unmask" | "reenable" | "preset" => files::enable(verb, words, &given),
        "cancel" => cancel(words),
        "clean" => {
            too_few(words)?;
            let what = given.last(&["--what"]).unwrap_or("cache,runtime").split(',').map(str::to_owned).collect();
            simple("clean unit", &Request::Clean { units: mangle_all(words)?, what })
        }
        "poweroff" | "halt" => power_down(Power::Off, given.has(&["--force", "-f"])),
        "reboot" => power_down(Power::Reboot, given.has(&["--force", "-f"])),
        "list-sockets" | "list-timers" if given.has(&["--no-legend"]) => Ok(0),
        "list-timers" => {
            let text = "NEXT LEFT LAST PASSED UNIT ACTIVATES\n\n0 timers listed.\nPass --all to see loaded but inactive timers, too.\n";
            super::print(text.as_bytes());
            Ok(0)
        }
        "list-sockets" => {
            let text =
                "LISTEN UNIT ACTIVATES\n\n0 sockets listed.\nPass --all to see loaded but inactive sockets, too.\n";
            super::print(text.as_bytes());
            Ok(0)
        }
        _ => Err(format!("Unknown command verb {verb}. (It is not offered by the sandbox.)")),
    }
}

/// Runs `poweroff`, `reboot`, `halt`, `shutdown`.
pub(super) fn power(program: &str, args: &[String]) -> Result<u8, String> {
    let flags = "-f --force -p --poweroff -w --wtmp-only -n --no-wall --no-wtmp -d -r --reboot -h -P -H --halt";
    let given = options(program, args, flags, "", "")?;
    if given.has(&["-w", "--wtmp-only"]) {
        return Ok(0);
    }
    if program == "shutdown" && given.words.first().is_some_and(|w| !matches!(w.as_str(), "now" | "+0")) {
        return Err("shutdown: a time other than `now` is not offered by the sandbox".to_owned());
    }
    let how = if given.has(&["-r", "--reboot"]) || program == "reboot" { Power::Reboot } else { Power::Off };
    power_down(how, given.has(&["-f", "--force"]) && program != "shutdown")
}

/// Brings the machine down.
fn power_down(how: Power, force: bool) -> Result<u8, String> {
    ask(&Request::Power { how, force }).map(|_| 0)
}

/// Has a job done; a refusal of what only root may ask has a status of its own.
fn job(verb: Verb, words: &[String], given: &Options) -> Result<u8, String> {
    match jobs::job(verb, words, given) {
        Err(refusal) if refusal.starts_with(DENIED) => {
            say(&refusal);
            Ok(4)
        }
        other => other,
    }
}

/// Full names of units; an empty one is refused as systemd does.
fn mangle_all(words: &[String]) -> Result<Vec<String>, String> {
    let full = |word: &String| {
        let name = mangle(word).ok_or("Failed to mangle name: Invalid argument")?;
        if !word.starts_with('/') && name != *word && name != format!("{word}.service") {
            say(&format!(
                "Invalid unit name \"{word}\" escaped as \"{}\" (maybe you should use systemd-escape?).",
                name.trim_end_matches(".service")
            ));
        }
        Ok(name)
    };
    words.iter().map(full).collect()
}

/// The warning about a unit whose files are newer than what the manager knows.
fn changed_on_disk(unit: &str) -> String {
    format!(
        "Warning: The unit file, source configuration file or drop-ins of {unit} changed on disk. Run 'systemctl daemon-reload' to reload units."
    )
}

fn too_few(words: &[String]) -> Result<(), String> {
    if words.is_empty() { Err("Too few arguments.".to_owned()) } else { Ok(()) }
}

fn show(units: &[String], processes: bool) -> Result<Vec<Shown>, String> {
    if let Some(template) = units.iter().find(|name| name.contains("@.")) {
        let text = format!("Unit name {template} is neither a valid invocation ID nor unit name.");
        return Err(format!("Failed to get properties: {text}"));
    }
    Ok(asked!(Shown, Request::Show { units: units.to_vec(), processes }))
}

/// A request whose answer is one result per unit.
fn simple(what: &str, request: &Request) -> Result<u8, String> {
    let mut status = 0;
    for result in asked!(Results, *request) {
        if let Some(refusal) = result.refusal {
            say(&format!("Failed to {what} {}: {}", result.unit, refusal.text));
            status = 1;
        }
    }
    Ok(status)
}

fn is_state(words: &[String], given: &Options, good: &[&str], otherwise: u8) -> Result<u8, String> {
    too_few(words)?;
    let mut status = otherwise;
    let failed = |error: String| error.replacen("get properties", "retrieve unit state", 1);
    for unit in show(&mangle_all(words)?, false).map_err(failed)? {
        let state = unit.get("ActiveState");
        if good.contains(&state) {
            status = 0;
        }
        if !given.has(&["--quiet", "-q"]) {
            super::print(format!("{state}\n").as_bytes());
        }
    }
    Ok(status)
}

fn cancel(words: &[String]) -> Result<u8, String> {
    let jobs = words
        .iter()
        .map(|w| w.parse().map_err(|_| format!("Failed to parse job id \"{w}\": Invalid argument")))
        .collect::<Result<_, _>>()?;
    let missing = asked!(Missing, Request::Cancel { jobs });
    for id in &missing {
        say(&format!("Failed to cancel job {id}: Job {id} does not exist."));
    }
    Ok(u8::from(!missing.is_empty()))
}
