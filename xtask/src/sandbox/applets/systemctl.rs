//! `systemctl`: asks the manager, prints as systemd's does.

mod print;
mod status;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::{Options, glob, options, say};
use crate::sandbox::init::unit::mangle;
use crate::sandbox::init::unit::values;

const FLAGS: &[&str] = &[
    "--no-pager",
    "--no-legend",
    "--plain",
    "--quiet",
    "-q",
    "--no-block",
    "--wait",
    "--all",
    "-a",
    "--full",
    "-l",
    "--failed",
    "--value",
    "--now",
    "--force",
    "-f",
    "--system",
    "--no-ask-password",
    "--no-wall",
    "--no-reload",
    "--runtime",
    "-r",
    "--recursive",
    "--reverse",
    "--after",
    "--before",
    "--show-types",
    "--with-dependencies",
    "--version",
    "--help",
    "-h",
];
const VALUED: &[&str] = &[
    "-p",
    "--property",
    "-P",
    "-t",
    "--type",
    "--state",
    "-s",
    "--signal",
    "--kill-who",
    "--kill-whom",
    "-n",
    "--lines",
    "-o",
    "--output",
    "--job-mode",
    "--root",
    "--preset-mode",
    "--timestamp",
    "--what",
    "--check-inhibitors",
];

/// Asks the manager.
fn ask(request: &Value) -> Result<Value, String> {
    let no_bus = |e: std::io::Error| {
        let text = e.to_string();
        format!("Failed to connect to bus: {}", text.split(" (os error").next().unwrap_or_default())
    };
    let mut stream = UnixStream::connect("/run/systemd/xtask").map_err(no_bus)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(no_bus)?;
    let mut line = String::new();
    let count = BufReader::new(stream).read_line(&mut line).map_err(no_bus)?;
    if count == 0 {
        return Err("Warning! D-Bus connection terminated.".to_owned());
    }
    let answer: Value = serde_json::from_str(&line).map_err(|e| format!("Failed to read the answer: {e}"))?;
    match answer["refused"].as_str() {
        Some(refusal) => Err(format!("Access denied: {refusal}")),
        None => Ok(answer),
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
    let given = options(program, args, FLAGS, VALUED, &[])?;
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
        "start"
        | "stop"
        | "restart"
        | "try-restart"
        | "condrestart"
        | "reload"
        | "reload-or-restart"
        | "try-reload-or-restart"
        | "force-reload" => job(verb, words, &given),
        "isolate" => Err("systemctl: `isolate` is not offered by the sandbox".to_owned()),
        "kill" => kill(words, &given),
        "reset-failed" => {
            simple("reset failed state of unit", &json!({ "op": "reset-failed", "units": mangle_all(words)? }), &given)
        }
        "daemon-reload" | "daemon-reexec" => ask(&json!({ "op": "reload" })).map(|_| 0),
        "show" => print::show(words, &given),
        "cat" => print::cat(words),
        "status" => status::run(words, &given),
        "is-active" => is_state(words, &given, &["active", "reloading"], 3),
        "is-failed" => is_failed(words, &given),
        "is-enabled" => is_enabled(words, &given),
        "is-system-running" => {
            let answer = ask(&json!({ "op": "state", "wait": given.has(&["--wait"]) }))?;
            let state = answer["state"].as_str().unwrap_or("unknown").to_owned();
            if !given.has(&["--quiet", "-q"]) {
                super::print(format!("{state}\n").as_bytes());
            }
            Ok(u8::from(state != "running"))
        }
        "list-units" => print::list_units(words, &given),
        "list-jobs" => print::list_jobs(words, &given),
        "list-unit-files" => print::list_files(words, &given),
        "list-dependencies" => print::list_dependencies(words, &given),
        "get-default" => {
            let answer = show(&["default.target".to_owned()], false)?;
            super::print(format!("{}\n", property(&answer["units"][0], "Id")).as_bytes());
            Ok(0)
        }
        "show-environment" => {
            super::print(format!("LANG=C.UTF-8\nPATH={}\n", std::env::var("PATH").unwrap_or_default()).as_bytes());
            Ok(0)
        }
        "enable" | "disable" | "mask" | "unmask" | "reenable" => enable(verb, words, &given),
        "poweroff" | "halt" | "reboot" => shutdown(verb, given.has(&["--force", "-f"])),
        "list-sockets" | "list-timers" => {
            super::print(b"0 units listed.\n");
            Ok(0)
        }
        _ => Err(format!("Unknown command verb {verb}. (It is not offered by the sandbox.)")),
    }
}

