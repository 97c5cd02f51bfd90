//! The limits of setrlimit(2) that our caller's shell has set. A run needs some, and its verdict is to depend on none: they are
//! raised as far as the kernel lets us. What a machine's programs have, its PID 1 decides.

use unix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};

use crate::fail::{self, Failure};

/// A limit of a process.
struct Limit {
    resource: Resource,
    name: &'static str,
    /// With less nothing of ours runs.
    needed: rlim_t,
    /// What a session usually has, and so do machines.
    usual: rlim_t,
    /// The option of `ulimit`, and what its numbers count.
    flag: char,
    unit: rlim_t,
}

const fn limit(
    resource: Resource,
    name: &'static str,
    needed: rlim_t,
    usual: rlim_t,
    flag: char,
    unit: rlim_t,
) -> Limit {
    Limit { resource, name, needed, usual, flag, unit }
}

const KIB: rlim_t = 1024;

/// The stack comes first: without it no other message is told.
const LIMITS: [Limit; 9] = [
    limit(Resource::RLIMIT_STACK, "the stack", KIB * KIB, 8 * KIB * KIB, 's', KIB),
    limit(Resource::RLIMIT_NOFILE, "open files", 64, 1024, 'n', 1),
    limit(Resource::RLIMIT_NPROC, "processes", 128, 4096, 'u', 1),
    limit(Resource::RLIMIT_FSIZE, "the size of files", 16 * KIB * KIB, RLIM_INFINITY, 'f', KIB),
    limit(Resource::RLIMIT_AS, "a process's memory", 256 * KIB * KIB, RLIM_INFINITY, 'v', KIB),
    limit(Resource::RLIMIT_DATA, "a process's data", 256 * KIB * KIB, RLIM_INFINITY, 'd', KIB),
    limit(Resource::RLIMIT_CPU, "a process's time", 60, RLIM_INFINITY, 't', 1),
    limit(Resource::RLIMIT_MEMLOCK, "locked memory", 0, 8 * KIB * KIB, 'l', KIB),
    limit(Resource::RLIMIT_MSGQUEUE, "message queues", 0, 819_200, 'q', 1),
];

/// Raises the limits of this process, and of all that it starts, to what is usual; where the kernel forbids that, as near to it as
/// it lets us.
pub fn raise() {
    for Limit { resource, usual, .. } in LIMITS {
        let Ok((soft, hard)) = getrlimit(resource) else { continue };
        let wanted = soft.max(usual);
        // Only root may have more than the hard limit says.
        if wanted > soft && setrlimit(resource, wanted, hard.max(wanted)).is_err() {
            let _ = setrlimit(resource, hard.min(wanted), hard);
        }
    }
}

/// Whether xtask itself has what it needs; it may have no more than that to say so.
///
/// # Errors
/// It has not.
pub fn own() -> Result<(), Failure> {
    LIMITS[..1].iter().try_for_each(suffices)
}

/// Whether there is enough for machines, and for what builds them.
///
/// # Errors
/// There is not, and no right to change that.
pub fn of_machines() -> Result<(), Failure> {
    LIMITS.iter().try_for_each(suffices)
}

fn suffices(limit: &Limit) -> Result<(), Failure> {
    let Limit { resource, name, needed, usual, flag, unit } = *limit;
    let now = getrlimit(resource).map_or(RLIM_INFINITY, |(soft, _)| soft);
    // Root's processes are not counted.
    if now >= needed || resource as u32 == Resource::RLIMIT_NPROC as u32 && unix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let usual = if usual == RLIM_INFINITY { "unlimited".to_owned() } else { (usual / unit).to_string() };
    let (now, needed) = (now / unit, needed / unit);
    let told = format!("the limit of {name} is {now} (ulimit -{flag}), and no check runs with less than {needed}");
    Err(fail::host(told).hint(format!("raise it where the session begins: ulimit -{flag} {usual}")))
}
