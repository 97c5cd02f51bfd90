//! Judges who may open the device: the user and Nix's builders. Pure functions, no reading.

use super::advice;
use super::facts::{AclTag, Device, Facts, Node};
use super::used::Step;
use crate::finding::Finding;
use crate::nix::facts::{Builders, Nix};

/// Findings about who may open the device: they hold for one user, and tell nothing about the device itself.
pub(super) const PERMISSION: [&str; 4] =
    [advice::GROUP.id, advice::GROUP_NOT_ACTIVE.id, advice::ACL.id, advice::MODE.id];

/// `root:kvm, mode 0660`.
pub(super) fn shown(node: &Node) -> String {
    let group = node.group.clone().unwrap_or_else(|| node.gid.to_string());
    let owner = if node.uid == 0 { "root".to_owned() } else { node.uid.to_string() };
    let acl = if node.acl.is_empty() { "" } else { " with an access control list" };
    format!("/dev/kvm is {owner}:{group}, mode {:04o}{acl}", node.mode)
}

/// What the kernel said.
pub(super) fn error_name(errno: Option<i32>) -> String {
    errno.map_or("no error number".to_owned(), |n| std::io::Error::from_raw_os_error(n).to_string())
}

/// The device is good, but its permissions keep the user out.
pub(super) fn shut_out(facts: &Facts, node: &Node) -> Finding {
    let user = &facts.user;
    let evidence = format!("{}; you are {}", shown(node), user.name);
    let group_opens = node.mode & 0o060 == 0o060 && node.gid != 0;
    // A mask shows up as the group's bits of the mode, so the list is asked first.
    if let Some(why) = acl_denies(facts, node) {
        return Finding::of_case(&advice::ACL, facts.case(""), format!("{evidence}; {why}"));
    }
    if !group_opens {
        let case = facts.distribution.as_deref().filter(|&d| d == "nixos").map_or("", |_| "NixOS");
        return Finding::of_case(&advice::MODE, facts.case(case), evidence);
    }
    let joined = user.account_groups.contains(&node.gid) && !user.session_groups.contains(&node.gid);
    if joined {
        return Finding::new(&advice::GROUP_NOT_ACTIVE, evidence);
    }
    let builders_too = facts.nix.as_ref().is_some_and(|n| n.builders == Builders::BuildUsers);
    let case = match (facts.container.as_deref(), facts.distribution.as_deref()) {
        (Some(_), _) if builders_too => "builders in a container",
        (Some(known @ ("docker" | "podman")), _) => known,
        (Some(_), _) => "container",
        (None, Some("nixos")) => "NixOS",
        _ if builders_too => "builders too",
        _ => "",
    };
    Finding::of_case(&advice::GROUP, case, evidence)
}

/// The entry of the list that keeps the user out, where the mode alone does not explain it.
fn acl_denies(facts: &Facts, node: &Node) -> Option<String> {
    let user = &facts.user;
    let named = |tag: AclTag, id: u32| node.acl.iter().find(|e| e.tag == tag && e.id == id);
    let mask = node.acl.iter().find(|e| e.tag == AclTag::Mask).map_or(7, |e| e.perm);
    if let Some(entry) = named(AclTag::User, user.uid) {
        return Some(format!("the list gives user {} {}", user.name, letters(entry.perm & mask)));
    }
    let in_owning_group = user.session_groups.contains(&node.gid);
    let owning = node.acl.iter().find(|e| e.tag == AclTag::OwningGroup && in_owning_group);
    let others = node.acl.iter().filter(|e| e.tag == AclTag::Group && user.session_groups.contains(&e.id));
    let groups: Vec<_> = owning.into_iter().chain(others).collect();
    let best = groups.iter().map(|e| e.perm & mask).max()?;
    Some(format!("the list gives your groups {}", letters(best)))
}

fn letters(perm: u32) -> String {
    [(4, 'r'), (2, 'w'), (1, 'x')].iter().map(|&(bit, c)| if perm & bit != 0 { c } else { '-' }).collect()
}

/// Why Nix's builders cannot use KVM; `None` where they can.
pub(super) fn builders_finding(facts: &Facts, nix: &Nix, mine: Option<&Finding>) -> Option<Finding> {
    if let Some(finding) = mine.filter(|f| nix.builders == Builders::Caller || !PERMISSION.contains(&f.id)) {
        // What is wrong with the machine is wrong for everyone.
        return Some(finding.clone());
    }
    if let Some(finding) = no_build_users(facts, nix) {
        return Some(finding);
    }
    let Device::Present(node) = &facts.device else { return None };
    let open = match &nix.used {
        _ if nix.builders == Builders::Caller => return None,
        // It is nobody's root in its sandbox, but the owner of the device.
        _ if nix.builders == Builders::Root => node.uid == 0 && node.mode & 0o600 == 0o600,
        Some(used) if used.step != Step::Start => used.step != Step::Open,
        _ => node.mode & 0o006 == 0o006,
    };
    // Without the build sandbox the groups of the build users stay.
    let by_group = nix.sandbox.as_deref() == Some("false")
        && node.mode & 0o060 == 0o060
        && nix.build_user_groups.contains(&node.gid);
    if open || by_group {
        return None;
    }
    let case = if facts.distribution.as_deref() == Some("nixos") { "NixOS" } else { "" };
    let tried = match &nix.used {
        Some(used) if used.step == Step::Open => {
            let name = nix.build_users.first().map_or("a build user", String::as_str);
            format!("; tried as {name}: {}", error_name(used.errno))
        }
        _ => String::new(),
    };
    Some(Finding::of_case(&advice::BUILDERS, facts.case(case), shown(node) + &tried))
}

/// Nix would build as users that are not there.
pub(crate) fn no_build_users(facts: &Facts, nix: &Nix) -> Option<Finding> {
    // A Mac keeps them elsewhere.
    if nix.builders != Builders::BuildUsers || nix.auto_users || !nix.build_users.is_empty() || facts.os != "linux" {
        return None;
    }
    let case = match facts.distribution.as_deref() {
        Some("nixos") => "NixOS",
        Some(distribution) => distribution,
        None => "",
    };
    let evidence = format!("no group {} with members in /etc/group", nix.build_group);
    Some(Finding::of_case(&advice::NO_BUILD_USERS, facts.case(case), evidence))
}
