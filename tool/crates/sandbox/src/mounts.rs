//! Mounts of what the host has, with fewer rights, and the change of the root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use unix::mount::{MntFlags, MsFlags, mount, umount2};

pub fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("cannot bind {} to {}", source.display(), target.display()))
}

pub fn bind_readonly(source: &Path, target: &Path) -> Result<()> {
    bind_with(source, target, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV)
}

/// Binds a file or a folder with all that is mounted below it, and takes rights away from each of these mounts.
///
/// The mounts are those of this thread: the rest of the process is in another namespace.
pub fn bind_with(source: &Path, target: &Path, less: MsFlags) -> Result<()> {
    bind(source, target)?;
    for (path, flags) in mounts_below(&fs::read_to_string("/proc/thread-self/mountinfo")?, target) {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | less | flags;
        // One below may be hidden by another, gone by now, or a file system that shuts everyone else out, as FUSE does.
        if let Err(e) = mount(None::<&str>, &path, None::<&str>, flags, None::<&str>)
            && path == target
        {
            return Err(e).with_context(|| format!("cannot take rights away from {}", path.display()));
        }
    }
    Ok(())
}

/// Mounts at and below a folder with the flags that a remount must keep (proc_pid_mountinfo(5)).
fn mounts_below(mountinfo: &str, top: &Path) -> Vec<(PathBuf, MsFlags)> {
    let flag = |option: &str| match option {
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        _ => MsFlags::empty(),
    };
    mountinfo
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            let path = PathBuf::from(unescape(fields.next()?));
            let flags = fields.next()?.split(',').map(flag).collect();
            path.starts_with(top).then_some((path, flags))
        })
        .collect()
}

/// Undoes the octal escapes of /proc/PID/mountinfo (`\040` is a space).
fn unescape(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|d| bytes[at] == b'\\' && d.iter().all(u8::is_ascii_digit));
        match octal.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(out)
}

/// Makes `root` the root of this thread's mount namespace and lets go of the old one (pivot_root(2)).
pub fn pivot(root: &Path) -> Result<()> {
    std::env::set_current_dir(root)?;
    unix::unistd::pivot_root(".", ".").context("cannot change to the machine's root file system")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot let go of the host's file system")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_escapes_and_flags() {
        let text = "22 1 0:21 / /a\\040b rw,nosuid,relatime shared:1 - tmpfs tmpfs rw\n\
                    23 22 0:22 / /a\\040b/\\303\\274 ro,nodev - tmpfs tmpfs rw\n\
                    24 1 0:23 / /a rw - tmpfs tmpfs rw\n";
        assert_eq!(
            mounts_below(text, Path::new("/a b")),
            [
                (PathBuf::from("/a b"), MsFlags::MS_NOSUID | MsFlags::MS_RELATIME),
                (PathBuf::from("/a b/ü"), MsFlags::MS_NODEV),
            ]
        );
    }
}
