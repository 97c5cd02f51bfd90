//! The few system calls that have no safe wrapper.
#![expect(unsafe_code, reason = "this is where system calls without a safe wrapper belong")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use unix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Lets the child inherit descriptors under their own numbers. Other children, started meanwhile, do not get them.
pub fn inherit(command: &mut Command, fds: Vec<OwnedFd>) -> &mut Command {
    let close_on_exec_off = move || {
        for fd in &fds {
            // SAFETY: fcntl with F_SETFD on a descriptor that the closure owns; async-signal-safe.
            if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure only calls fcntl, which is async-signal-safe, and does not allocate unless it fails.
    unsafe { interruptible(command).pre_exec(close_on_exec_off) }
}

/// Lets the child be interrupted by SIGINT: it would inherit that its parent blocks it (signal(7)), or ignores it as
/// what a script starts in the background does.
pub fn interruptible(command: &mut Command) -> &mut Command {
    use unix::sys::signal::{SigHandler, Signal, signal};
    let unblock = || {
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }?;
        interrupts().thread_unblock().map_err(io::Error::from)
    };
    // SAFETY: the closure only calls signal and pthread_sigmask, which are async-signal-safe.
    unsafe { command.pre_exec(unblock) }
}

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Whether SIGPIPE was ignored when this program began, as in all commands of a test machine's shell.
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

/// Ends the process as an unread pipe ends programs in C: by SIGPIPE, else with the status that a shell gives it (signal(7)).
#[expect(clippy::exit, reason = "the status stands for a signal that is blocked")]
pub fn end_by_sigpipe() -> ! {
    // SAFETY: no handler of ours comes in, and raise sends to this thread alone.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::raise(libc::SIGPIPE);
    }
    std::process::exit(128 + libc::SIGPIPE)
}

/// Looks before Rust's runtime does, which ignores SIGPIPE ahead of `main`.
#[used]
// SAFETY: .init_array holds functions of this type, and the loader calls each once (System V ABI).
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: the old action is only read; all bytes zero is one.
        let handler = unsafe {
            libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr());
            action.assume_init().sa_sigaction
        };
        SIGPIPE_IGNORED.store(handler == libc::SIG_IGN, Ordering::Relaxed);
    }
    look
};

/// Takes nothing from our caller's shell that would end us, keep us from hearing of an end, or open what is ours to all: a file
/// may not become larger (SIGXFSZ; the write fails then), children are ignored (SIGCHLD), files are nobody's own (umask 777) or
/// everybody's (umask 000). Programs that we start do not notice but for the last.
pub fn settle() -> io::Result<()> {
    use unix::sys::signal::{SigHandler, Signal, signal};
    use unix::sys::stat::{Mode, umask};
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, and is gone after exec.
    unsafe {
        signal(Signal::SIGXFSZ, SigHandler::Handler(nothing))?;
        signal(Signal::SIGCHLD, SigHandler::SigDfl)?;
    }
    let theirs = umask(Mode::S_IRWXU);
    umask((theirs - Mode::S_IRWXU) | Mode::S_IWOTH);
    Ok(())
}

/// Ends the child by SIGKILL when this process ends, however that happens.
pub fn dying_with_us(command: &mut Command) -> &mut Command {
    let parent = unix::unistd::getpid();
    let die = move || {
        unix::sys::prctl::set_pdeathsig(unix::sys::signal::Signal::SIGKILL)?;
        // It may have ended before.
        if unix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: the closure only calls prctl and getppid, plain system calls.
    unsafe { command.pre_exec(die) }
}

/// Has the child enter a machine's user namespace, which a process of several threads cannot, and be confined as all on it is.
pub fn in_user_namespace(command: &mut Command, namespace: std::fs::File) -> &mut Command {
    use unix::sched::{CloneFlags, setns};
    let enter = move || {
        setns(&namespace, CloneFlags::CLONE_NEWUSER)?;
        crate::confine::confine()
    };
    // SAFETY: the closure only calls setns and seccomp, plain system calls.
    unsafe { command.pre_exec(enter) }
}

/// A new, empty file system in memory.
pub fn tmpfs(target: &Path, options: &str) -> Result<()> {
    use unix::mount::{MsFlags, mount};
    std::fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))?;
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))
        .with_context(|| format!("cannot mount a tmpfs on {}", target.display()))
}

