//! Using KVM: open it, make a VM, run a guest that counts, and measure it.
//!
//! A broken KVM hangs, so this runs in a child process with a time limit: `cargo xtask kvm-probe`, hidden.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::facts::{AclEntry, AclTag};
use super::used::{Step, Use};
use tool_base::process::{Cmd, Limited};

/// Time after which a probe counts as hung. A good one takes a hundredth of this.
const LIMIT: Duration = Duration::from_secs(2);

/// Uses KVM in a child process. `identity` (user and group) is taken on before the device is opened; only root can.
pub fn in_child(device: &Path, identity: Option<(u32, u32)>) -> Use {
    let failed = |step, millis| Use { step, errno: None, api: None, exit: None, rounds_per_second: None, millis };
    let start = Instant::now();
    let run = || -> Result<Use> {
        let program = tool_base::process::own_program().context("the path of this program")?;
        let mut cmd = Cmd::new(program).arg("kvm-probe").arg("--device").arg(device);
        if let Some((uid, gid)) = identity {
            cmd = cmd.args(["--uid", &uid.to_string(), "--gid", &gid.to_string()]);
        }
        match cmd.output_within(LIMIT)? {
            Limited::TimedOut => Ok(failed(Step::Hung, start.elapsed().as_secs_f64() * 1e3)),
            Limited::Ended(output) => serde_json::from_slice(&output.stdout).context("the answer of the probe"),
        }
    };
    run().unwrap_or_else(|_| failed(Step::Start, start.elapsed().as_secs_f64() * 1e3))
}

/// The child's part: uses KVM and returns what happened. Never fails: a failure is the answer.
#[cfg(target_os = "linux")]
pub fn in_this_process(device: &Path, identity: Option<(u32, u32)>) -> Use {
    let start = Instant::now();
    let mut used = Use { step: Step::Start, errno: None, api: None, exit: None, rounds_per_second: None, millis: 0.0 };
    if let Err(errno) = take_identity(identity).and_then(|()| attempt(device, &mut used)) {
        used.errno = Some(errno);
    }
    used.millis = start.elapsed().as_secs_f64() * 1e3;
    used
}

/// KVM is Linux's.
#[cfg(not(target_os = "linux"))]
pub fn in_this_process(_: &Path, _: Option<(u32, u32)>) -> Use {
    Use { step: Step::Start, errno: None, api: None, exit: None, rounds_per_second: None, millis: 0.0 }
}

/// Dies with the parent, and becomes the user that is asked for, without any supplementary group, as Nix does.
#[cfg(target_os = "linux")]
fn take_identity(identity: Option<(u32, u32)>) -> Result<(), i32> {
    use unix::unistd::{Gid, Uid, setgid, setgroups, setuid};
    if let Some((uid, gid)) = identity {
        setgroups(&[])
            .and_then(|()| setgid(Gid::from_raw(gid)))
            .and_then(|()| setuid(Uid::from_raw(uid)))
            .map_err(number)?;
    }
    // After the change of user, which clears it.
    unix::sys::prctl::set_pdeathsig(unix::sys::signal::Signal::SIGKILL).map_err(number)
}

#[cfg(target_os = "linux")]
fn number(errno: unix::errno::Errno) -> i32 {
    errno as i32
}

#[cfg(target_os = "linux")]
fn attempt(device: &Path, used: &mut Use) -> Result<(), i32> {
    use kvm_ioctls::{Error, Kvm};
    use std::os::fd::{FromRawFd, IntoRawFd};
    use std::os::unix::fs::OpenOptionsExt;

    used.step = Step::Open;
    // Without O_NONBLOCK a pipe with this name could block us.
    let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(device);
    let fd = file.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?.into_raw_fd();

    used.step = Step::ApiVersion;
    #[expect(unsafe_code, reason = "kvm-ioctls opens by itself only in a way that hides the flags")]
    // SAFETY: the descriptor is open and was given up just above, so `Kvm` is its only owner.
    let kvm = unsafe { Kvm::from_raw_fd(fd) };
    let api = kvm.get_api_version();
    if api < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOTTY));
    }
    used.api = Some(api);
    if api != 12 {
        return Ok(());
    }

    used.step = Step::CreateVm;
    let vm = kvm.create_vm().map_err(Error::errno)?;
    guest::run(&vm, used)
}

