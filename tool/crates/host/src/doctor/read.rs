//! Reads what the workflow needs from the machine and from the project. No judgement here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::userns::{self, UsernsFacts};
use crate::kvm;
use crate::nix::inputs::Inputs;
use crate::nix::{READS, inputs};
use tool_base::host::Host;
use tool_base::process::{Cmd, Limited};
use tool_project::Project;

/// Time for a program to name its version.
const LIMIT: Duration = Duration::from_secs(3);

/// Ports of Channel Access: servers, and the repeater.
const CHANNEL_ACCESS: [u16; 2] = [5064, 5065];

/// Everything that `doctor` judges.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// KVM and Nix.
    pub kvm: kvm::Facts,
    /// User namespaces.
    pub userns: UsernsFacts,
    /// Root of the project; else what is wrong with it.
    pub project: Result<PathBuf, String>,
    /// Version and revision of this tool.
    pub tool: String,
    /// What `python3 --version` says.
    pub python: Option<String>,
    /// What `rustc --version` says.
    pub rust: Option<String>,
    /// The Rust that `tool/embedded/Cargo.toml`, else the workspace asks for.
    pub rust_wanted: Option<String>,
    /// Whether the project is a Git tree; else why not.
    pub git: Result<(), String>,
    /// Files for Nix that Git does not know and does not ignore.
    pub untracked: Vec<String>,
    /// Free space in the Nix store, GiB.
    pub free_nix: Option<u64>,
    /// Free space in the project, GiB.
    pub free_project: Option<u64>,
    /// Where the flake's inputs can be had; looked at only where there are Nix and a project.
    pub inputs: Option<Inputs>,
    /// Builds of the IOC by Nix and `make` that are there; else why one of them cannot be run. The caller knows.
    pub builds: Vec<Result<String, String>>,
    /// What is kept for all clones of this user; none where nothing is. The caller knows.
    pub cache: Option<String>,
    /// What is left to do since an IOC was adopted.
    pub todo: Vec<String>,
    /// Ports of this IOC that somebody listens on.
    pub ports: Vec<u16>,
}

/// Reads everything.
pub fn facts(host: &Host, project: &Result<Project>) -> Facts {
    let root = project.as_ref().map_or(Path::new("."), |p| p.root.as_path());
    let untracked = tool_base::git::untracked(root, READS);
    let simulators = project.as_ref().map(|p| p.config.simulators.values().filter_map(|s| s.port).collect());
    let kvm = kvm::read::facts(host);
    let nix = kvm.nix.is_some() && host.is_real();
    Facts {
        userns: userns::facts(host),
        tool: tool_project::upgrade::version(Some(root)),
        python: version(host, "python3"),
        rust: version(host, "rustc"),
        rust_wanted: ["tool/embedded/Cargo.toml", "tool/Cargo.toml"].iter().find_map(|f| rust_version(&root.join(f))),
        git: untracked.as_ref().map(|_| ()).map_err(Clone::clone),
        untracked: untracked.unwrap_or_default(),
        free_nix: host.exists("/nix").then(|| free(&host.path("/nix"))).flatten(),
        free_project: free(root),
        inputs: project.as_ref().ok().filter(|_| nix).map(inputs::look),
        builds: Vec::new(),
        cache: None,
        todo: tool_project::adopt::todo::open(root),
        ports: ports(host, simulators.unwrap_or_default()),
        project: project.as_ref().map(|p| p.root.clone()).map_err(|e| format!("{e:#}")),
        kvm,
    }
}

/// The first line of `PROGRAM --version`.
fn version(host: &Host, program: &str) -> Option<String> {
    let cmd = Cmd::new(host.program(program)?).arg("--version");
    match cmd.output_within(LIMIT) {
        Ok(Limited::Ended(output)) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().next().map(ToOwned::to_owned)
        }
        _ => None,
    }
}

/// `rust-version` of a Cargo.toml.
fn rust_version(path: &Path) -> Option<String> {
    let manifest: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let package = |t: &toml::Table| t.get("package")?.get("rust-version")?.as_str().map(ToOwned::to_owned);
    let workspace = manifest.get("workspace").and_then(toml::Value::as_table);
    package(&manifest).or_else(|| package(workspace?))
}

/// Free space for ordinary users, GiB, rounded down.
#[cfg(target_os = "linux")]
fn free(path: &Path) -> Option<u64> {
    let stat = unix::sys::statvfs::statvfs(path).ok()?;
    Some((stat.blocks_available() * stat.fragment_size()) >> 30)
}

#[cfg(not(target_os = "linux"))]
fn free(_: &Path) -> Option<u64> {
    None
}

/// The ports that `cargo xtask run` needs, those of simulators included, and that are taken.
fn ports(host: &Host, simulators: BTreeSet<u16>) -> Vec<u16> {
    let mut taken = BTreeSet::new();
    for (file, tcp) in [("tcp", true), ("tcp6", true), ("udp", false), ("udp6", false)] {
        let table = host.read(format!("/proc/net/{file}")).unwrap_or_default();
        taken.extend(table.lines().filter_map(|line| listening(line, tcp)));
    }
    let wanted: BTreeSet<u16> = simulators.into_iter().chain(CHANNEL_ACCESS).collect();
    wanted.intersection(&taken).copied().collect()
}

/// The port of one line of /proc/net: sockets that wait for connections (TCP), or any (UDP).
fn listening(line: &str, tcp: bool) -> Option<u16> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[_, local, _, state, ..] = fields.as_slice() else { return None };
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (!tcp || state == "0A").then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read() {
        let line = "   0: 00000000:13C8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        assert_eq!(listening(line, true), Some(5064));
        assert_eq!(listening(&line.replace(" 0A ", " 01 "), true), None, "a connection is no listener");
        assert_eq!(listening(&line.replace(" 0A ", " 07 "), false), Some(5064));
        assert_eq!(listening("  sl  local_address rem_address   st tx_queue", true), None);
    }

    #[test]
    fn the_wanted_rust_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("Cargo.toml");
        let wanted = |text: &str| {
            std::fs::write(&file, text).unwrap();
            rust_version(&file)
        };
        assert_eq!(wanted("[package]\nrust-version = \"1.80\"").as_deref(), Some("1.80"));
        assert_eq!(wanted("[workspace.package]\nrust-version = \"1.95\"").as_deref(), Some("1.95"));
        assert_eq!(wanted("[package]\nrust-version.workspace = true"), None);
    }
}
