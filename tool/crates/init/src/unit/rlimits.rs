//! `LimitCPU=` and its kin, systemd.exec(5): the limits that each process of a machine has, whoever started the machine.

/// A limit's name, soft and hard.
pub type Rlimit = (&'static str, u64, u64);

const NONE: u64 = u64::MAX;
const MIB: u64 = 1024 * 1024;

/// What systemd gives where a unit says nothing, systemd-system.conf(5). Not that of processes, which is the kernel's own matter.
/// Of what crashes no file is left, as on NixOS: there a program takes the dump.
const DEFAULTS: [Rlimit; 12] = [
    ("AS", NONE, NONE),
    ("CORE", 0, NONE),
    ("CPU", NONE, NONE),
    ("DATA", NONE, NONE),
    ("FSIZE", NONE, NONE),
    ("MEMLOCK", 8 * MIB, 8 * MIB),
    ("MSGQUEUE", 819_200, 819_200),
    ("NICE", 0, 0),
    ("NOFILE", 1024, 524_288),
    ("RTPRIO", 0, 0),
    ("RTTIME", NONE, NONE),
    ("STACK", 8 * MIB, NONE),
];

/// All limits, those of a unit in front.
pub fn all(own: &[Rlimit]) -> impl Iterator<Item = Rlimit> {
    let others = DEFAULTS.into_iter().filter(|(name, ..)| own.iter().all(|(set, ..)| set != name));
    own.iter().copied().chain(others)
}

/// The same by their numbers.
pub fn numbers(own: &[Rlimit]) -> Vec<(u32, u64, u64)> {
    all(own).filter_map(|(name, soft, hard)| Some((number(name)?, soft, hard))).collect()
}

fn number(name: &str) -> Option<u32> {
    Some(match name {
        "AS" => libc::RLIMIT_AS,
        "CORE" => libc::RLIMIT_CORE,
        "CPU" => libc::RLIMIT_CPU,
        "DATA" => libc::RLIMIT_DATA,
        "FSIZE" => libc::RLIMIT_FSIZE,
        "MEMLOCK" => libc::RLIMIT_MEMLOCK,
        "MSGQUEUE" => libc::RLIMIT_MSGQUEUE,
        "NICE" => libc::RLIMIT_NICE,
        "NOFILE" => libc::RLIMIT_NOFILE,
        "NPROC" => libc::RLIMIT_NPROC,
        "RTPRIO" => libc::RLIMIT_RTPRIO,
        "RTTIME" => libc::RLIMIT_RTTIME,
        "STACK" => libc::RLIMIT_STACK,
        _ => return None,
    })
}