/// Marks all descriptors but stdio to be closed by `execve`: those that xtask was started with, too. Async-signal-safe.
pub fn keep_to_ourselves() {
    // SAFETY: plain system calls.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
            // Before Linux 5.11.
            for fd in 3..1024 {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

/// Takes a descriptor that is ours by its number: the parent left it open for us, or it came in a message.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: F_SETFD fails with EBADF where the number is no open descriptor.
    if fd < 3 || unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and the command line or the kernel gave it to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends this process by SIGKILL when its parent ends, however that happens (`PR_SET_PDEATHSIG`, prctl(2)). The other end of
/// `parent`, a pipe or a socket, is the parent's alone: in a new PID namespace nothing else tells whether it lives.
///
/// # Errors
/// When the parent is gone already.
pub fn die_with_parent(parent: impl AsFd) -> io::Result<()> {
    unix::sys::prctl::set_pdeathsig(unix::sys::signal::Signal::SIGKILL)?;
    // A closed end is told unasked.
    let mut ends = [PollFd::new(parent.as_fd(), PollFlags::empty())];
    if poll(&mut ends, PollTimeout::ZERO)? == 0 { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Blocks SIGINT for this thread and those that it starts.
pub fn block_interrupts() -> io::Result<()> {
    interrupts().thread_block().map_err(Into::into)
}

/// Has SIGTERM and SIGHUP interrupt this process by SIGINT, which must be blocked. Who ignores them (nohup) still does; programs
/// that we start never notice.
pub fn take_ends_for_interrupts() -> io::Result<()> {
    use unix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn pass_on(_: libc::c_int) {
        // SAFETY: both are async-signal-safe and touch no memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
    }
    let action = SigAction::new(SigHandler::Handler(pass_on), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler calls async-signal-safe functions only, and is gone after exec.
        let old = unsafe { sigaction(signal, &action) }?;
        if matches!(old.handler(), SigHandler::SigIgn) {
            // SAFETY: what was there before.
            unsafe { sigaction(signal, &old) }?;
        }
    }
    Ok(())
}

/// Lets this process live on when its terminal is closed. What it starts ends by that as usual.
pub fn outlive_terminal() -> io::Result<()> {
    use unix::sys::signal::{SigHandler, Signal, signal};
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing. A signal that is ignored would be so in children, too.
    unsafe { signal(Signal::SIGHUP, SigHandler::Handler(nothing)) }.map(drop).map_err(Into::into)
}

/// Waits for SIGINT, which must be blocked.
pub fn wait_for_interrupt() -> io::Result<()> {
    interrupts().wait().map(drop).map_err(Into::into)
}

/// Makes our process group the foreground of our terminal again, after a program that had it. Without a terminal nothing
/// is done.
pub fn take_terminal() {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return };
    let mut ttou = unix::sys::signal::SigSet::empty();
    ttou.add(unix::sys::signal::Signal::SIGTTOU);
    // Blocked, it does not stop us (tcsetpgrp(3)).
    if ttou.thread_block().is_ok() {
        // SAFETY: tcsetpgrp takes an open descriptor and a number.
        let _ = unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), libc::getpgrp()) };
        let _ = ttou.thread_unblock();
    }
}

/// Columns and rows of the terminal behind a descriptor; `None` where there is none, or where it does not know.
pub fn terminal_size(fd: &impl AsRawFd) -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which is ours; ioctl checks the descriptor.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
    (done && size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

fn interrupts() -> unix::sys::signal::SigSet {
    unix::sys::signal::Signal::SIGINT.into()
}
