//! Reads what is to be known of Nix: one reader for `check-kvm`, `configure-nix`, `doctor` and the choice of a backend.

use std::os::unix::fs::MetadataExt;

use super::facts::{Builders, Daemon, Nix};
use crate::accounts::{account, groups, groups_of};
use crate::nixconf;
use tool_base::files;
use tool_base::host::Host;
use tool_base::process::{Cmd, Limited};

/// Who would build, as numbers of user and group; only root can take that on.
pub(crate) fn build_user(host: &Host, nix: &Nix) -> Option<(u32, u32)> {
    if host.uid != 0 || !host.is_real() || nix.builders != Builders::BuildUsers {
        return None;
    }
    account(host, nix.build_users.first()?)
}

/// What is known about Nix; `None` where there is no program `nix`.
pub fn nix(host: &Host) -> Option<Nix> {
    let program = host.program("nix")?;
    let version = match Cmd::new(program).arg("--version").output_within(std::time::Duration::from_secs(5)) {
        // `nix (Nix) 2.31.2`, `nix (Determinate Nix 3.6.1) 2.29.0`, `nix (Lix, like Nix) 2.93.0`
        Ok(Limited::Ended(output)) => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().last().map(ToOwned::to_owned)
        }
        _ => None,
    };
    let conf = nixconf::system_conf(host);
    let daemon = daemon(host);
    let alone = builds_alone(host, daemon);
    let settings = if alone { nixconf::user_settings(host) } else { nixconf::system_settings(host) };
    let conf_error = settings.as_ref().err().map(|e| format!("{e:#}"));
    let settings = settings.unwrap_or_default();
    let build_group = settings.last("build-users-group").unwrap_or_else(|| "nixbld".to_owned());
    let build_users = members(host, &build_group);
    let build_user_groups = build_users
        .iter()
        .map(|u| groups_of(host, u))
        .reduce(|common, gids| common.into_iter().filter(|g| gids.contains(g)).collect())
        .unwrap_or_default();
    let on = |key| settings.last(key).as_deref() == Some("true");
    let builders = match build_group.is_empty() && !on("auto-allocate-uids") {
        _ if alone => Builders::Caller,
        true => Builders::Root,
        false => Builders::BuildUsers,
    };
    Some(Nix {
        version,
        builders,
        daemon,
        features: settings.features(),
        conf: conf.display().to_string(),
        conf_error,
        sandbox: settings.last("sandbox"),
        auto_users: on("auto-allocate-uids"),
        build_group,
        build_users,
        build_user_groups,
        used: None,
    })
}

/// Members of a group; those that only the name service knows, too.
fn members(host: &Host, name: &str) -> Vec<String> {
    let local = groups(host).into_iter().find(|g| g.name == name).map(|g| g.members).unwrap_or_default();
    #[cfg(target_os = "linux")]
    if local.is_empty() && host.is_real() {
        return unix::unistd::Group::from_name(name).ok().flatten().map(|g| g.mem).unwrap_or_default();
    }
    local
}

/// Whether the daemon's socket is there, and for us. What may not be looked at is not absent.
fn daemon(host: &Host) -> Daemon {
    let socket = host.path("/nix/var/nix/daemon-socket/socket");
    match socket.symlink_metadata() {
        Ok(_) if files::may_write(&socket) => Daemon::Listening,
        Ok(_) => Daemon::ShutOut,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Daemon::ShutOut,
        Err(_) => Daemon::Absent,
    }
}

/// As Nix decides for the store `auto`: who may write its database builds alone, everyone else asks the daemon.
fn builds_alone(host: &Host, daemon: Daemon) -> bool {
    if host.uid == 0 {
        return false;
    }
    match host.path("/nix/var/nix/db").metadata() {
        Ok(meta) => meta.uid() == host.uid && host.env("NIX_REMOTE") != Some("daemon"),
        // A store in the home of the user, which Nix makes where it may not write /nix.
        Err(e) => e.kind() != std::io::ErrorKind::PermissionDenied && daemon == Daemon::Absent,
    }
}
