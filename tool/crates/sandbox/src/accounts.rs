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

/// Groups of every NixOS machine, with their fixed numbers there: units name them, and users are put into them.
pub const GROUPS: [(&str, u32); 28] = [
    ("root", 0),
    ("wheel", 1),
    ("kmem", 2),
    ("tty", 3),
    ("messagebus", 4),
    ("disk", 6),
    ("audio", 17),
    ("floppy", 18),
    ("uucp", 19),
    ("lp", 20),
    ("cdrom", 24),
    ("tape", 25),
    ("video", 26),
    ("dialout", 27),
    ("utmp", 29),
    ("adm", 55),
    ("systemd-journal", 62),
    ("users", 100),
    ("systemd-network", 152),
    ("systemd-resolve", 153),
    ("systemd-timesync", 154),
    ("input", 174),
    ("kvm", 302),
    ("render", 303),
    ("sgx", 304),
    ("shadow", 318),
    ("nixbld", 30_000),
    ("nogroup", 65_534),
];

/// Files of /etc that tell of the accounts, each with its text.
pub fn files(accounts: &Accounts) -> [(&'static str, String); 4] {
    let mut passwd = "root:x:0:0:System administrator:/root:/bin/bash\n".to_owned();
    let mut group = String::new();
    // Without it PAM lets nobody in, not even root's `su`. A star is a password that nothing matches.
    let mut shadow = "root:*:1::::::\n".to_owned();
    let mut gshadow = String::new();
    for User { name, uid, gid, home, shell, .. } in &accounts.users {
        let _ = writeln!(passwd, "{name}:x:{uid}:{gid}::{home}:{shell}");
        let _ = writeln!(shadow, "{name}:*:1::::::");
    }
    let named = accounts.groups.iter().map(|group| (group.name.as_str(), group.gid, group.members.join(",")));
    let others = GROUPS.iter().filter(|(name, _)| accounts.groups.iter().all(|group| group.name != *name));
    for (name, gid, members) in others.map(|(name, gid)| (*name, *gid, String::new())).chain(named) {
        let _ = writeln!(group, "{name}:x:{gid}:{members}");
        let _ = writeln!(gshadow, "{name}:*::{members}");
    }
    passwd += "nobody:x:65534:65534:Unprivileged account:/var/empty:/bin/false\n";
    shadow += "nobody:*:1::::::\n";
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
