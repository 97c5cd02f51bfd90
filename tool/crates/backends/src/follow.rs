//! Starts one sandbox run and follows it to its end.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use tool_base::host::Host;
use tool_base::interrupt::Presses;
use tool_base::{fail, left, sys};
use tool_host::doctor;
use tool_runner::{DriverEvent, Exec, Outcome, ScriptFailure, Verdict, Watch, record};
use tool_sandbox::run::{Output, Run, Streams, Trouble};

use tool_sandbox::spec::{MachineSpec, Spec};

use crate::told::Log;

/// Seconds that the driver gets beyond the script's own limit before it is killed.
const GRACE: u64 = 30;
/// Namespaces of a kind that a few checks with several machines need.
const FEW: u64 = 64;

enum Message {
    Driver(DriverEvent),
    Interrupt,
    /// The stream has ended; whether it ever said anything.
    Ended(bool),
}

/// Starts a run; where this host does not allow it, the error has the fix for this host.
pub fn start(spec: &Spec, dir: &Path, output: &Output) -> Result<(Run, Option<Streams>)> {
    Run::start(spec, dir, output).map_err(with_fix)
}

/// Waits for the end of a run that nobody follows; the driver's exit status.
pub fn wait(run: Run, spec: &Spec) -> Result<u8> {
    let code = run.wait().map_err(with_fix);
    // The folder was only there to mount the run's memory on.
    let _ = fs::remove_dir(&spec.state_dir);
    code
}

/// The one place that says why the sandbox does not work on this host.
fn with_fix(error: anyhow::Error) -> anyhow::Error {
    let Some(trouble) = error.downcast_ref::<Trouble>() else { return error };
    let hint = trouble.1.clone().or_else(limits).unwrap_or_else(|| {
        let facts = doctor::userns::facts(&Host::new(Path::new("/")));
        match doctor::diagnose_userns(&facts) {
            Some(finding) => format!("{}\n(tool/docs/errors.md, {})", finding.fix.replace("\n$ ", "\n"), finding.id),
            None => "namespaces can be made here; see what else is wrong: cargo xtask doctor".to_owned(),
        }
    });
    fail::host(trouble.to_string()).hint(hint).into()
}

/// How to raise the limits on kinds of namespaces that leave less than a few checks need. No namespaces at all are another case.
fn limits() -> Option<String> {
    let limit = |kind: &str| {
        let name = format!("max_{kind}_namespaces");
        let value: u64 = fs::read_to_string(format!("/proc/sys/user/{name}")).ok()?.trim().parse().ok()?;
        (value < FEW && (kind != "user" || value > 0)).then(|| format!("\nsudo sysctl -w user.{name}=28633"))
    };
    let raised: String = ["user", "mnt", "pid", "net", "uts", "ipc"].into_iter().filter_map(limit).collect();
    (!raised.is_empty()).then(|| format!("this host allows few namespaces; raise the limit:{raised}"))
}

/// Follows one sandbox run to its end.
pub fn follow(spec: &Spec, exec: &Exec, watch: &Watch) -> Result<Outcome> {
    let begun = Instant::now();
    let (mut run, streams) = start(spec, &exec.dir, &Output::Piped)?;
    let Streams { log, events, mut input } = streams.context("the sandbox has no output")?;
    let mut interrupter = run.interrupter()?;

    let mut told = Log::create(&exec.dir.join("log"), watch.lines())?;
    let log = std::thread::spawn(move || (copy(log, &mut told), told));
    let (sender, messages) = channel();
    let reader = std::thread::spawn(move || read_events(events, &sender));

    let mut limit = Duration::from_secs(spec.global_timeout.saturating_add(GRACE));
    let mut failure: Option<(ScriptFailure, f64)> = None;
    let mut remarks = Vec::new();
    let mut presses = Presses::default();
    let mut hung = false;
    let mut heard = true;
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        match next(&messages, &watch.interrupts, left) {
            Some(Message::Driver(mut event)) => {
                if let DriverEvent::Failure(f) = &mut event {
                    f.message.extend(search_hint(spec, f));
                    failure = Some((f.clone(), tool_runner::now()));
                }
                if let DriverEvent::Remark { text } = &event {
                    remarks.push(text.clone());
                }
                let debug = if let DriverEvent::Debug { open } = event { Some(open) } else { None };
                watch.driver(event);
                match debug {
                    Some(true) => {
                        // A person takes the time they want.
                        limit = Duration::MAX;
                        watch.flush();
                        if let Some(mut input) = input.take() {
                            input.write_all(b"\n")?;
                        }
                    }
                    Some(false) => sys::take_terminal(),
                    None => {}
                }
            }
            Some(Message::Interrupt) => {
                // It may have ended by itself.
                if presses.again() {
                    run.kill();
                } else {
                    let _ = interrupter.interrupt();
                }
            }
            Some(Message::Ended(any)) => {
                heard = any;
                break;
            }
            None => {
                hung = true;
                run.kill();
                break;
            }
        }
    }
    let code = if hung || presses.kill() { Ok(137) } else { wait(run, spec) };
    let took = begun.elapsed();
    reader.join().ok();
    if let Ok((copied, told)) = log.join() {
        told.end();
        copied?;
    }
    let code = code?;
    let failure = failure.map(|(mut failure, at)| {
        let line = format!("{}\n{}", failure.source.as_deref().unwrap_or_default(), failure.message);
        for value in record::named(&exec.dir.join("record"), &line, at) {
            failure.message += &format!("\n{value}");
        }
        failure
    });
    let verdict = match code {
        _ if presses.any() => Verdict::Interrupted,
        _ if hung => Verdict::TimedOut(spec.global_timeout),
        0 => Verdict::Passed,
        143 if took.as_secs() >= spec.global_timeout => Verdict::TimedOut(spec.global_timeout),
        _ if !heard => return Err(not_ready(&exec.dir)),
        code => Verdict::Failed(code),
    };
    Ok(Outcome { remarks, ..Outcome::new(exec, verdict, failure, took.as_secs_f64()) })
}

