//! `systemctl status`.

use std::fmt::Write as _;

use super::super::{Options, journalctl, say, time};
use super::{asked, mangle_all, show};
use crate::unit::values::{quoted, show_timespan_to, signal_name, status_suffix};
use tool_base::protocol::control::{Reply, Request, Shown};

fn out(text: &str) {
    crate::applets::print(text.as_bytes());
}

/// Prints the status of units; 0 where all are active, 3 where one is not, 4 where one is not known.
pub(super) fn run(words: &[String], given: &Options) -> Result<u8, String> {
    if words.is_empty() {
        return machine();
    }
    let mut names = Vec::new();
    for word in words {
        names.push(if word.parse::<u32>().is_ok() {
            unit_of(word)?
        } else {
            mangle_all(std::slice::from_ref(word))?.remove(0)
        });
    }
    let format = journalctl::Format::parse(given.last(&["-o", "--output"]).unwrap_or("short"))?;
    let lines = given.last(&["-n", "--lines"]).and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut status = 0;
    let mut first = true;
    for unit in &show(&names, true)? {
        let load = unit.get("LoadState");
        let active = unit.get("ActiveState");
        if load == "not-found" && active == "inactive" {
            say(&format!("Unit {} could not be found.", unit.get("Id")));
            status = 4;
            continue;
        }
        if !first {
            out("\n");
        }
        first = false;
        out(&one(unit, lines, format));
        if unit.get("NeedDaemonReload") == "yes" {
            say(&super::changed_on_disk(unit.get("Id")));
        }
        if !matches!(active, "active" | "reloading") && status == 0 {
            status = 3;
        }
    }
    Ok(status)
}

fn machine() -> Result<u8, String> {
    let manager = Shown { props: asked!(Props, Request::Manager), processes: Vec::new() };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    out(&format!(
        "● {}\n    State: {}\n    Units: {} loaded\n     Jobs: {} queued\n   Failed: {} units\n    Since: {}\n",
        host.trim(),
        manager.get("SystemState"),
        manager.get("NNames"),
        manager.get("NJobs"),
        manager.get("NFailedUnits"),
        manager.get("UserspaceTimestamp"),
    ));
    Ok(0)
}

fn one(unit: &Shown, lines: usize, format: journalctl::Format) -> String {
    let get = |name: &str| unit.get(name);
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
    if let Some((_, reason)) = get("LoadError").split_once(" \"") {
        let _ = write!(loaded, " (Reason: {})", reason.trim_end_matches('"'));
    } else if !fragment.is_empty() {
        let state = get("UnitFileState");
        let preset = if matches!(state, "enabled" | "disabled") { "; preset: enabled" } else { "" };
        let _ = write!(loaded, " ({fragment}; {state}{preset})");
    }
    let _ = writeln!(text, "     Loaded: {loaded}");
    if get("Transient") == "yes" {
        let _ = writeln!(text, "  Transient: yes");
    }
    text.push_str(&drop_ins(get("DropInPaths")));
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
    let at = |name: &str| get(name).parse::<u64>().unwrap_or(0);
    let (up, down) = (at("ActiveEnterTimestampMonotonic"), at("ActiveExitTimestampMonotonic"));
    if matches!(active, "inactive" | "failed") && up > 0 && down > up {
        let _ = writeln!(text, "   Duration: {}", show_timespan_to(down - up, 1000));
    }
    if !get("Documentation").is_empty() {
        let _ = writeln!(text, "       Docs: {}", get("Documentation").replace(' ', "\n             "));
    }
    processes(unit, &mut text);
    if !get("StatusText").is_empty() {
        let _ = writeln!(text, "     Status: \"{}\"", get("StatusText"));
    }
    let members = &unit.processes;
    if !members.is_empty() {
        let _ = writeln!(text, "      Tasks: {}", members.len());
        let _ = writeln!(text, "     CGroup: {}", get("ControlGroup"));
        let width = members.iter().map(|pid| pid.to_string().len()).max().unwrap_or(0);
        for (index, pid) in members.iter().enumerate() {
            let tree = if index + 1 == members.len() { "└─" } else { "├─" };
            let _ = writeln!(text, "             {tree}{pid:>width$} {}", command_line(*pid));
        }
    }
    let tail = if lines == 0 { Vec::new() } else { journalctl::tail(get("Id"), lines, format) };
    if !tail.is_empty() {
        let _ = write!(text, "\n{}", String::from_utf8_lossy(&tail));
    }
    text
}

