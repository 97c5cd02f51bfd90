//! The root file system of one boot of a machine: its own disk, and over it the host's programs, read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use unix::mount::{MsFlags, mount};

use super::mounts::{bind, bind_readonly, bind_with, pivot};
use super::spec::{COVERAGE, Etc, MachineSpec, Spec};
use super::{accounts, network};
use tool_base::process::{OWN, is_own_program, quote};
use tool_base::sys;
use tool_init::applets::SEARCHERS;
use tool_init::paths::JOURNAL;

/// Folders of the host that hold programs. Nothing else of the host is seen, unless the run's spec names it.
const HOST: [&str; 10] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "opt", "gnu"];
/// Device nodes that a program may expect.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Where the machine keeps what it is made of.
const MACHINE: &str = "machine";
/// Names of the programs that xtask itself stands in for.
pub const APPLETS: [&str; 10] = [
    "ioc-console",
    "systemctl",
    "journalctl",
    "poweroff",
    "reboot",
    "halt",
    "shutdown",
    "systemd-notify",
    "systemd-cat",
    "systemd-run",
];
/// PATH of services and commands.
pub const PATH: &str = "/machine/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Puts the root file system together and makes it this thread's root.
///
/// The thread must be in a mount namespace of its own, with the capability to mount there.
pub fn enter(spec: &Spec, machine: &MachineSpec) -> Result<()> {
    let root = spec.root_dir(&machine.name);
    let disk = spec.disk_dir(&machine.name);
    if !disk.is_dir() {
        format_disk(&disk, spec, machine).context("cannot set up the machine's disk")?;
    }
    fs::create_dir_all(&root)?;
    bind(&disk, &root)?;
    for name in HOST {
        host_entry(&root, name)?;
    }
    sys::tmpfs(&root.join(MACHINE), "mode=755")?;
    for name in
        ["machine/bin", &SEARCHERS[1..], "machine/host/etc", "machine/host/local-bin", "dev", "proc", "sys", "run"]
    {
        fs::create_dir_all(root.join(name))?;
    }
    bind_readonly(Path::new("/sys"), &root.join("sys"))?;
    // PID 1 mounts the machine's own over it. The kernel allows that only where one is to be seen already.
    bind(Path::new("/proc"), &root.join("proc"))?;
    bind_readonly(Path::new("/etc"), &root.join("machine/host/etc"))?;
    devices(&root.join("dev"))?;
    if let Some(file) = &machine.coverage {
        coverage(file, &root.join(&COVERAGE[1..]))?;
    }
    sys::tmpfs(&root.join("run"), "mode=755")?;
    programs(&root, spec, machine)?;
    for bind in &machine.binds {
        bind_readonly(&bind.source, &folder(&root, &bind.target)?)?;
    }
    journal(&root, &spec.journal_dir.join(&machine.name))?;
    bind(&spec.shared_dir(), &folder(&root, Path::new("tmp/shared"))?)?;
    pivot(&root)
}

/// What every machine has is not there any more: its root's doing, and no trouble of the host.
#[derive(Debug)]
pub struct Altered(PathBuf);

impl std::fmt::Display for Altered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "something else is in the place of the machine's /{}", self.0.display())
    }
}

impl std::error::Error for Altered {}

/// A folder of the machine, made where it is not there. Links lead where they lead on the machine, as in chroot(2): from its second
/// boot on its root may have made some.
fn folder(root: &Path, path: &Path) -> Result<PathBuf> {
    // As in path_resolution(7).
    const LINKS: usize = 40;
    let mut at = root.to_owned();
    let mut links = 0;
    let mut left: Vec<OsString> = path.iter().rev().map(OsString::from).collect();
    while let Some(part) = left.pop() {
        match part.to_str() {
            Some("/") => root.clone_into(&mut at),
            Some(".") => {}
            Some("..") => {
                if at != root {
                    at.pop();
                }
            }
            _ => {
                at.push(part);
                let altered = || at.strip_prefix(root).map(|path| Altered(path.to_owned()));
                match at.symlink_metadata() {
                    Ok(found) if found.is_dir() => {}
                    Ok(found) if found.is_symlink() && links < LINKS => {
                        links += 1;
                        left.extend(fs::read_link(&at)?.iter().rev().map(OsString::from));
                        at.pop();
                    }
                    Ok(_) => return Err(altered()?.into()),
                    Err(_) => match fs::create_dir(&at) {
                        // Where links lead is no trouble of the host: its root has made them.
                        Err(error) if links > 0 => return Err(anyhow!(error).context(altered()?)),
                        made => made.with_context(|| format!("cannot create {}", at.display()))?,
                    },
                }
            }
        }
    }
    Ok(at)
}

