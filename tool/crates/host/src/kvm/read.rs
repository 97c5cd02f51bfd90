//! Reads what decides about KVM from the machine. No judgement here.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::facts::{Cpu, Device, Facts, Modules, Node, User};
use super::probe;
use crate::accounts::{groups, groups_of};
use crate::nix;
use tool_base::host::Host;

/// Where the device is.
pub const DEVICE: &str = "/dev/kvm";

/// Everything, KVM being used as well.
pub fn facts(host: &Host) -> Facts {
    let mut facts = without_use(host);
    if let (Device::Present(_), "linux") = (&facts.device, facts.os.as_str()) {
        let device = host.path(DEVICE);
        facts.used = Some(probe::in_child(&device, None));
        let build_user = facts.nix.as_ref().and_then(|nix| nix::read::build_user(host, nix));
        if let Some(nix) = facts.nix.as_mut() {
            nix.used = build_user.map(|identity| probe::in_child(&device, Some(identity)));
        }
    }
    facts
}

/// Everything that reading alone gives.
pub fn without_use(host: &Host) -> Facts {
    let kernel = host.line("/proc/sys/kernel/osrelease");
    let modules = modules(host, kernel.as_deref());
    Facts {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        lockdown: host.line("/sys/kernel/security/lockdown").and_then(|l| bracketed(&l)),
        distribution: host.distribution(),
        cpu: cpu(host),
        modules,
        product: product(host),
        container: container(host),
        wsl: wsl(host, kernel.as_deref()),
        device: device(host),
        user: user(host),
        used: None,
        nix: nix::read::nix(host),
        kernel,
    }
}

/// The word in brackets: `none [integrity] confidentiality`.
fn bracketed(line: &str) -> Option<String> {
    Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())
}

fn cpu(host: &Host) -> Cpu {
    let text = host.read("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|f| f == flag);
    Cpu {
        vendor: field("vendor_id"),
        model: field("model name"),
        flag: has("vmx") || has("svm"),
        cpuid: host.is_real().then(probe::cpuid).flatten(),
        hypervisor: has("hypervisor"),
    }
}

fn modules(host: &Host, kernel: Option<&str>) -> Modules {
    let mut names: Vec<String> = std::fs::read_dir(host.path("/sys/module"))
        .map(|dir| dir.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort();
    let (loaded, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| n == "kvm" || n.starts_with("kvm_"));
    let nested = loaded.iter().find_map(|m| host.line(format!("/sys/module/{m}/parameters/nested")));
    let others = rest.into_iter().filter(|n| ["vboxdrv", "vmmon"].contains(&n.as_str())).collect();
    let listed = |kernel: &str, list: &str| {
        let text = host.read(format!("/lib/modules/{kernel}/{list}"))?;
        Some(text.lines().any(|l| l.split(':').next().is_some_and(|path| path.contains("/kvm/kvm"))))
    };
    let available = kernel.and_then(|k| {
        let lists = [listed(k, "modules.dep"), listed(k, "modules.builtin")];
        lists.iter().any(Option::is_some).then(|| lists.contains(&Some(true)))
    });
    Modules { loaded, others, nested, available, log: kernel_log(host) }
}

/// Lines of the kernel's log about KVM. Only root may read it on most machines.
#[cfg(target_os = "linux")]
fn kernel_log(host: &Host) -> Vec<String> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let path = host.path("/dev/kmsg");
    let device = path.metadata().is_ok_and(|m| m.file_type().is_char_device());
    let mut options = std::fs::OpenOptions::new();
    let Ok(mut file) = options.read(true).custom_flags(libc::O_NONBLOCK).open(path) else { return Vec::new() };
    let mut found = Vec::new();
    let mut record = [0_u8; 8192];
    // One read gives one record of the device; a lost record (EPIPE) is followed by the next one.
    for _ in 0..100_000 {
        let text = match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => String::from_utf8_lossy(&record[..length]).into_owned(),
            Err(e) if e.raw_os_error() == Some(libc::EPIPE) && device => continue,
            Err(_) => break,
        };
        found.extend(text.lines().filter_map(|l| l.split_once(';')).map(|(_, m)| m.to_owned()).filter(|m| about(m)));
    }
    found
}

#[cfg(not(target_os = "linux"))]
fn kernel_log(_: &Host) -> Vec<String> {
    Vec::new()
}