fn processes(unit: &Shown, text: &mut String) {
    let get = |name: &str| unit.get(name);
    for (name, value) in &unit.props {
        let part = |key: &str| value.split(" ; ").find_map(|p| p.trim_end_matches(" }").strip_prefix(key));
        if let (true, Some(code @ ("exited" | "killed" | "dumped"))) = (value.starts_with("{ path="), part("code=")) {
            let status = part("status=").and_then(|s| s.split('/').next()?.parse().ok()).unwrap_or(0);
            let (pid, argv) = (part("pid=").unwrap_or_default(), part("argv[]=").unwrap_or_default());
            let _ = writeln!(text, "    Process: {pid} {name}={argv} ({})", ended(code, status));
        }
    }
    let (main, last) = (get("MainPID"), get("ExecMainPID"));
    let code = match get("ExecMainCode") {
        "1" => "exited",
        "2" => "killed",
        _ => "dumped",
    };
    if !matches!(main, "" | "0") {
        let _ = writeln!(text, "   Main PID: {main} ({})", comm(main));
    } else if !matches!(last, "" | "0") && get("ExecMainCode") != "0" {
        let how = ended(code, get("ExecMainStatus").parse().unwrap_or(0));
        let _ = writeln!(text, "   Main PID: {last} ({how})");
    }
    if !matches!(get("ControlPID"), "" | "0") {
        let _ = writeln!(text, "  Cntrl PID: {} ({})", get("ControlPID"), comm(get("ControlPID")));
    }
}

/// How a process ended.
fn ended(code: &str, status: i32) -> String {
    if code == "exited" {
        format!("code=exited, status={status}{}", status_suffix(status))
    } else {
        format!("code={code}, signal={}", signal_name(status))
    }
}

/// The files that add to a unit, folder by folder.
fn drop_ins(paths: &str) -> String {
    let mut folders: Vec<(&str, Vec<&str>)> = Vec::new();
    for (folder, file) in paths.split_whitespace().filter_map(|p| p.rsplit_once('/')) {
        match folders.last_mut().filter(|(last, _)| *last == folder) {
            Some((_, files)) => files.push(file),
            None => folders.push((folder, vec![file])),
        }
    }
    let mut text = String::new();
    for (index, (folder, files)) in folders.iter().enumerate() {
        let head = if index == 0 { "    Drop-In: " } else { "             " };
        let _ = writeln!(text, "{head}{folder}\n             └─{}", files.join(", "));
    }
    text
}

/// The unit that a process belongs to.
fn unit_of(pid: &str) -> Result<String, String> {
    let unit = asked!(Unit, Request::UnitOf { pid: pid.parse().unwrap_or(0) });
    unit.ok_or_else(|| format!("Failed to get unit for PID {pid}: PID {pid} does not belong to any loaded unit."))
}

fn comm(pid: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if text.is_empty() { "n/a".to_owned() } else { text.trim_end().to_owned() }
}

fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').split('\0').map(quoted).collect::<Vec<_>>().join(" ")
}

fn ago(moment: &str) -> String {
    let now = super::super::now();
    let then = time::read(moment, now).unwrap_or(now);
    let seconds = now.saturating_sub(then) / 1_000_000;
    // As coarse as systemd's: two units at most.
    let text = if seconds == 0 { "0s".to_owned() } else { show_timespan_to(seconds * 1_000_000, 1_000_000) };
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