/// Runs `poweroff`, `reboot`, `halt`, `shutdown`.
pub(super) fn power(program: &str, args: &[String]) -> Result<u8, String> {
    let flags = [
        "-f",
        "--force",
        "-p",
        "--poweroff",
        "-w",
        "--wtmp-only",
        "-n",
        "--no-wall",
        "--no-wtmp",
        "-d",
        "-r",
        "--reboot",
        "-h",
        "-P",
        "-H",
        "--halt",
    ];
    let given = options(program, args, &flags, &[], &[])?;
    if given.has(&["-w", "--wtmp-only"]) {
        return Ok(0);
    }
    if program == "shutdown" && given.words.first().is_some_and(|w| !matches!(w.as_str(), "now" | "+0")) {
        return Err("shutdown: a time other than `now` is not offered by the sandbox".to_owned());
    }
    let verb = if given.has(&["-r", "--reboot"]) || program == "reboot" { "reboot" } else { "poweroff" };
    shutdown(verb, given.has(&["-f", "--force"]) && program != "shutdown")
}

fn shutdown(verb: &str, force: bool) -> Result<u8, String> {
    ask(&json!({ "op": "power", "how": verb, "force": force })).map(|_| 0)
}

/// Full names of units; an empty one is refused as systemd does.
fn mangle_all(words: &[String]) -> Result<Vec<String>, String> {
    words.iter().map(|w| mangle(w).ok_or_else(|| "Failed to mangle name: Invalid argument".to_owned())).collect()
}

fn too_few(words: &[String]) -> Result<(), String> {
    if words.is_empty() { Err("Too few arguments.".to_owned()) } else { Ok(()) }
}

fn show(units: &[String], processes: bool) -> Result<Value, String> {
    ask(&json!({ "op": "show", "units": units, "process_lists": processes }))
}

/// A property of a unit in an answer; empty where it has none.
fn property<'a>(unit: &'a Value, name: &str) -> &'a str {
    let pairs = unit["props"].as_array().into_iter().flatten();
    pairs.filter(|p| p[0] == name).find_map(|p| p[1].as_str()).unwrap_or_default()
}

fn job(verb: &str, words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let verb = match verb {
        "condrestart" => "try-restart",
        "force-reload" => "reload-or-restart",
        verb => verb,
    };
    let names = mangle_all(words)?;
    if let Some(power @ ("poweroff.target" | "halt.target" | "reboot.target")) = names.first().map(String::as_str)
        && verb == "start"
    {
        return shutdown(power.trim_end_matches(".target"), false);
    }
    let request = json!({
        "op": "job", "verb": verb, "units": names,
        "no_block": given.has(&["--no-block"]), "wait": given.has(&["--wait"]),
    });
    let answer = ask(&request)?;
    let mut status = 0;
    let quiet = given.has(&["--quiet", "-q"]);
    for result in answer["results"].as_array().into_iter().flatten() {
        let unit = result["unit"].as_str().unwrap_or_default();
        if let Some(error) = result["error"].as_str() {
            say(&format!("Failed to {verb} {unit}: {error}"));
            if error.contains("bad unit file setting") {
                say(&format!("See system logs and 'systemctl status {unit}' for details."));
            }
            status = status.max(u8::try_from(result["status"].as_u64().unwrap_or(1)).unwrap_or(1));
            continue;
        }
        if result["changed"] == true && !quiet {
            say(&format!(
                "Warning: The unit file, source configuration file or drop-ins of {unit} changed on disk. Run 'systemctl daemon-reload' to reload units."
            ));
        }
        let job = result["job"].as_str().unwrap_or("done");
        if matches!(job, "done" | "skipped") {
            if given.has(&["--wait"]) && verb != "stop" {
                let answer = show(&[unit.to_owned()], false)?;
                status = status.max(u8::from(property(&answer["units"][0], "ActiveState") == "failed"));
            }
            continue;
        }
        status = status.max(1);
        if !quiet {
            explain(unit, job, result["result"].as_str().unwrap_or_default());
        }
    }
    Ok(status)
}

