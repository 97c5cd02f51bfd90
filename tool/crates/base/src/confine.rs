//! What a machine shares with its host because the kernel has no namespaces for it: the caller's keys, and the input of his
//! terminal. A filter of system calls refuses both (seccomp(2)).
#![expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]

use std::io;

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

/// The number of an architecture (linux/audit.h), and those of its `ioctl`, `add_key`, `request_key` and `keyctl`.
type Calls = (u32, u32, [u32; 3]);

/// For programs of 64 bits and of 32. Elsewhere nothing is refused.
#[cfg(target_arch = "x86_64")]
const CALLS: [Calls; 2] = [(0xC000_003E, 16, [248, 249, 250]), (0x4000_0003, 54, [286, 287, 288])];
#[cfg(target_arch = "aarch64")]
const CALLS: [Calls; 2] = [(0xC000_00B7, 29, [217, 218, 219]), (0x4000_0028, 54, [309, 310, 311])];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS: [Calls; 0] = [];

/// Instructions for each architecture.
const BLOCK: usize = 14;
const LENGTH: usize = CALLS.len() * BLOCK + 1;
const PROGRAM: [sock_filter; LENGTH] = program();

const fn program() -> [sock_filter; LENGTH] {
    // Where in `seccomp_data` things lie.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const SECOND_ARGUMENT: u32 = 24;
    /// Numbers from here on are those of x32, another way to say the same. Few kernels have it.
    const X32: u32 = 0x4000_0000;
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    const NOT_THERE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut program = [end(libc::SECCOMP_RET_ALLOW); LENGTH];
    let mut at = 0;
    while at < CALLS.len() {
        let (architecture, ioctl, [add_key, request_key, keyctl]) = CALLS[at];
        // The last number of a jump counts the instructions that are left out.
        let block: [sock_filter; BLOCK] = [
            load(ARCHITECTURE),
            jump(BPF_JEQ, architecture, 0, 12),
            load(NUMBER),
            jump(BPF_JGE, X32, 8, 0),
            jump(BPF_JEQ, add_key, 7, 0),
            jump(BPF_JEQ, request_key, 6, 0),
            jump(BPF_JEQ, keyctl, 5, 0),
            jump(BPF_JEQ, ioctl, 0, 5),
            load(SECOND_ARGUMENT),
            jump(BPF_JEQ, tty(libc::TIOCSTI), 1, 0),
            jump(BPF_JEQ, tty(libc::TIOCLINUX), 0, 2),
            end(REFUSED),
            end(NOT_THERE),
            end(libc::SECCOMP_RET_ALLOW),
        ];
        let mut line = 0;
        while line < BLOCK {
            program[at * BLOCK + line] = block[line];
            line += 1;
        }
        at += 1;
    }
    program
}

#[expect(clippy::cast_possible_truncation, reason = "all of them have 16 bits")]
const fn tty(request: libc::Ioctl) -> u32 {
    request as u32
}

const fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

const fn jump(test: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, value, then, otherwise)
}

const fn end(verdict: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, verdict, 0, 0)
}

#[expect(clippy::cast_possible_truncation, reason = "all of them have 8 bits")]
const fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// Keeps this thread, and all that it starts, from keys and from typing on a terminal. It must be privileged in its user
/// namespace. Async-signal-safe.
pub fn confine() -> io::Result<()> {
    let mut program = PROGRAM;
    #[expect(clippy::cast_possible_truncation, reason = "it is short")]
    let filter = libc::sock_fprog { len: LENGTH as u16, filter: program.as_mut_ptr() };
    // Programs need not be slowed down for it: what they could learn by speculation they may know.
    let flags = [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0];
    let install = |flags: libc::c_ulong| {
        // SAFETY: the filter and its program live until the kernel has copied them.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) == 0 }
    };
    if flags.into_iter().any(install) { Ok(()) } else { Err(io::Error::last_os_error()) }
}