/// The guest: a loop that counts down, then HLT.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod guest {
    use std::time::Instant;

    use kvm_bindings::kvm_userspace_memory_region;
    use kvm_ioctls::{Error, VcpuExit, VcpuFd, VmFd};

    use crate::kvm::used::{Step, Use};

    /// Where the guest's one page lies.
    const ADDRESS: u64 = 0x1000;

    /// 16-bit code: `dec ecx; jnz back; hlt`. The count comes in ECX.
    const CODE: [u8; 5] = [0x66, 0x49, 0x75, 0xfc, 0xf4];

    /// Few enough to take 20 ms where KVM emulates (one million a second).
    const FEW: u32 = 20_000;

    /// Enough to measure real hardware, where `FEW` is lost in the cost of entering the guest.
    const MANY: u32 = 1_000_000;

    /// Rounds a second above which `MANY` take less than 0.1 s.
    const FAST: f64 = 10e6;

    #[repr(C, align(4096))]
    struct Page([u8; 4096]);

    pub(super) fn run(vm: &VmFd, used: &mut Use) -> Result<(), i32> {
        used.step = Step::Memory;
        let mut page = Box::new(Page([0xf4; 4096]));
        page.0[..CODE.len()].copy_from_slice(&CODE);
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: ADDRESS,
            memory_size: 4096,
            userspace_addr: std::ptr::from_mut(page.as_mut()).expose_provenance() as u64,
        };
        #[expect(unsafe_code, reason = "the guest gets memory of this process")]
        // SAFETY: the page is aligned, as long as it says, and outlives the virtual CPU made below.
        unsafe { vm.set_user_memory_region(region) }.map_err(Error::errno)?;

        used.step = Step::CreateVcpu;
        let mut vcpu = vm.create_vcpu(0).map_err(Error::errno)?;

        used.step = Step::Run;
        // The first run warms up: it pays for the first touch of the page.
        if !count(&mut vcpu, 1, used)? {
            return Ok(());
        }
        // The better of two: a busy machine may take the processor away in the middle of one.
        let mut rate = 0.0_f64;
        for rounds in [FEW, FEW, MANY] {
            if rounds == MANY && rate < FAST {
                break;
            }
            let start = Instant::now();
            if !count(&mut vcpu, rounds, used)? {
                return Ok(());
            }
            rate = rate.max(f64::from(rounds) / start.elapsed().as_secs_f64().max(1e-9));
        }
        used.rounds_per_second = Some(rate);
        used.step = Step::Done;
        drop(vcpu);
        drop(page);
        Ok(())
    }

    /// Runs the loop; `false` where the guest stopped in another way than by HLT.
    fn count(vcpu: &mut VcpuFd, rounds: u32, used: &mut Use) -> Result<bool, i32> {
        let mut sregs = vcpu.get_sregs().map_err(Error::errno)?;
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        vcpu.set_sregs(&sregs).map_err(Error::errno)?;
        let mut regs = vcpu.get_regs().map_err(Error::errno)?;
        (regs.rip, regs.rflags, regs.rcx) = (ADDRESS, 2, u64::from(rounds));
        vcpu.set_regs(&regs).map_err(Error::errno)?;
        loop {
            match vcpu.run() {
                Ok(VcpuExit::Hlt) => return Ok(true),
                Ok(VcpuExit::Intr) => {}
                Err(e) if [libc::EINTR, libc::EAGAIN].contains(&e.errno()) => {}
                Ok(exit) => {
                    used.exit = Some(format!("{exit:?}"));
                    return Ok(false);
                }
                Err(e) => return Err(e.errno()),
            }
        }
    }
}

/// Elsewhere a VM and a virtual CPU are made, but nothing runs: the rate stays unmeasured.
#[cfg(all(target_os = "linux", not(target_arch = "x86_64")))]
mod guest {
    use kvm_ioctls::{Error, VmFd};

    use crate::kvm::used::{Step, Use};

    pub(super) fn run(vm: &VmFd, used: &mut Use) -> Result<(), i32> {
        used.step = Step::CreateVcpu;
        vm.create_vcpu(0).map_err(Error::errno)?;
        used.step = Step::Done;
        Ok(())
    }
}

