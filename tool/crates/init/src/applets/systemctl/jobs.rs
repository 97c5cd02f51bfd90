//! What `systemctl` asks the manager to do with units.

use super::super::{Options, say};
use super::{asked, changed_on_disk, mangle_all, power_down, simple, too_few};
use crate::unit::values;
use tool_base::glob;
use tool_base::protocol::control::{Power, Reply, Request, Verb, Who};

/// `start`, `stop`, `restart` and the like.
pub(super) fn job(verb: Verb, words: &[String], given: &Options) -> Result<u8, String> {
    too_few(words)?;
    let names = mangle_all(words)?;
    match names.first().map(String::as_str).filter(|_| verb == Verb::Start) {
        Some("poweroff.target" | "halt.target") => return power_down(Power::Off, false),
        Some("reboot.target") => return power_down(Power::Reboot, false),
        _ => {}
    }
    if verb == Verb::Start && names.iter().any(|n| glob::is_pattern(n)) && !given.has(&["--all", "-a"]) {
        say(GLOB_HINT);
    }
    let wait = given.has(&["--wait"]);
    let request = Request::Job { verb, units: names, no_block: given.has(&["--no-block"]), wait };
    let mut status = 0;
    let quiet = given.has(&["--quiet", "-q"]);
    for result in asked!(Results, request) {
        let unit = &result.unit;
        if let Some(refusal) = &result.refusal {
            say(&format!("Failed to {} {unit}: {}", method(verb), refusal.text));
            if refusal.see_log {
                say(&format!("See system logs and 'systemctl status {unit}' for details."));
            }
            status = status.max(refusal.status);
            continue;
        }
        if result.changed && !quiet {
            say(&changed_on_disk(unit));
        }
        if matches!(result.job.as_str(), "done" | "skipped") {
            if wait && verb != Verb::Stop {
                status = status.max(u8::from(result.end.is_some_and(|end| end.active == "failed")));
            }
            continue;
        }
        status = status.max(1);
        if !quiet {
            explain(unit, &result.job, &result.result);
        }
    }
    Ok(status)
}

/// A verb as systemd's messages have it.
fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Restart => "restart",
        Verb::TryRestart => "try-restart",
        Verb::Reload => "reload",
        Verb::ReloadOrRestart => "reload-or-restart",
        Verb::TryReloadOrRestart => "reload-or-try-restart",
    }
}

const GLOB_HINT: &str = "\
Warning: systemctl start called with a glob pattern.
Hint: unit globs expand to loaded units, so start will usually have no effect.
      Passing --all will also load units which are pulled in by other units.
      See systemctl(1) for more details.";

/// Says why a job has not done what it should.
pub fn explain(unit: &str, job: &str, result: &str) {
    let text = match job {
        "canceled" => format!("Job for {unit} canceled."),
        "timeout" => format!("Job for {unit} timed out."),
        "dependency" => format!("A dependency job for {unit} failed. See 'journalctl -xe' for details."),
        "invalid" => format!("{unit} is not active, cannot reload."),
        "assert" => format!("Assertion failed on job for {unit}."),
        _ => {
            let why = match result {
                "resources" => " because of unavailable resources or another system error",
                "protocol" => " because the service did not take the steps required by its unit configuration",
                "timeout" => " because a timeout was exceeded",
                "exit-code" => " because the control process exited with error code",
                "signal" => " because a fatal signal was delivered to the control process",
                "core-dump" => " because a fatal signal was delivered causing the control process to dump core",
                "watchdog" => " because the service failed to send watchdog ping",
                "start-limit-hit" => " because start of the service was attempted too often",
                _ => "",
            };
            say(&format!("Job for {unit} failed{why}."));
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

/// `systemctl kill`.
pub(super) fn kill(words: &[String], given: &Options) -> Result<u8, String> {
    if matches!(given.last(&["-s", "--signal"]), Some("list" | "help")) {
        let rows = (1..=31).map(|n| format!("{n:<6} SIG{}\n", values::signal_name(n))).collect::<String>();
        crate::applets::print(format!("SIGNAL NAME\n{rows}").as_bytes());
        return Ok(0);
    }
    too_few(words)?;
    let signal = given.last(&["-s", "--signal"]).unwrap_or("SIGTERM");
    let signal = values::signal(signal).map_err(|_| format!("Failed to parse signal string \"{signal}\"."))?;
    let who = given.last(&["--kill-who", "--kill-whom"]).unwrap_or("all");
    if !matches!(who, "all" | "main" | "control" | "all-fail" | "main-fail" | "control-fail") {
        return Err(format!("Failed to kill unit {}: Invalid who argument {who}", mangle_all(words)?.join(" ")));
    }
    let who = match who {
        "main" => Who::Main,
        "control" => Who::Control,
        _ => Who::All,
    };
    simple("kill unit", &Request::Kill { units: mangle_all(words)?, signal, who })
}
