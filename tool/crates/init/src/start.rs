//! Starts programs from PID 1: everything that stands between `fork` and `execve`, and why it failed.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::unit::protect::CAPABILITY_COUNT;

/// A program to start from PID 1, with everything that stands between `fork` and `execve`.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
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
    /// The view on the file system, step by step; none: the machine's own.
    pub mounts: Vec<Step>,
    /// A host name of its own.
    pub own_hostname: bool,
    /// Capabilities that it may have at most, by their number.
    pub capabilities: Option<u64>,
    /// It keeps no capability, though it is root: there is no other user.
    pub powerless: bool,
    /// `execve` grants nothing.
    pub no_new_privileges: bool,
}

/// How many clones one program may have.
const CLONES: usize = 256;

/// One step towards a view on the file system of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Takes hold of a path with all that is mounted below it, under a number.
    Clone(usize, CString),
    /// Lays a clone over a path.
    Attach(usize, CString),
    /// An empty file system in memory over a path, with its options; read-only or not.
    Tmpfs(CString, CString, bool),
    /// A folder, unless it is there.
    Folder(CString),
    /// An empty file, unless it is there.
    File(CString),
    /// A symbolic link: where it points, where it lies.
    Link(CString, CString),
    /// Makes all mounts at and below a path read-only, or not.
    ReadOnly(CString, bool),
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
        // What our caller's shell ignores (nohup) is nothing to a machine. Of those that cannot be set this fails.
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        if program.ignore_sigpipe {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
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
        if !program.mounts.is_empty() && !mount_all(&program.mounts) {
            return 226;
        }
        if program.own_hostname {
            libc::unshare(libc::CLONE_NEWUTS);
        }
        if let Some(kept) = program.capabilities {
            for capability in (0..CAPABILITY_COUNT).filter(|number| kept >> number & 1 == 0) {
                // One that this kernel does not know is not there either.
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
        }
        if program.no_new_privileges && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
            return 227;
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
        if program.powerless {
            let header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
            let none = [0_u32; 6];
            if libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) < 0 {
                return 218;
            }
        }
        tool_base::sys::keep_to_ourselves();
    }
    0
}

/// Of capset(2).
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// Of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Leaves the machine's mounts for some of its own; `false` where a step failed, with `errno`.
#[expect(unsafe_code, reason = "system calls between fork and exec")]
unsafe fn mount_all(steps: &[Step]) -> bool {
    let mut clones = [-1; CLONES];
    // SAFETY: plain system calls on texts prepared before the fork; nothing allocates.
    unsafe { libc::unshare(libc::CLONE_NEWNS) == 0 && steps.iter().all(|step| mount_one(step, &mut clones)) }
}

#[expect(unsafe_code, reason = "system calls between fork and exec")]
unsafe fn mount_one(step: &Step, clones: &mut [RawFd; CLONES]) -> bool {
    const RECURSIVE: libc::c_uint = libc::AT_RECURSIVE.cast_unsigned();
    let here = libc::AT_FDCWD;
    // SAFETY: as above.
    unsafe {
        match step {
            Step::Clone(number, path) => {
                let flags = 1 /* OPEN_TREE_CLONE */ | libc::O_CLOEXEC.cast_unsigned() | RECURSIVE;
                let fd = libc::syscall(libc::SYS_open_tree, here, path.as_ptr(), flags);
                match (clones.get_mut(*number), RawFd::try_from(fd)) {
                    (Some(clone), Ok(fd)) => {
                        *clone = fd;
                        fd >= 0
                    }
                    _ => false,
                }
            }
            Step::Attach(number, path) => {
                let Some(clone) = clones.get(*number) else { return false };
                let flags = 4; // MOVE_MOUNT_F_EMPTY_PATH
                let done = libc::syscall(libc::SYS_move_mount, *clone, c"".as_ptr(), here, path.as_ptr(), flags) == 0;
                done && libc::close(*clone) == 0
            }
            Step::Tmpfs(path, options, read_only) => {
                let flags = libc::MS_NOSUID | libc::MS_NODEV | if *read_only { libc::MS_RDONLY } else { 0 };
                let kind = c"tmpfs".as_ptr();
                libc::mount(kind, path.as_ptr(), kind, flags, options.as_ptr().cast()) == 0
            }
            Step::Folder(path) => libc::mkdir(path.as_ptr(), 0o755) == 0 || *libc::__errno_location() == libc::EEXIST,
            Step::File(path) => {
                let fd = libc::open(path.as_ptr(), libc::O_CREAT | libc::O_CLOEXEC, 0o644);
                fd >= 0 && libc::close(fd) == 0
            }
            Step::Link(target, path) => libc::symlink(target.as_ptr(), path.as_ptr()) == 0,
            Step::ReadOnly(path, on) => {
                let flag = 1; // MOUNT_ATTR_RDONLY
                let wish = MountAttributes {
                    set: if *on { flag } else { 0 },
                    clear: if *on { 0 } else { flag },
                    ..Default::default()
                };
                let size = size_of::<MountAttributes>();
                libc::syscall(libc::SYS_mount_setattr, here, path.as_ptr(), RECURSIVE, &raw const wish, size) == 0
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
pub fn user(name: &str) -> Option<(String, u32, u32, String, String)> {
    use unix::unistd::{Uid, User};
    let user = User::from_name(name).ok().flatten();
    let user = user.or_else(|| User::from_uid(Uid::from_raw(name.parse().ok()?)).ok().flatten());
    let user = user?;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    Some((user.name, user.uid.as_raw(), user.gid.as_raw(), text(user.dir), text(user.shell)))
}

/// The groups of a user: its own, and those of /etc/group that have it as a member.
pub fn groups(user: &str, own: u32) -> Vec<u32> {
    let found = unix::unistd::getgrouplist(&c_text(user), own.into());
    found.map_or_else(|_| vec![own], |groups| groups.into_iter().map(unix::unistd::Gid::as_raw).collect())
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