/// Whether the processor itself says that it can virtualise, whatever firmware and kernel made of it.
#[cfg(target_arch = "x86_64")]
pub fn cpuid() -> Option<bool> {
    use std::arch::x86_64::__cpuid;
    let vmx = __cpuid(1).ecx & (1 << 5) != 0;
    let extended = __cpuid(0x8000_0000).eax >= 0x8000_0001;
    let svm = extended && __cpuid(0x8000_0001).ecx & (1 << 2) != 0;
    Some(vmx || svm)
}

/// Other processors do not tell ordinary programs.
#[cfg(not(target_arch = "x86_64"))]
pub fn cpuid() -> Option<bool> {
    None
}

/// The access control list of a file; empty where it has none.
#[cfg(target_os = "linux")]
pub fn acl(path: &Path) -> Vec<AclEntry> {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return Vec::new() };
    let mut buffer = [0_u8; 4096];
    #[expect(unsafe_code, reason = "neither std nor `nix` read extended attributes")]
    // SAFETY: both strings end in NUL, and the kernel writes at most `buffer.len()` bytes.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.posix_acl_access".as_ptr(),
            buffer.as_mut_ptr().cast::<libc::c_void>(),
            buffer.len(),
        )
    };
    usize::try_from(length).map_or_else(|_| Vec::new(), |length| parse_acl(&buffer[..length]))
}

/// Only Linux has them in this form.
#[cfg(not(target_os = "linux"))]
pub fn acl(_: &Path) -> Vec<AclEntry> {
    Vec::new()
}

/// Reads the attribute `system.posix_acl_access`: a version (2), then records of tag, permission and id.
fn parse_acl(bytes: &[u8]) -> Vec<AclEntry> {
    let Some((&[2, 0, 0, 0], records)) = bytes.split_first_chunk::<4>() else { return Vec::new() };
    let entry = |record: &[u8]| {
        let &[t0, t1, p0, p1, i0, i1, i2, i3] = record else { return None };
        let tag = match u16::from_le_bytes([t0, t1]) {
            0x01 => AclTag::Owner,
            0x02 => AclTag::User,
            0x04 => AclTag::OwningGroup,
            0x08 => AclTag::Group,
            0x10 => AclTag::Mask,
            0x20 => AclTag::Other,
            _ => return None,
        };
        let named = matches!(tag, AclTag::User | AclTag::Group);
        let id = if named { u32::from_le_bytes([i0, i1, i2, i3]) } else { 0 };
        Some(AclEntry { tag, id, perm: u32::from(u16::from_le_bytes([p0, p1])) })
    };
    records.chunks(8).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_control_list_is_read() {
        // setfacl -m u:1000:rw: user::rw- user:1000:rw- group::--- mask::rw- other::---
        let bytes = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x06\0\xe8\x03\0\0\x04\0\0\0\xff\xff\xff\xff\
                      \x10\0\x06\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
        let list = parse_acl(bytes);
        assert_eq!(list.len(), 5);
        assert_eq!(list[1], AclEntry { tag: AclTag::User, id: 1000, perm: 6 });
        assert_eq!(list[3], AclEntry { tag: AclTag::Mask, id: 0, perm: 6 });
        assert_eq!(parse_acl(b"\x03\0\0\0\x01\0\x06\0\xff\xff\xff\xff"), []);
        assert_eq!(parse_acl(b""), []);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_not_kvm_is_told_apart_by_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let used = in_this_process_keeping_signal(&dir.path().join(name));
            (used.step, used.errno)
        };
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        unix::unistd::mkfifo(&dir.path().join("pipe"), unix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(at("nothing"), (Step::Open, Some(libc::ENOENT)));
        assert_eq!(at("file"), (Step::ApiVersion, Some(libc::ENOTTY)));
        assert_eq!(at("folder"), (Step::Open, Some(libc::EISDIR)));
        assert_eq!(at("pipe"), (Step::ApiVersion, Some(libc::ENOTTY)));
    }

    /// `attempt` alone: the test process must not die with its parent thread.
    #[cfg(target_os = "linux")]
    fn in_this_process_keeping_signal(device: &Path) -> Use {
        let mut used =
            Use { step: Step::Start, errno: None, api: None, exit: None, rounds_per_second: None, millis: 0.0 };
        if let Err(errno) = attempt(device, &mut used) {
            used.errno = Some(errno);
        }
        used
    }
}
