//! Starts programs from PID 1: everything that stands between `fork` and `execve`, and why it failed.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// A program to start from PID 1, with everything that stands between `fork` and `execve`.
#[derive(Debug, Default)]
pub struct Program<'a> {
    /// Path of the program.
    pub path: CString,
    /// Arguments, `argv[0]` first.
    pub argv: Vec<CString>,
    /// `NAME=VALUE`.
    pub env: Vec<CString>,
    /// Adds the variable `SYSTEMD_EXEC_PID`.
    pub exec_pid: bool,
    /// Working directory.
    pub cwd: Option<CString>,
    /// A working directory that is not there is no error.
    pub cwd_optional: bool,
    /// stdin, stdout, stderr.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
    /// User, group, supplementary groups.
    pub user: Option<(u32, u32, Vec<u32>)>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Nice level.
    pub nice: Option<i32>,
    /// Resource (`RLIMIT_…`), soft and hard limit.
    pub limits: Vec<(u32, u64, u64)>,
    /// Written to `/proc/self/oom_score_adj`.
    pub oom_score_adjust: Option<CString>,
    /// SIGPIPE is ignored, else as by default.
    pub ignore_sigpipe: bool,
}

/// A process that was started.
#[derive(Debug)]
pub struct Started {
    /// Its number.
    pub pid: i32,
    /// Why the program is not running: exit status as systemd's, `errno`.
    pub failed: Option<(i32, i32)>,
}

/// Starts a program in a session of its own. Waits until it is executed or has failed to be.
#[expect(unsafe_code, reason = "the child may only make system calls that are safe between fork and exec")]
pub fn start(program: &Program<'_>) -> io::Result<Started> {
    let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).collect::<Vec<_>>();
    let mut pid_text = *b"SYSTEMD_EXEC_PID=\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut argv = pointers(&program.argv);
    argv.push(std::ptr::null());
    let mut env = pointers(&program.env);
    if program.exec_pid {
        env.push(pid_text.as_ptr().cast());
    }
    env.push(std::ptr::null());
    let (mut reader, writer) = io::pipe()?;
    let report = writer.as_raw_fd();
    // SAFETY: the child calls nothing but async-signal-safe functions and ends in `execve` or `_exit`.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        // SAFETY: as above; all pointers come from values that live in this stack frame.
        unsafe {
            write_number(&mut pid_text[17..], libc::getpid());
            let status = child(program, report);
            if status == 0 {
                libc::execve(program.path.as_ptr(), argv.as_ptr(), env.as_ptr());
            }
            let status = if status == 0 { 203 } else { status };
            let message = [status, *libc::__errno_location()];
            libc::write(report, message.as_ptr().cast(), 8);
            libc::_exit(status);
        }
    }
    drop(writer);
    let mut message = [0; 8];
    let failed = reader.read_exact(&mut message).is_ok().then(|| {
        let number = |at: usize| i32::from_ne_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]);
        (number(0), number(4))
    });
    Ok(Started { pid, failed })
}

