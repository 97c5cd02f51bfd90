//! Who has an account on a machine: root, `nobody`, and whom the run's spec names; one ordinary user by default.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Accounts beside root and `nobody`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Users.
    pub users: Vec<User>,
    /// Groups.
    pub groups: Vec<Group>,
}

/// A line of /etc/passwd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// User number.
    pub uid: u32,
    /// Number of the first group.
    pub gid: u32,
    /// Home.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Whether the home is made.
    pub make_home: bool,
}

/// A line of /etc/group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group number.
    pub gid: u32,
    /// Users who are in it beside those whose first group it is.
    pub members: Vec<String>,
}

impl Default for Accounts {
    /// One ordinary user: what an IOC engineer logs in as, for what root would be allowed anyway.
    fn default() -> Self {
        let (name, id) = ("operator1".to_owned(), 1000);
        Self {
            users: vec![User {
                name: name.clone(),
                uid: id,
                gid: id,
                home: format!("/home/{name}"),
                shell: "/bin/bash".to_owned(),
                make_home: true,
            }],
            groups: vec![Group { name, gid: id, members: Vec::new() }],
        }
    }
}

/// Files of /etc that tell of the accounts, each with its text.
pub fn files(accounts: &Accounts) -> [(&'static str, String); 4] {
    let mut passwd = "root:x:0:0:System administrator:/root:/bin/bash\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    // Without it PAM lets nobody in, not even root's `su`. A star is a password that nothing matches.
    let mut shadow = "root:*:1::::::\n".to_owned();
    let mut gshadow = "root:*::\n".to_owned();
    for User { name, uid, gid, home, shell, .. } in &accounts.users {
        let _ = writeln!(passwd, "{name}:x:{uid}:{gid}::{home}:{shell}");
        let _ = writeln!(shadow, "{name}:*:1::::::");
    }
    for Group { name, gid, members } in &accounts.groups {
        let members = members.join(",");
        let _ = writeln!(group, "{name}:x:{gid}:{members}");
        let _ = writeln!(gshadow, "{name}:*::{members}");
    }
    passwd += "nobody:x:65534:65534:Unprivileged account:/var/empty:/bin/false\n";
    group += "nogroup:x:65534:\n";
    shadow += "nobody:*:1::::::\n";
    gshadow += "nogroup:*::\n";
    [("passwd", passwd), ("group", group), ("shadow", shadow), ("gshadow", gshadow)]
}

/// Sets up the accounts on a machine's new disk, where `files` stand in /etc already.
pub fn set_up(accounts: &Accounts, disk: &Path) -> io::Result<()> {
    for name in ["etc/shadow", "etc/gshadow"] {
        fs::set_permissions(disk.join(name), fs::Permissions::from_mode(0o600))?;
    }
    for user in accounts.users.iter().filter(|user| user.make_home) {
        let home = disk.join(user.home.trim_start_matches('/'));
        fs::create_dir_all(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        match chown(&home, Some(user.uid), Some(user.gid)) {
            // No such user in this user namespace: then nobody can become it, and root can write there.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
            other => other?,
        }
    }
    Ok(())
}