/// The machine's disk at its first boot.
fn format_disk(disk: &Path, spec: &Spec, machine: &MachineSpec) -> io::Result<()> {
    for dir in [
        "etc/systemd/system",
        "home",
        "mnt",
        "root",
        "srv",
        "tmp",
        "var/lib",
        "var/cache",
        "var/spool",
        "var/log/journal",
        "var/tmp",
    ] {
        fs::create_dir_all(disk.join(dir))?;
    }
    for (dir, mode) in [("", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)] {
        fs::set_permissions(disk.join(dir), fs::Permissions::from_mode(mode))?;
    }
    symlink("/run", disk.join("var/run"))?;
    symlink("/run/lock", disk.join("var/lock"))?;

    let etc = disk.join("etc");
    let name = &machine.name;
    let own = [
        ("hosts", hosts(spec, name)),
        ("hostname", format!("{name}\n")),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n".to_owned(),
        ),
        ("resolv.conf", String::new()),
        ("fstab", String::new()),
        ("subuid", String::new()),
        ("subgid", String::new()),
        ("profile", profile(&machine.variables)),
        (
            "machine-id",
            format!("{:032x}\n", name.bytes().fold(0x7863_u128, |id, b| id.wrapping_mul(257) ^ u128::from(b))),
        ),
    ];
    let mut own_folders = Vec::new();
    // useradd and its kin keep the files before a change as `passwd-` and so on.
    let own_later = ["systemd", "mtab", ".pwd.lock", "passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-"];
    let mut written: BTreeSet<String> = own_later.map(str::to_owned).into();
    for (file, text) in accounts::files(&machine.accounts).into_iter().chain(own) {
        fs::write(etc.join(file), text)?;
        written.insert(file.to_owned());
    }
    accounts::set_up(&machine.accounts, disk)?;
    symlink("/proc/self/mounts", etc.join("mtab"))?;
    for unit in &machine.units {
        let path = etc.join("systemd/system").join(&unit.name);
        // A drop-in has a folder of its own.
        fs::create_dir_all(path.parent().unwrap_or(&etc))?;
        fs::write(path, &unit.text)?;
    }
    for file in &machine.etc {
        etc_file(&etc, file)?;
        if let Some(std::path::Component::Normal(first)) = file.path.components().next()
            && written.insert(first.to_string_lossy().into_owned())
        {
            own_folders.push(PathBuf::from(first));
        }
    }
    own_folders.retain(|dir| etc.join(dir).is_dir() && Path::new("/etc").join(dir).is_dir());
    // A folder of which a part is the machine's own has the host's other files, too.
    for dir in &own_folders {
        link_to_host(&etc, dir, |name| etc.join(dir).join(name).symlink_metadata().is_ok())?;
    }
    link_to_host(&etc, Path::new(""), |name| written.contains(name))
}

/// Links what one of the host's folders in /etc holds into a machine's, except what the machine has already.
fn link_to_host(etc: &Path, dir: &Path, has: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(Path::new("/etc").join(dir))?.flatten() {
        let path = dir.join(entry.file_name());
        if !has(entry.file_name().to_string_lossy().as_ref()) {
            symlink(Path::new("/machine/host/etc").join(&path), etc.join(&path))?;
        }
    }
    Ok(())
}

fn etc_file(etc: &Path, file: &Etc) -> io::Result<()> {
    let path = etc.join(&file.path);
    fs::create_dir_all(path.parent().unwrap_or(etc))?;
    match file.mode {
        None => symlink(&file.source, &path),
        Some(mode) => {
            fs::write(&path, fs::read(&file.source)?)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        }
    }
}

/// /etc/hosts: every machine by its addresses in its first VLAN.
fn hosts(spec: &Spec, name: &str) -> String {
    let mut text = format!("127.0.0.1 localhost\n::1 localhost\n127.0.0.2 {name}\n::1 {name}\n");
    for machine in &spec.machines {
        if let Some(vlan) = machine.vlans.first() {
            for address in network::addresses(*vlan, machine.number) {
                let _ = writeln!(text, "{address} {}", machine.name);
            }
        }
    }
    text
}

/// /etc/profile: what a login shell has, as every command has it.
fn profile(variables: &BTreeMap<String, String>) -> String {
    let mut text = format!("export PATH={PATH}\n");
    for (name, value) in variables {
        let _ = writeln!(text, "export {name}={}", quote(value.as_ref()));
    }
    text
}

/// /machine/bin: the machine's own programs, and links to the host's in /usr/local/bin, whose place it takes.
fn programs(root: &Path, spec: &Spec, machine: &MachineSpec) -> Result<()> {
    let xtask = root.join(MACHINE).join("xtask");
    if spec.xtask != Path::new(OWN) && is_own_program(&spec.xtask) {
        program(&spec.xtask, &xtask)?;
    } else {
        // Another build has taken its place: a file without a name cannot be mounted.
        fs::copy(OWN, &xtask).context("cannot copy the running program")?;
    }
    let bin = root.join("machine/bin");
    for name in APPLETS {
        symlink("/machine/xtask", bin.join(name))?;
    }
    for own in &machine.programs {
        if own.searches {
            symlink("/machine/xtask", bin.join(&own.name))?;
            program(&own.path, &root.join(&SEARCHERS[1..]).join(&own.name))?;
        } else {
            program(&own.path, &bin.join(&own.name))?;
        }
    }
    if !["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join("nc").exists()) {
        link_unless_taken(Path::new("/machine/xtask"), &bin.join("nc"))?;
    }
    if let Some(tools) = &machine.tools {
        fs::create_dir_all(root.join("run/current-system"))?;
        symlink(tools, root.join("run/current-system/sw"))?;
        for dir in ["bin", "sbin"] {
            let dir = tools.join(dir);
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                link_unless_taken(&dir.join(entry.file_name()), &bin.join(entry.file_name()))?;
            }
        }
    }
    let theirs = Path::new("/usr/local/bin");
    if theirs.is_dir() {
        let host = root.join("machine/host/local-bin");
        bind_readonly(theirs, &host)?;
        for name in fs::read_dir(&host)?.flatten().map(|entry| entry.file_name()) {
            link_unless_taken(&Path::new("/machine/host/local-bin").join(&name), &bin.join(&name))?;
        }
    }
    // Who has a PATH of their own finds it, too. Where /usr/local is a link (ostree), nothing of it is a machine's.
    let local = root.canonicalize()?.join("usr/local/bin");
    if local.canonicalize().is_ok_and(|path| path == local) { bind(&bin, &local) } else { Ok(()) }
}

