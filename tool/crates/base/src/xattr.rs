//! Extended attributes of files, access control lists among them: what a file has beside owner and mode.

#![expect(unsafe_code, reason = "neither std nor `nix` read or write extended attributes")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Attributes by name.
pub type Attributes = BTreeMap<CString, Vec<u8>>;

/// All attributes of a file; none where its file system has no such thing.
///
/// # Errors
/// They cannot be read.
pub fn all(file: &File) -> io::Result<Attributes> {
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let names = read(|buffer| unsafe {
        libc::flistxattr(file.as_raw_fd(), buffer.as_mut_ptr().cast::<libc::c_char>(), buffer.len())
    });
    let names = match names {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Attributes::new()),
        names => names?,
    };
    let names = names.split_inclusive(|&byte| byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok());
    names.map(|name| Ok((name.to_owned(), get(file, name)?))).collect()
}

fn get(file: &File, name: &CStr) -> io::Result<Vec<u8>> {
    // SAFETY: the name ends in NUL, and the kernel writes at most as many bytes as the buffer has.
    read(|buffer| unsafe {
        libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast::<libc::c_void>(), buffer.len())
    })
}

/// Reads into a buffer that takes the most that the kernel gives (`XATTR_SIZE_MAX`).
fn read(call: impl FnOnce(&mut [u8]) -> isize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let length = usize::try_from(call(&mut buffer)).map_err(|_| io::Error::last_os_error())?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Gives a file these attributes, and no others of a user's or of access control.
///
/// # Errors
/// One cannot be set or removed.
pub fn set_all(file: &File, wanted: &Attributes) -> io::Result<()> {
    let present = all(file)?;
    for (name, value) in wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value)) {
        let (data, length) = (value.as_ptr().cast::<libc::c_void>(), value.len());
        // SAFETY: the name ends in NUL, and `data` is readable for `length` bytes.
        let done = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), data, length, 0) };
        succeeded(done, name)?;
    }
    let ours = |name: &&CString| [&b"system."[..], b"user."].iter().any(|kind| name.as_bytes().starts_with(kind));
    for name in present.keys().filter(|name| !wanted.contains_key(*name)).filter(ours) {
        // SAFETY: the name ends in NUL.
        succeeded(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) }, name)?;
    }
    Ok(())
}

fn succeeded(done: i32, name: &CStr) -> io::Result<()> {
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(io::Error::new(error.kind(), format!("attribute {}: {error}", name.to_string_lossy())))
}
