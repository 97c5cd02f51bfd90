//! Who has an account on a machine: root, `nobody`, and one ordinary user.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// The ordinary user: what an IOC engineer logs in as, for what root would be allowed anyway.
const USER: &str = "operator1";
/// Its user and group number.
const ID: u32 = 1000;

/// Files of /etc that tell of the accounts, each with its text.
pub fn files() -> [(&'static str, String); 4] {
    [
        (
            "passwd",
            format!(
                "root:x:0:0:System administrator:/root:/bin/bash\n\
                 {USER}:x:{ID}:{ID}:Ordinary user:/home/{USER}:/bin/bash\n\
                 nobody:x:65534:65534:Unprivileged account:/var/empty:/bin/false\n"
            ),
        ),
        ("group", format!("root:x:0:\n{USER}:x:{ID}:\nnogroup:x:65534:\n")),
        // Without it PAM lets nobody in, not even root's `su`. A star is a password that nothing matches.
        ("shadow", format!("root:*:1::::::\n{USER}:*:1::::::\nnobody:*:1::::::\n")),
        ("gshadow", format!("root:*::\n{USER}:*::\nnogroup:*::\n")),
    ]
}

/// Sets up the accounts on a machine's new disk, where `files` stand in /etc already.
pub fn set_up(disk: &Path) -> io::Result<()> {
    for name in ["etc/shadow", "etc/gshadow"] {
        fs::set_permissions(disk.join(name), fs::Permissions::from_mode(0o600))?;
    }
    let home = disk.join("home").join(USER);
    fs::create_dir_all(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    match chown(&home, Some(ID), Some(ID)) {
        // No such user in this user namespace: then nobody can become it, and root can write there.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
