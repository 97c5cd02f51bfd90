//! Kills in the very moment of a fork: the new process has not come to its first instruction.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use unix::sys::ptrace::{self, Event, Options};
use unix::sys::signal::{Signal, kill};
use unix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use unix::unistd::Pid;

use super::common::processes::{command_line, start_time, wait_until_gone};

/// Whom a test kills when a process has just started another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Victim {
    /// The command itself.
    Top,
    /// The process that has forked.
    Parent,
}

/// Runs a command, kills when one of its stages has forked for the nth time, and lets the new process run once its parent
/// is dead. Waits until nothing is left. Whether it has come so far.
pub fn kill_at_fork(command: &mut Command, nth: usize, victim: Victim) -> bool {
    // Programs that read the terminal end with it. That must not hide what would run on for ever.
    let (nothing, terminal) = std::io::pipe().unwrap();
    let terminal = (victim == Victim::Top).then_some(terminal);
    // A new process below the shell of its own is none of ours: nothing has forked before the first stop.
    let mut stopped = Command::new("sh");
    stopped.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    stopped.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    stopped.current_dir(command.get_current_dir().unwrap()).process_group(0);
    stopped.stdin(nothing).stdout(Stdio::null()).stderr(Stdio::null());
    // The kernel lets go of all that a thread traces when the thread ends.
    let (reached, seen) = std::thread::scope(|scope| scope.spawn(|| trace(stopped, nth, victim)).join().unwrap());
    wait_until_gone(&seen);
    drop(terminal);
    reached
}

fn trace(mut command: Command, nth: usize, victim: Victim) -> (bool, Vec<(u32, String)>) {
    let top = Pid::from_raw(command.spawn().unwrap().id().cast_signed());
    drop(command);
    waitpid(top, Some(WaitPidFlag::WUNTRACED)).unwrap();
    ptrace::seize(top, Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE)
        .unwrap();
    kill(top, Signal::SIGCONT).unwrap();
    let mut seen = vec![(top.as_raw().cast_unsigned(), start_time(top.as_raw().cast_unsigned()).unwrap())];
    let (mut forks, mut parent, mut held) = (0, None, None);
    // Other threads have children of their own.
    while let Ok(event) = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
        match event {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)
                if parent == Some(pid) || held == Some(pid) || pid == top && parent.is_none() =>
            {
                break;
            }
            WaitStatus::PtraceEvent(pid, _, code) if code != Event::PTRACE_EVENT_STOP as i32 => {
                let new = Pid::from_raw(ptrace::getevent(pid).unwrap().try_into().unwrap());
                if let Some(process) = process_of(pid).filter(|_| process_of(new) == Some(new)) {
                    let number = new.as_raw().cast_unsigned();
                    seen.push((number, start_time(number).unwrap_or_default()));
                    forks += usize::from(is_stage(process) && parent.is_none());
                    if forks == nth && parent.is_none() {
                        (parent, held) = (Some(process), Some(new));
                        kill(if victim == Victim::Top { top } else { process }, Signal::SIGKILL).unwrap();
                    }
                }
                let _ = ptrace::cont(pid, None);
            }
            WaitStatus::PtraceEvent(pid, ..) if held != Some(pid) => drop(ptrace::cont(pid, None)),
            WaitStatus::Stopped(pid, signal) => drop(ptrace::cont(pid, signal)),
            _ => {}
        }
    }
    (parent.is_some(), seen)
}

/// The process that a thread belongs to.
fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok()).map(Pid::from_raw)
}

fn is_stage(process: Pid) -> bool {
    let line = command_line(process.as_raw().cast_unsigned());
    line.starts_with(env!("CARGO_BIN_EXE_foreign")) || line.contains("sandbox-")
}