/// What the child does before `execve`: 0, or the exit status for what failed.
#[expect(unsafe_code, reason = "system calls between fork and exec")]
unsafe fn child(program: &Program<'_>, report: RawFd) -> i32 {
    // SAFETY: plain system calls on values prepared before the fork; nothing allocates.
    unsafe {
        libc::setsid();
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, if program.ignore_sigpipe { libc::SIG_IGN } else { libc::SIG_DFL });
        if let Some(stdio) = &program.stdio {
            for ((target, status), source) in [(0, 208), (1, 209), (2, 222)].into_iter().zip(stdio) {
                // Descriptors up to 2 are taken in PID 1, so that no source is ever overwritten here.
                debug_assert!(report > 2);
                if libc::dup2(source.as_raw_fd(), target) < 0 {
                    return status;
                }
            }
        }
        if let Some(mask) = program.umask {
            libc::umask(mask);
        }
        if let Some(text) = &program.oom_score_adjust {
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            // As systemd in a container: a score that we may not set is left as it is.
            libc::write(fd, text.as_ptr().cast(), text.count_bytes());
            libc::close(fd);
        }
        if let Some(nice) = program.nice
            && libc::setpriority(libc::PRIO_PROCESS, 0, nice) < 0
        {
            return 201;
        }
        for (resource, soft, hard) in &program.limits {
            let mut limit = libc::rlimit { rlim_cur: *soft, rlim_max: *hard };
            if libc::setrlimit(*resource, &raw const limit) < 0 {
                // As systemd in a container: as much as we may have.
                let mut own: libc::rlimit = std::mem::zeroed();
                libc::getrlimit(*resource, &raw mut own);
                limit.rlim_max = limit.rlim_max.min(own.rlim_max);
                limit.rlim_cur = limit.rlim_cur.min(limit.rlim_max);
                if libc::setrlimit(*resource, &raw const limit) < 0 {
                    return 205;
                }
            }
        }
        if let Some((uid, gid, groups)) = &program.user {
            if libc::setgroups(groups.len(), groups.as_ptr()) < 0 || libc::setresgid(*gid, *gid, *gid) < 0 {
                return 216;
            }
            if libc::setresuid(*uid, *uid, *uid) < 0 {
                return 217;
            }
        }
        if let Some(cwd) = &program.cwd
            && libc::chdir(cwd.as_ptr()) < 0
            && !program.cwd_optional
        {
            return 200;
        }
        keep_to_ourselves();
    }
    0
}

/// Marks all descriptors but stdio to be closed by `execve`: those that xtask was started with, too.
#[expect(unsafe_code, reason = "system calls between fork and exec")]
unsafe fn keep_to_ourselves() {
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

/// Writes a number in decimal without allocating; the buffer is large enough for any process number.
fn write_number(buffer: &mut [u8], number: i32) {
    let mut divisor = 1_000_000_000;
    let mut at = 0;
    while divisor > 0 {
        let digit = number / divisor % 10;
        if (digit != 0 || at > 0 || divisor == 1) && at < buffer.len() {
            buffer[at] = b'0' + u8::try_from(digit).unwrap_or(0);
            at += 1;
        }
        divisor /= 10;
    }
}

/// Sends a signal by number, real-time signals too. A process that is gone is no error.
#[expect(unsafe_code, reason = "the wrapper has no real-time signals")]
pub fn signal(pid: i32, signal: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid, signal) };
}

/// User by name or number: uid, gid, home, shell.
pub fn user(name: &str) -> Option<(u32, u32, String, String)> {
    use unix::unistd::{Uid, User};
    let user = User::from_name(name).ok().flatten();
    let user = user.or_else(|| User::from_uid(Uid::from_raw(name.parse().ok()?)).ok().flatten());
    let user = user?;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    Some((user.uid.as_raw(), user.gid.as_raw(), text(user.dir), text(user.shell)))
}

/// Seconds that local time is ahead of UTC at a moment (seconds since 1970), and the zone's name.
#[expect(unsafe_code, reason = "the standard library knows no time zones")]
pub fn utc_offset(seconds: i64) -> (i64, String) {
    // SAFETY: both structures live on this stack; the zone's name is a static string of the C library.
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const seconds, &raw mut parts).is_null() || parts.tm_zone.is_null() {
            return (0, "UTC".to_owned());
        }
        (parts.tm_gmtoff, CStr::from_ptr(parts.tm_zone).to_string_lossy().into_owned())
    }
}

/// A text of C; one with a NUL inside is cut there.
pub fn c_text(text: impl AsRef<[u8]>) -> CString {
    let bytes = text.as_ref();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_else(|_| CStr::to_owned(c""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let mut buffer = [0; 12];
        write_number(&mut buffer, 12_034);
        assert_eq!(&buffer[..6], b"12034\0");
    }

    #[test]
    fn a_program_that_is_not_there_exits_with_203() {
        let program = Program { path: c"/no/such".into(), argv: vec![c"x".into()], ..Default::default() };
        let started = start(&program).unwrap();
        assert_eq!(started.failed, Some((203, libc::ENOENT)));
        let status = unix::sys::wait::waitpid(unix::unistd::Pid::from_raw(started.pid), None).unwrap();
        assert!(matches!(status, unix::sys::wait::WaitStatus::Exited(_, 203)));
    }
}
