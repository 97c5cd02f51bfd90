//! The kernel's own files in /proc: which a machine may write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use unix::mount::{MsFlags, mount};
use unix::unistd::{AccessFlags, access};

/// Settings of the kernel that each machine has for itself, below /proc/sys.
const SYSCTLS: &str = "\
    net fs/mqueue kernel/hostname kernel/domainname kernel/shmmax kernel/shmall kernel/shmmni kernel/shm_rmid_forced \
    kernel/msgmax kernel/msgmnb kernel/msgmni kernel/sem kernel/auto_msgmni";

/// Makes the kernel's own files in /proc read-only where the machine's root is the host's, who may write them. To be called in
/// the machine's network, IPC and UTS namespaces.
pub fn lock_kernel() -> Result<()> {
    let lock = |path: &Path, flags| {
        mount(Some(path), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(None::<&str>, path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, None::<&str>)
    };
    if access("/proc/sys/kernel/hostname", AccessFlags::W_OK).is_err() {
        return Ok(());
    }
    let hidden = tool_init::HIDDEN.iter().map(|hide| Path::new(tool_init::PROCS).join(hide));
    for proc in [PathBuf::from("/proc")].into_iter().chain(hidden) {
        for entry in fs::read_dir(&proc)?.flatten() {
            let ours = |meta: &fs::Metadata| meta.is_dir() || meta.is_file() && meta.permissions().mode() & 0o222 != 0;
            let meta = entry.metadata().ok().filter(ours);
            let process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
            if meta.is_some() && !process {
                let path = entry.path();
                lock(&path, MsFlags::MS_RDONLY).with_context(|| format!("cannot lock {}", path.display()))?;
            }
        }
    }
    for name in SYSCTLS.split_whitespace() {
        let path = Path::new("/proc/sys").join(name);
        if path.exists() {
            lock(&path, MsFlags::empty()).with_context(|| format!("cannot open {}", path.display()))?;
        }
    }
    Ok(())
}