/// A program of the host that the machine may run, and not write to, or a folder beside programs.
fn program(source: &Path, target: &Path) -> Result<()> {
    let made = if source.is_dir() { fs::create_dir(target) } else { fs::write(target, "") };
    made.with_context(|| format!("cannot create {}", target.display()))?;
    bind_readonly(source, target)
}

fn link_unless_taken(target: &Path, link: &Path) -> io::Result<()> {
    match symlink(target, link) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// One top-level folder of the host, which may be a link (`/bin` → `usr/bin`).
fn host_entry(root: &Path, name: &str) -> Result<()> {
    let source = Path::new("/").join(name);
    let Ok(kind) = source.symlink_metadata() else { return Ok(()) };
    if kind.is_symlink() {
        link_unless_taken(&fs::read_link(&source)?, &root.join(name))?;
    } else if kind.is_dir() {
        fs::create_dir_all(root.join(name))?;
        // Programs there may have rights of their own, as those of NixOS in /run/wrappers: `sudo`, `ping`.
        bind_with(&source, &root.join(name), MsFlags::MS_RDONLY | MsFlags::MS_NODEV)?;
    }
    Ok(())
}

/// Shows the machine one file of the host's disk, the only one there that its root writes to besides [`coverage`]. Whatever
/// else it leaves is on its own disk.
fn journal(root: &Path, dir: &Path) -> Result<()> {
    let place = root.join(&JOURNAL[1..]);
    let file = dir.join(place.file_name().unwrap_or_default());
    fs::create_dir_all(dir)?;
    // Not for other users of the machine.
    File::options().create(true).append(true).mode(0o640).open(&file)?;
    fs::write(&place, "")?;
    bind_with(&file, &place, MsFlags::MS_NOSUID | MsFlags::MS_NODEV)
}

/// Shows the soft IOC, whoever it runs as, a file of the host.
fn coverage(file: &Path, target: &Path) -> Result<()> {
    // A machine's root may make it a program with the rights of its owner: others do not get at it.
    let dir = file.parent().unwrap_or(file);
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    File::options().create(true).append(true).open(file)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o666))?;
    fs::write(target, "")?;
    bind(file, target)
}

fn devices(dev: &Path) -> Result<()> {
    sys::tmpfs(dev, "mode=755")?;
    for name in DEVICES {
        let node = dev.join(name);
        fs::write(&node, "").with_context(|| format!("cannot create {}", node.display()))?;
        bind(&Path::new("/dev").join(name), &node)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
        // The serial line of a virtual machine is its console.
        ("ttyS0", "console"),
    ] {
        symlink(target, dev.join(name))?;
    }
    // The kernel's messages are the host's. What asks for them fails, and what writes some makes no file of that name.
    fs::create_dir(dev.join("kmsg"))?;
    let (pts, shm) = (dev.join("pts"), dev.join("shm"));
    fs::create_dir(&pts)?;
    mount(
        Some("devpts"),
        &pts,
        Some("devpts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .context("cannot mount devpts")?;
    fs::create_dir(&shm)?;
    sys::tmpfs(&shm, "mode=1777")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_they_do_on_the_machine() {
        let disk = tempfile::tempdir().unwrap();
        let root = &disk.path().join("root");
        fs::create_dir_all(root.join("opt/base-7")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        for (link, target) in [
            ("opt/base", "base-7"),
            ("opt/all", "/opt/base"),
            ("out", disk.path().to_str().unwrap()),
            ("up", "../../../opt"),
            ("loop", "loop"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let made = |path: &str| folder(root, Path::new(path)).map(|at| at.strip_prefix(root).unwrap().to_owned()).ok();
        assert_eq!(made("/opt/base/lib"), Some("opt/base-7/lib".into()));
        assert_eq!(made("opt/all"), Some("opt/base-7".into()));
        assert_eq!(made("/up/./base"), Some("opt/base-7".into()));
        assert_eq!(made("out/new"), Some(disk.path().strip_prefix("/").unwrap().join("new")));
        assert_eq!((made("loop"), made("file/x")), (None, None));
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "nothing beside the machine");
    }
}
