//! What is known about a machine's KVM, as plain data. `read` fills it, `diagnose` judges it.

use serde::Serialize;

use super::used::Use;
use crate::nix::facts::Nix;

/// Everything that decides whether VMs are accelerated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// Operating system, as Rust names it: `linux`, `macos`.
    pub os: String,
    /// Architecture, as Rust names it: `x86_64`, `aarch64`.
    pub arch: String,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Mode of kernel lockdown; it does not forbid KVM.
    pub lockdown: Option<String>,
    /// `ID` of os-release.
    pub distribution: Option<String>,
    /// The processor.
    pub cpu: Cpu,
    /// Modules of KVM and of other hypervisors.
    pub modules: Modules,
    /// What the firmware calls this machine: maker and product.
    pub product: Option<String>,
    /// The container that we run in.
    pub container: Option<String>,
    /// Windows Subsystem for Linux: its generation.
    pub wsl: Option<u8>,
    /// The device.
    pub device: Device,
    /// Who asks.
    pub user: User,
    /// What using KVM as this user gave.
    pub used: Option<Use>,
    /// Nix.
    pub nix: Option<Nix>,
}

impl Facts {
    /// The case of a fix: in a container, nothing of the machine can be mended.
    pub(crate) fn case<'a>(&self, otherwise: &'a str) -> &'a str {
        if self.container.is_some() { "container" } else { otherwise }
    }
}

/// The processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// `GenuineIntel`, `AuthenticAMD`, …
    pub vendor: Option<String>,
    /// Marketing name.
    pub model: Option<String>,
    /// The kernel lists `vmx` or `svm`.
    pub flag: bool,
    /// The processor itself says (CPUID) that it has VMX or SVM; `None` off x86 and on made-up machines.
    pub cpuid: Option<bool>,
    /// The kernel lists `hypervisor`: this is a guest.
    pub hypervisor: bool,
}

/// Modules of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Modules {
    /// Those in the kernel whose name starts with `kvm`.
    pub loaded: Vec<String>,
    /// Modules of another hypervisor: `vboxdrv`, `vmmon`.
    pub others: Vec<String>,
    /// Parameter `nested` of the vendor's module.
    pub nested: Option<String>,
    /// Whether the running kernel has a KVM module on disk or built in.
    pub available: Option<bool>,
    /// What the kernel said about KVM and virtualisation, where we may read that.
    pub log: Vec<String>,
}

/// `/dev/kvm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Device {
    /// Nothing is there.
    Missing,
    /// Something is there.
    Present(Node),
}

/// A node in /dev.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// `character device`, `plain file`, `folder`, `pipe`, …
    pub kind: String,
    /// Major and minor number of a device.
    pub number: Option<(u64, u64)>,
    /// Minor number that the kernel gives to KVM now, from /proc/misc.
    pub registered: Option<u64>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name of the group.
    pub group: Option<String>,
    /// Access control list; empty where there is none beyond the mode.
    pub acl: Vec<AclEntry>,
}

/// One line of an access control list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AclEntry {
    /// Whom it is about.
    pub tag: AclTag,
    /// Number of the user or group; 0 for the other tags.
    pub id: u32,
    /// Bits r = 4, w = 2, x = 1.
    pub perm: u32,
}

/// Whom a line of an access control list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words of acl(5)")]
pub enum AclTag {
    Owner,
    User,
    OwningGroup,
    Group,
    Mask,
    Other,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Groups of this session.
    pub session_groups: Vec<u32>,
    /// Groups that /etc/group gives to the user: those of the next session.
    pub account_groups: Vec<u32>,
}
