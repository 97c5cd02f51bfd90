//! Users and groups of a machine, by /etc/passwd and /etc/group.

use tool_base::host::Host;

/// One line of /etc/group.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) gid: u32,
    pub(crate) members: Vec<String>,
}

/// All groups.
pub(crate) fn groups(host: &Host) -> Vec<Group> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, gid, members] = fields.as_slice() else { return None };
        let members = members.split(',').filter(|m| !m.is_empty()).map(ToOwned::to_owned).collect();
        Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
    };
    host.read("/etc/group").unwrap_or_default().lines().filter_map(parse).collect()
}

/// Numbers of the user and the first group of a name in /etc/passwd.
pub(crate) fn account(host: &Host, name: &str) -> Option<(u32, u32)> {
    let passwd = host.read("/etc/passwd")?;
    let fields: Vec<&str> = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Groups of a user by /etc/passwd and /etc/group.
pub(crate) fn groups_of(host: &Host, name: &str) -> Vec<u32> {
    let member = |g: &Group| g.members.iter().any(|m| m == name);
    let mut gids: Vec<u32> = groups(host).into_iter().filter(member).map(|g| g.gid).collect();
    gids.extend(account(host, name).map(|(_, gid)| gid));
    gids.sort_unstable();
    gids.dedup();
    gids
}