/// Whether a line of the log is about KVM being off.
fn about(message: &str) -> bool {
    let text = message.to_lowercase();
    (text.contains("kvm") || text.contains("vmx") || text.contains("svm"))
        && ["disabled by bios", "(by bios)", "not supported", "no hardware support"].iter().any(|w| text.contains(w))
}

/// What every machine of Azure has there; in all else it is a Hyper-V of anybody's.
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";

fn product(host: &Host) -> Option<String> {
    let part = |name: &str| host.line(format!("/sys/class/dmi/id/{name}")).filter(|l| !l.is_empty());
    let mut parts: Vec<String> = ["sys_vendor", "product_name"].iter().filter_map(|n| part(n)).collect();
    if part("chassis_asset_tag").is_some_and(|tag| tag == AZURE) {
        parts.push("(Azure)".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The kind of container that we run in, by the signs that each leaves.
pub fn container(host: &Host) -> Option<String> {
    // The first PID namespace of a kernel has this number. A VM made from a container's image is in it, whatever
    // files the image brought along.
    let namespace = std::fs::read_link(host.path("/proc/self/ns/pid"));
    if namespace.is_ok_and(|n| n.as_os_str() == "pid:[4026531836]") {
        return None;
    }
    let cgroup = host.read("/proc/1/cgroup").unwrap_or_default();
    let environ = host.read("/proc/1/environ").unwrap_or_default();
    let named = environ.split('\0').find_map(|v| v.strip_prefix("container=")).map(ToOwned::to_owned);
    let found = if host.env("KUBERNETES_SERVICE_HOST").is_some() || cgroup.contains("kubepods") {
        "kubernetes".to_owned()
    } else if host.exists("/run/.containerenv") {
        "podman".to_owned()
    } else if host.exists("/.dockerenv") || cgroup.contains("/docker") {
        "docker".to_owned()
    } else if let Some(name) = named.or_else(|| host.line("/run/systemd/container")) {
        name
    } else if cgroup.contains("/lxc") {
        "lxc".to_owned()
    } else {
        return None;
    };
    // WSL's own init says so; it is no container to us.
    (found != "wsl").then_some(found)
}

fn wsl(host: &Host, kernel: Option<&str>) -> Option<u8> {
    let kernel = kernel?;
    if kernel.ends_with("-Microsoft") {
        Some(1)
    } else {
        let named = kernel.to_lowercase().contains("microsoft") && kernel.to_lowercase().contains("wsl2");
        (named || host.exists("/proc/sys/fs/binfmt_misc/WSLInterop")).then_some(2)
    }
}

fn device(host: &Host) -> Device {
    let path = host.path(DEVICE);
    let Ok(meta) = path.metadata() else {
        return if host.exists(DEVICE) { Device::Present(dangling()) } else { Device::Missing };
    };
    let kind = meta.file_type();
    let name = if kind.is_char_device() {
        "character device"
    } else if kind.is_block_device() {
        "block device"
    } else if kind.is_dir() {
        "folder"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "plain file"
    };
    let misc = host.read("/proc/misc").unwrap_or_default();
    let registered = misc.lines().find_map(|l| l.trim().strip_suffix(" kvm")?.trim().parse().ok());
    Device::Present(Node {
        kind: name.to_owned(),
        number: (kind.is_char_device() || kind.is_block_device()).then(|| numbers(meta.rdev())),
        registered,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        group: groups(host).into_iter().find(|g| g.gid == meta.gid()).map(|g| g.name),
        acl: probe::acl(&path),
    })
}

fn dangling() -> Node {
    let kind = "link to nothing".to_owned();
    Node { kind, number: None, registered: None, mode: 0, uid: 0, gid: 0, group: None, acl: Vec::new() }
}

/// Major and minor number, as Linux packs them.
fn numbers(rdev: u64) -> (u64, u64) {
    let major = ((rdev >> 8) & 0xfff) | ((rdev >> 32) & !0xfff);
    let minor = (rdev & 0xff) | ((rdev >> 12) & 0xffff_ff00);
    (major, minor)
}

fn user(host: &Host) -> User {
    let name = host.user_name();
    let account_groups = groups_of(host, &name);
    User { uid: host.uid, session_groups: host.groups.clone(), account_groups, name }
}