/// Says why a job has not done what it should.
fn explain(unit: &str, job: &str, result: &str) {
    let text = match job {
        "canceled" => format!("Job for {unit} canceled."),
        "timeout" => format!("Job for {unit} timed out."),
        "dependency" => format!("A dependency job for {unit} failed. See 'journalctl -xe' for details."),
        "invalid" => format!("{unit} is not active, cannot reload."),
        "assert" => format!("Assertion failed on job for {unit}."),
        _ => {
            let why = match result {
                "resources" => "of unavailable resources or another system error",
                "protocol" => "the service did not take the steps required by its unit configuration",
                "timeout" => "a timeout was exceeded",
                "exit-code" => "the control process exited with error code",
                "signal" => "a fatal signal was delivered to the control process",
                "core-dump" => "a fatal signal was delivered causing the control process to dump core",
                "oom-kill" => "of an out-of-memory (OOM) situation",
                "start-limit-hit" => "start of the service was attempted too often",
                _ => "of an unknown reason",
            };
            say(&format!("Job for {unit} failed because {why}."));
            let see = format!("See \"systemctl status {unit}\" and \"journalctl -xeu {unit}\" for details.");
            if result == "start-limit-hit" {
                format!(
                    "{see}\nTo force a start use \"systemctl reset-failed {unit}\"\nfollowed by \"systemctl start {unit}\" again."
                )
            } else {
                see
            }
        }
    };
    say(&text);
}

fn kill(words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let signal = given.last(&["-s", "--signal"]).unwrap_or("SIGTERM");
    let signal = values::signal(signal).map_err(|_| format!("Failed to parse signal string {signal}."))?;
    let who = given.last(&["--kill-who", "--kill-whom"]).unwrap_or("all");
    simple("kill unit", &json!({ "op": "kill", "units": mangle_all(words)?, "signal": signal, "who": who }), given)
}

/// A request whose answer is one result per unit.
fn simple(what: &str, request: &Value, _given: &Options) -> Result<u8, String> {
    let answer = ask(request)?;
    let mut status = 0;
    for result in answer["results"].as_array().into_iter().flatten() {
        if let Some(error) = result["error"].as_str() {
            say(&format!("Failed to {what} {}: {error}", result["unit"].as_str().unwrap_or_default()));
            status = 1;
        }
    }
    Ok(status)
}

fn is_state(words: &[String], given: &Options, good: &[&str], otherwise: u8) -> Result<u8, String> {
    too_few(words)?;
    let answer = show(&mangle_all(words)?, false)?;
    let mut status = otherwise;
    for unit in answer["units"].as_array().into_iter().flatten() {
        let state = property(unit, "ActiveState");
        if good.contains(&state) {
            status = 0;
        }
        if !given.has(&["--quiet", "-q"]) {
            super::print(format!("{state}\n").as_bytes());
        }
    }
    Ok(status)
}

fn is_failed(words: &[String], given: &Options) -> Result<u8, String> {
    if words.is_empty() {
        let state = ask(&json!({ "op": "state" }))?["state"].as_str().unwrap_or("unknown").to_owned();
        super::print(format!("{state}\n").as_bytes());
        return Ok(u8::from(state != "degraded"));
    }
    is_state(words, given, &["failed"], 1)
}

fn is_enabled(words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    let mut status = 1;
    for name in names.iter().filter(|n| !glob::is_pattern(n)) {
        let answer = show(std::slice::from_ref(name), false)?;
        let state = property(&answer["units"][0], "UnitFileState");
        if state.is_empty() {
            return Err(format!("Failed to get unit file state for {name}: No such file or directory"));
        }
        if matches!(state, "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated" | "transient")
        {
            status = 0;
        }
        if !given.has(&["--quiet", "-q"]) {
            super::print(format!("{state}\n").as_bytes());
        }
    }
    Ok(status)
}

const NO_INSTALL: &str = "\
The unit files have no installation config (WantedBy=, RequiredBy=, Also=,
Alias= settings in the [Install] section, and DefaultInstance= for template
units). This means they are not meant to be enabled using systemctl.
 
Possible reasons for having this kind of units are:
• A unit may be statically enabled by being symlinked from another unit's
  .wants/ or .requires/ directory.
• A unit's purpose may be to act as a helper for some other unit which has
  a requirement dependency on it.
• A unit may be started when needed via activation (socket, path, timer,
  D-Bus, udev, scripted systemctl call, ...).
• In case of template units, the unit is meant to be enabled with some
  instance name specified.";

fn enable(verb: &str, words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    let steps: &[&str] = if verb == "reenable" { &["disable", "enable"] } else { &[verb] };
    for step in steps {
        let answer = ask(&json!({ "op": step, "units": names }))?;
        let quiet = given.has(&["--quiet", "-q"]);
        for line in answer["said"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|_| !quiet) {
            say(line);
        }
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        if answer["no_install"] == true && !quiet {
            say(NO_INSTALL);
        }
    }
    match verb {
        "enable" if given.has(&["--now"]) => job("start", words, given),
        "disable" | "mask" if given.has(&["--now"]) => job("stop", words, given),
        _ => Ok(0),
    }
}
