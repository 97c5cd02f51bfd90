//! `User=`, `Group=` and `DynamicUser=`.

use std::fs;

use anyhow::anyhow;

use super::super::journal::Journal;
use super::super::manager::types::Rt;
use super::super::unit::service::Service;
use super::{Failed, failed};
use crate::start;

/// Who a process runs as.
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) login: Option<(String, String, String)>,
}

/// The user that a service names; `None` for root as it is.
pub(super) fn user(rt: &Rt, service: &Service, journal: &Journal) -> Result<Option<User>, Failed> {
    let mut user = match &service.user {
        Some(name) => match start::user(name) {
            Some((name, uid, gid, home, shell)) => {
                User { uid, gid, groups: Vec::new(), login: Some((name, home, shell)) }
            }
            None if service.dynamic_user => dynamic(rt, name, journal),
            None => return Err(failed(217, "USER", anyhow!("there is no user `{name}` on the machine"))),
        },
        None if service.dynamic_user => {
            let stem = rt.unit.name.split(['.', '@']).next().unwrap_or_default();
            dynamic(rt, stem, journal)
        }
        None if service.group.is_none() && service.supplementary_groups.is_empty() => return Ok(None),
        None => User { uid: 0, gid: 0, groups: Vec::new(), login: None },
    };
    let group = |name: &String| {
        use unix::unistd::Group;
        let by_name = Group::from_name(name).ok().flatten().map(|g| g.gid.as_raw());
        by_name
            .or_else(|| name.parse().ok())
            .ok_or_else(|| failed(216, "GROUP", anyhow!("there is no group `{name}` on the machine")))
    };
    if let Some(name) = service.group.as_ref().filter(|_| !service.dynamic_user) {
        user.gid = group(name)?;
    }
    user.groups = match &user.login {
        // As systemd: the groups that /etc/group gives the user, but not root.
        Some((name, ..)) if user.gid != 0 => start::groups(name, user.gid),
        _ => vec![user.gid],
    };
    for name in &service.supplementary_groups {
        user.groups.push(group(name)?);
    }
    for (file, id, status, step) in [("uid_map", user.uid, 217, "USER"), ("gid_map", user.gid, 216, "GROUP")] {
        let map = fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        if !is_mapped(&map, id) {
            let text = format!(
                "id {id} is not available in the sandbox: only one user is (hint: give yourself ids in /etc/subuid and /etc/subgid and install newuidmap, or run the check in a VM)"
            );
            return Err(failed(status, step, anyhow!(text)));
        }
    }
    // Only root is left where groups are not mapped: it may do all that they allow.
    let map = fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    user.groups.retain(|gid| is_mapped(&map, *gid));
    Ok(Some(user))
}

/// Numbers of users that `DynamicUser=` takes (systemd.exec(5)).
const DYNAMIC: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// The number of a dynamic user: by its name, as systemd chooses it, so that it owns its folders at the next start, too.
fn number(name: &str) -> u32 {
    // FNV-1a: any spread will do.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    DYNAMIC.start() + hash % (DYNAMIC.end() - DYNAMIC.start() + 1)
}

/// The user of `DynamicUser=`; root where its number is not mapped, with a word about it.
fn dynamic(rt: &Rt, name: &str, journal: &Journal) -> User {
    let mapped = |file: &str, id| is_mapped(&fs::read_to_string(file).unwrap_or_default(), id);
    let own =
        Some(number(name)).filter(|id| ["/proc/self/uid_map", "/proc/self/gid_map"].iter().all(|f| mapped(f, *id)));
    if own.is_none() {
        let text = format!("{}: DynamicUser=yes: runs as root, because the sandbox has no other user", rt.unit.name);
        // For the console, not for the service's own journal: scripts compare that.
        journal.manager("", "", 5, &text);
    }
    let id = own.unwrap_or(0);
    User { uid: id, gid: id, groups: Vec::new(), login: Some((name.to_owned(), String::new(), String::new())) }
}

fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|w| w.parse::<u64>().ok());
        let (Some(first), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        (first..first + count).contains(&u64::from(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_users_have_numbers_of_their_own() {
        assert_ne!(number("ioc"), number("other"));
        assert!(["", "ioc", "a-long-name"].into_iter().all(|name| DYNAMIC.contains(&number(name))));
    }

    #[test]
    fn mapped_ids() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert!(is_mapped(map, 0) && is_mapped(map, 1000) && is_mapped(map, 65536) && !is_mapped(map, 65537));
    }
}