/// Where a search for a PV may have failed because it reaches only the machine itself: how it reaches the others.
fn search_hint(spec: &Spec, failure: &ScriptFailure) -> Option<String> {
    const LIST: &str = "EPICS_CA_ADDR_LIST";
    let asked = [failure.source.as_deref().unwrap_or_default(), &failure.message]
        .iter()
        .any(|text| ["caget", "caput", "camonitor", "cainfo"].iter().any(|tool| text.contains(tool)));
    let alone = |machine: &MachineSpec| machine.variables.get(LIST).is_none_or(String::is_empty);
    let found_nothing = asked && !failure.message.ends_with("unexpectedly succeeded");
    (found_nothing && spec.machines.len() > 1 && spec.machines.iter().any(alone)).then(|| {
        format!(
            "\nhint: a search for PVs stays on its machine: for those of others, ca_addr_list = [\"192.168.1.255\"] in \
             [nodes.NAME] of checks/{check}.toml, and environment.epics.ca_addr_list in checks/{check}.nix",
            check = spec.check
        )
    })
}

/// Why the driver could not even begin, in its own words (`tool/driver/__main__.py`) or Python's.
fn not_ready(dir: &Path) -> anyhow::Error {
    let (_, text) = left::tail(dir, Path::new("log"), 64 * 1024).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if let Some((message, hint)) = text.split_once("hint: ") {
        return fail::host(message.trim().trim_start_matches("error: ")).hint(hint.trim()).into();
    }
    let line = text.lines().find(|line| line.contains("rror: ")).unwrap_or("it has said nothing");
    let hint = match std::env::var_os("PYTHONHOME") {
        Some(home) => format!("PYTHONHOME is `{}`: unset PYTHONHOME", home.display()),
        None => format!("all that was said: less {}", dir.join("log").display()),
    };
    fail::host(format!("the test driver could not be started: {line}")).hint(hint).into()
}

/// The next thing that happens; `None` when the time is up.
fn next(messages: &Receiver<Message>, interrupts: &Receiver<()>, left: Duration) -> Option<Message> {
    const STEP: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    loop {
        if interrupts.try_recv().is_ok() {
            return Some(Message::Interrupt);
        }
        match messages.recv_timeout(STEP.min(left.saturating_sub(begun.elapsed()))) {
            Ok(message) => return Some(message),
            Err(RecvTimeoutError::Disconnected) => return Some(Message::Ended(true)),
            Err(RecvTimeoutError::Timeout) if begun.elapsed() >= left => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn read_events(events: impl Read, sender: &Sender<Message>) {
    let mut lines = BufReader::new(events);
    let mut line = Vec::new();
    let mut heard = false;
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        heard = true;
        if let Ok(event) = serde_json::from_slice(&line)
            && event != DriverEvent::Other
            && sender.send(Message::Driver(event)).is_err()
        {
            return;
        }
        line.clear();
    }
    let _ = sender.send(Message::Ended(heard));
}

/// Copies a stream to the log. Returns when it ends.
fn copy(mut from: impl Read, log: &mut Log) -> Result<()> {
    let mut buffer = [0; 8192];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            size => log.write(&buffer[..size])?,
        }
    }
}
