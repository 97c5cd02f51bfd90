//! User namespaces: who is who in them.

use std::fs;

use anyhow::{Context, Result, anyhow};

use tool_base::process::{Cmd, which};

/// Users and groups that are of use on a machine: more than `DynamicUser=` and `nobody` need, all in 16 bits.
const WANTED: u64 = 65_535;

/// Fills the user namespace of a process: the caller is root in it. Root brings all users along, an ordinary user
/// those that /etc/subuid and /etc/subgid grant; where there are none, root is the only user.
pub fn map(pid: u32) -> Result<()> {
    let (uid, gid) = (unix::unistd::geteuid(), unix::unistd::getegid());
    if uid.is_root() {
        let [(users, own_users), (groups, own_groups)] = own_maps()?;
        if fs::write(format!("/proc/{pid}/{users}"), own_users).is_ok() {
            return fs::write(format!("/proc/{pid}/{groups}"), own_groups).context("cannot write gid_map");
        }
    }
    // Each map by itself: what one program has written stays, though the other one refuses.
    if uid.is_root() || granted(pid, "newuidmap", uid.as_raw(), "/etc/subuid", uid.as_raw()).is_err() {
        fs::write(format!("/proc/{pid}/uid_map"), format!("0 {uid} 1\n")).context("cannot write uid_map")?;
    }
    if uid.is_root() || granted(pid, "newgidmap", gid.as_raw(), "/etc/subgid", uid.as_raw()).is_err() {
        // Without privileges a group map may only be written once setgroups(2) is off (user_namespaces(7)).
        fs::write(format!("/proc/{pid}/setgroups"), "deny").context("cannot write setgroups")?;
        fs::write(format!("/proc/{pid}/gid_map"), format!("0 {gid} 1\n")).context("cannot write gid_map")?;
    }
    Ok(())
}

/// The maps that give the numbers of our namespace to one inside it, by the names of their files below /proc/PID.
pub fn own_maps() -> Result<[(&'static str, String); 2]> {
    let map = |file| -> Result<_> {
        let own = fs::read_to_string(format!("/proc/self/{file}")).with_context(|| format!("cannot read {file}"))?;
        Ok((file, identity(&own)))
    };
    Ok([map("uid_map")?, map("gid_map")?])
}

/// The map that gives each number of a namespace with the map `own` the same number in a namespace inside it.
fn identity(own: &str) -> String {
    let mut lines = String::new();
    for line in own.lines() {
        let mut words = line.split_whitespace();
        if let (Some(first), Some(_), Some(count)) = (words.next(), words.next(), words.next()) {
            lines += &format!("{first} {first} {count}\n");
        }
    }
    lines
}

/// Maps by newuidmap or newgidmap, which are privileged and ask /etc/subuid or /etc/subgid (newuidmap(1)).
fn granted(pid: u32, program: &str, id: u32, file: &str, uid: u32) -> Result<()> {
    let name = unix::unistd::User::from_uid(uid.into())?.map(|user| user.name).unwrap_or_default();
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let (first, count) = range(&text, &name, uid).ok_or_else(|| anyhow!("{file} has no range for {name}"))?;
    let program = which(program).ok_or_else(|| anyhow!("no {program}"))?;
    let numbers = [u64::from(pid), 0, id.into(), 1, 1, first, count.min(WANTED)];
    Cmd::new(program).args(numbers.map(|n| n.to_string())).read().map(drop)
}

/// First number and count of the largest range that subuid(5) grants to a user.
fn range(text: &str, name: &str, uid: u32) -> Option<(u64, u64)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        let ours = who == name || who.parse() == Ok(uid);
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (ours && count > 0).then_some((first, count))
    });
    ranges.max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_keeps_the_numbers_that_it_has() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }

    #[test]
    fn the_largest_range_is_taken() {
        let text = "other:1:9\nann:100000:10\n1000:200000:65536\nann:x:9\nann\n";
        assert_eq!(range(text, "ann", 1000), Some((200_000, 65_536)));
        assert_eq!(range(text, "ann", 1001), Some((100_000, 10)));
        assert_eq!(range(text, "bob", 1001), None);
    }
}
