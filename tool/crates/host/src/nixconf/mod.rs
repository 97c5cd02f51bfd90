//! nix.conf: read as Nix reads it (`parse`), decide what to add and where (`plan`), write it safely (`apply`).

pub mod apply;
mod parse;
pub mod plan;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use parse::{ConfValues, Features};

use tool_base::files;
use tool_base::host::Host;

/// The system's file: `NIX_CONF_DIR`, else /etc/nix.
pub fn system_conf(host: &Host) -> PathBuf {
    Path::new(host.env("NIX_CONF_DIR").unwrap_or("/etc/nix")).join("nix.conf")
}

/// The user's files, the one that counts most first.
pub fn user_confs(host: &Host) -> Vec<PathBuf> {
    if let Some(files) = host.env("NIX_USER_CONF_FILES") {
        return files.split(':').filter(|f| !f.is_empty()).map(PathBuf::from).collect();
    }
    let home = host.env("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(host.env("HOME")?).join(".config")));
    let others = host.env("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg").split(':').map(PathBuf::from);
    home.into_iter().chain(others).map(|dir| dir.join("nix/nix.conf")).collect()
}

/// What the system's file says to the daemon. A file that cannot be read says nothing, as with Nix.
pub fn system_settings(host: &Host) -> Result<ConfValues> {
    let mut settings = ConfValues::default();
    add(host, &mut settings, &system_conf(host))?;
    Ok(settings)
}

/// What a command of this user reads: the system's file, the user's files from the least to the most important,
/// `NIX_CONFIG`.
pub fn user_settings(host: &Host) -> Result<ConfValues> {
    let mut settings = system_settings(host)?;
    for path in user_confs(host).iter().rev() {
        add(host, &mut settings, path)?;
    }
    if let Some(text) = host.env("NIX_CONFIG") {
        settings.add(Path::new("NIX_CONFIG"), text.as_bytes(), &|path| files::read_regular(&host.path(path)).ok())?;
    }
    Ok(settings)
}

fn add(host: &Host, settings: &mut ConfValues, path: &Path) -> Result<()> {
    let read = |path: &Path| files::read_regular(&host.path(path)).ok();
    read(path).map_or(Ok(()), |bytes| settings.add(path, &bytes, &read))
}

/// What the machine says about where its settings live. `single`: the Nix of one user, without a daemon.
pub fn place(host: &Host, single: bool) -> plan::Place {
    let system = system_conf(host);
    let text = files::read_regular(&host.path(&system)).unwrap_or_default();
    let custom = parse::includes(&text)
        .into_iter()
        .map(|file| parse::beside(&system, &file))
        .find(|path| path.file_name().is_some_and(|n| n == "nix.custom.conf"));
    // A daemon has fixed its features before it hears what a client's file says, trusted or not.
    let own = user_confs(host).into_iter().next().filter(|_| single);
    plan::Place {
        nixos: host.exists("/etc/NIXOS") || host.distribution().as_deref() == Some("nixos"),
        macos: host.exists("/System/Library/CoreServices"),
        target: link_target(host, &system),
        custom,
        own_target: own.as_ref().and_then(|own| link_target(host, own)),
        own,
        system,
    }
}

/// Where a chain of links ends, as a path of the machine; `None` where the file is no link. The end may be missing.
fn link_target(host: &Host, path: &Path) -> Option<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..40 {
        match std::fs::read_link(host.path(&at)) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("/")).join(to),
            Err(_) => break,
        }
        if at.starts_with("/nix/store") {
            break;
        }
    }
    (at != path).then_some(at)
}
