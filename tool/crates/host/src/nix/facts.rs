//! What is known about a Nix, as plain data. `read` fills it.

use serde::Serialize;

use crate::nixconf::Features;
use crate::used::Use;

/// Nix, as far as it matters for VMs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nix {
    /// Version, such as `2.31.2`.
    pub version: Option<String>,
    /// Who builds.
    pub builders: Builders,
    /// Its daemon.
    pub daemon: Daemon,
    /// The features that the file settles: see [`Features`].
    pub features: Features,
    /// The file that settles them.
    pub conf: String,
    /// Why the configuration of Nix cannot be read as Nix reads it.
    pub conf_error: Option<String>,
    /// Setting `sandbox`; `None` means Nix's own choice, which is yes on Linux.
    pub sandbox: Option<String>,
    /// Nix makes up users for its builds: `auto-allocate-uids`.
    pub auto_users: bool,
    /// Group of the build users.
    pub build_group: String,
    /// Names of the build users.
    pub build_users: Vec<String>,
    /// Groups of which every build user is a member.
    pub build_user_groups: Vec<u32>,
    /// What using KVM as a build user gave; only root can try.
    pub used: Option<Use>,
}

/// Who runs the builds of Nix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builders {
    /// The caller: a Nix of one user.
    Caller,
    /// Build users, started by a daemon or by root.
    BuildUsers,
    /// Root itself: `build-users-group` is empty.
    Root,
}

/// The daemon of a Nix, as far as the caller can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Daemon {
    /// No socket is there.
    Absent,
    /// Its socket is there, or may be, but the caller may not use it.
    ShutOut,
    /// Its socket is there.
    Listening,
}
