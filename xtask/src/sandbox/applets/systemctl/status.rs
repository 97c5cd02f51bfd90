//! `systemctl status`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{Options, journalctl, say, time};
use super::{ask, mangle_all, property, show};
use crate::sandbox::init::unit::values::show_timespan;

fn out(text: &str) {
    crate::sandbox::applets::print(text.as_bytes());
}

/// Prints the status of units; 0 where all are active, 3 where one is not, 4 where one is not known.
pub(super) fn run(words: &[String], given: &Options) -> Result<u8, String> {
    if words.is_empty() {
        return machine();
    }
    let names = mangle_all(words)?;
    let answer = show(&names, true)?;
    let lines = given.last(&["-n", "--lines"]).and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut status = 0;
    let mut first = true;
    for unit in answer["units"].as_array().into_iter().flatten() {
        let load = property(unit, "LoadState");
        if load == "not-found" {
            say(&format!("Unit {} could not be found.", property(unit, "Id")));
            status = 4;
            continue;
        }
        if !first {
            out("\n");
        }
        first = false;
        out(&one(unit, lines));
        let active = property(unit, "ActiveState");
        if !matches!(active, "active" | "reloading") && status == 0 {
            status = 3;
        }
    }
    Ok(status)
}

fn machine() -> Result<u8, String> {
    let answer = ask(&json!({ "op": "manager" }))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    out(&format!(
        "● {}\n    State: {}\n    Units: {} loaded\n     Jobs: {} queued\n   Failed: {} units\n    Since: {}\n",
        host.trim(),
        property(&answer, "SystemState"),
        property(&answer, "NNames"),
        property(&answer, "NJobs"),
        property(&answer, "NFailedUnits"),
        property(&answer, "UserspaceTimestamp"),
    ));
    Ok(0)
}

fn one(unit: &Value, lines: usize) -> String {
    let get = |name: &str| property(unit, name);
    let active = get("ActiveState");
    let mark = match active {
        "active" | "activating" | "reloading" | "deactivating" => "●",
        "failed" => "×",
        _ => "○",
    };
    let mark = if active == "reloading" { "↻" } else { mark };
    let mut text = format!("{mark} {}", get("Id"));
    if get("Description") != get("Id") {
        let _ = write!(text, " - {}", get("Description"));
    }
    text.push('\n');
    let fragment = get("FragmentPath");
    let mut loaded = get("LoadState").to_owned();
    if !get("LoadError").is_empty() {
        let _ = write!(loaded, " (Reason: {})", get("LoadError"));
    } else if !fragment.is_empty() {
        let _ = write!(loaded, " ({fragment}; {}; preset: enabled)", get("UnitFileState"));
    }
    let _ = writeln!(text, "     Loaded: {loaded}");
    if !get("DropInPaths").is_empty() {
        let _ = writeln!(text, "    Drop-In: {}", get("DropInPaths").replace(' ', "\n             "));
    }
    let sub = get("SubState");
    let mut state = if sub == active { active.to_owned() } else { format!("{active} ({sub})") };
    if active == "failed" {
        state = format!("failed (Result: {})", get("Result"));
    } else if !get("Result").is_empty() && get("Result") != "success" {
        state = format!("{active} ({sub}) (Result: {})", get("Result"));
    }
    let since = match active {
        "active" | "reloading" => "ActiveEnterTimestamp",
        "inactive" | "failed" => "InactiveEnterTimestamp",
        "activating" => "InactiveExitTimestamp",
        _ => "ActiveExitTimestamp",
    };
    if get(since).is_empty() {
        let _ = writeln!(text, "     Active: {state}");
    } else {
        let _ = writeln!(text, "     Active: {state} since {}; {} ago", get(since), ago(get(since)));
    }
    if get("ConditionResult") == "no" && !get("ConditionTimestamp").is_empty() {
        let _ = writeln!(
            text,
            "  Condition: start condition failed at {}; {} ago",
            get("ConditionTimestamp"),
            ago(get("ConditionTimestamp"))
        );
    }
    if !get("Documentation").is_empty() {
        let _ = writeln!(text, "       Docs: {}", get("Documentation").replace(' ', "\n             "));
    }
    processes(unit, &mut text);
    if !get("StatusText").is_empty() {
        let _ = writeln!(text, "     Status: \"{}\"", get("StatusText"));
    }
    let members: Vec<i64> = unit["processes"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    if !members.is_empty() {
        let _ = writeln!(text, "      Tasks: {}", members.len());
        let _ = writeln!(text, "     CGroup: {}", get("ControlGroup"));
        for (index, pid) in members.iter().enumerate() {
            let tree = if index + 1 == members.len() { "└─" } else { "├─" };
            let _ = writeln!(text, "             {tree}{pid} {}", command_line(*pid));
        }
    }
    let tail = if lines == 0 { Vec::new() } else { journalctl::tail(get("Id"), lines) };
    if !tail.is_empty() {
        let _ = write!(text, "\n{}", String::from_utf8_lossy(&tail));
    }
    text
}

fn processes(unit: &Value, text: &mut String) {
    let get = |name: &str| property(unit, name);
    let how = || {
        let status = get("ExecMainStatus").parse().unwrap_or(0);
        match get("ExecMainCode") {
            "1" => format!("code=exited, status={status}{}", named(status)),
            "2" => format!("code=killed, signal={}", crate::sandbox::init::unit::values::signal_name(status)),
            _ => format!("code=dumped, signal={}", crate::sandbox::init::unit::values::signal_name(status)),
        }
    };
    let (main, last) = (get("MainPID"), get("ExecMainPID"));
    if !matches!(main, "" | "0") {
        let _ = writeln!(text, "   Main PID: {main} ({})", comm(main));
    } else if !matches!(last, "" | "0") && get("ExecMainCode") != "0" {
        let _ = writeln!(text, "    Process: {last} ExecStart={} ({})", argv(get("ExecStart")), how());
        let _ = writeln!(text, "   Main PID: {last} ({})", how());
    }
    if !matches!(get("ControlPID"), "" | "0") {
        let _ = writeln!(text, "  Cntrl PID: {} ({})", get("ControlPID"), comm(get("ControlPID")));
    }
}

fn named(status: i32) -> String {
    match crate::sandbox::init::unit::values::status_name(status) {
        "n/a" => String::new(),
        name => format!("/{name}"),
    }
}

/// The command in a value of `ExecStart`.
fn argv(text: &str) -> &str {
    text.split(" ; ").find_map(|part| part.strip_prefix("argv[]=")).unwrap_or_default()
}

fn comm(pid: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if text.is_empty() { "n/a".to_owned() } else { text.trim_end().to_owned() }
}

fn command_line(pid: i64) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

fn ago(moment: &str) -> String {
    let now = super::super::now();
    let then = time::read(moment, now).unwrap_or(now);
    let seconds = now.saturating_sub(then) / 1_000_000;
    // As coarse as systemd's: two units at most.
    let text = if seconds == 0 { "0s".to_owned() } else { show_timespan(seconds * 1_000_000) };
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
