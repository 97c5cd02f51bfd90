//! `check-kvm`: every cause on a made-up machine, and the binary on the real one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tool_base::host::Host;
use tool_host::kvm::facts::{AclEntry, AclTag, Device, Facts, Node};
use tool_host::kvm::used::{Step, Use};
use tool_host::kvm::{self, For, Known, advice, read};
use tool_host::nix::facts::{Builders, Daemon, Nix};

const INTEL: &str = "vendor_id\t: GenuineIntel\nmodel name\t: Some Xeon\nflags\t\t: fpu vmx sse\n\n";
const OLD: &str = "vendor_id\t: GenuineIntel\nmodel name\t: Some Atom\nflags\t\t: fpu sse\n\n";
const GUEST: &str = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n\n";
const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n\
                      nixbld1:x:30001:30000::/var/empty:/bin/false\nnixbld2:x:30002:30000::/var/empty:/bin/false\n";
const GROUP: &str = "root:x:0:\nme:x:1000:\nkvm:x:36:\nnixbld:x:30000:nixbld1,nixbld2\n";

/// A made-up root with these files (path, text). A text that starts with `->` is a link.
fn root(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let common = [("/etc/passwd", PASSWD), ("/etc/group", GROUP), ("/proc/sys/kernel/osrelease", "6.12.1\n")];
    for (path, text) in common.iter().chain(files) {
        let path = dir.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("->") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }
    dir
}

/// What is read from a made-up root by an ordinary user.
fn facts(files: &[(&str, &str)]) -> Facts {
    facts_of(&root(files), &[])
}

fn facts_of(dir: &TempDir, env: &[(&str, &str)]) -> Facts {
    let facts = read::without_use(&Host::made_up(dir.path(), env, 1000, &[1000]));
    // The machine that runs the tests may be another one.
    Facts { arch: "x86_64".to_owned(), os: "linux".to_owned(), ..facts }
}

/// A machine with the hardware for KVM and with a device, which only root could make, as data.
fn with_device(mode: u32, used: Use) -> Facts {
    let mut facts = facts(&[("/proc/cpuinfo", INTEL), ("/sys/module/kvm_intel/parameters/nested", "Y\n")]);
    facts.device = Device::Present(Node {
        kind: "character device".to_owned(),
        number: Some((10, 232)),
        registered: Some(232),
        mode,
        uid: 0,
        gid: 36,
        group: Some("kvm".to_owned()),
        acl: Vec::new(),
    });
    facts.used = Some(used);
    facts
}

fn node(facts: &mut Facts) -> &mut Node {
    match &mut facts.device {
        Device::Present(node) => node,
        Device::Missing => panic!("no device"),
    }
}

fn used(step: Step, errno: Option<i32>) -> Use {
    Use { step, errno, api: Some(12), exit: None, rounds_per_second: None, millis: 1.0 }
}

fn fast() -> Use {
    Use { rounds_per_second: Some(750e6), ..used(Step::Done, None) }
}

fn nix(builders: Builders) -> Nix {
    Nix {
        version: Some("2.31.2".to_owned()),
        builders,
        daemon: Daemon::Listening,
        features: tool_host::nixconf::Features::default(),
        conf: "/etc/nix/nix.conf".to_owned(),
        conf_error: None,
        sandbox: None,
        auto_users: false,
        build_group: "nixbld".to_owned(),
        build_users: vec!["nixbld1".to_owned()],
        build_user_groups: vec![30000],
        used: None,
    }
}

fn changed(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    change(&mut facts);
    facts
}

/// Every cause: a machine, and the first finding on it.
fn causes() -> Vec<(&'static str, Facts)> {
    let shut = || with_device(0o660, used(Step::Open, Some(13)));
    let daemon = |f: &mut Facts| f.nix = Some(nix(Builders::BuildUsers));
    vec![
        ("kvm-not-linux", changed(facts(&[]), |f| "macos".clone_into(&mut f.os))),
        ("kvm-arm", changed(facts(&[]), |f| "aarch64".clone_into(&mut f.arch))),
        ("kvm-no-cpu-support", facts(&[("/proc/cpuinfo", OLD)])),
        ("kvm-disabled-in-firmware", changed(facts(&[("/proc/cpuinfo", OLD)]), |f| f.cpu.cpuid = Some(true))),
        (
            "kvm-disabled-in-firmware",
            facts(&[("/proc/cpuinfo", INTEL), ("/dev/kmsg", "3,1,1,-;kvm_intel: VMX not enabled (by BIOS) in MSR\n")]),
        ),
        ("kvm-module-not-loaded", facts(&[("/proc/cpuinfo", INTEL), ("/sys/module/kvm/version", "")])),
        (
            "kvm-guest-without-nested",
            facts(&[("/proc/cpuinfo", GUEST), ("/sys/class/dmi/id/sys_vendor", "VMware, Inc.\n")]),
        ),
        ("kvm-container", facts(&[("/proc/cpuinfo", INTEL), ("/.dockerenv", "")])),
        ("kvm-device-policy", with_device(0o666, used(Step::Open, Some(1)))),
        ("kvm-wsl1", facts(&[("/proc/sys/kernel/osrelease", "4.4.0-19041-Microsoft\n")])),
        ("kvm-wsl2", facts(&[("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n")])),
        ("kvm-not-in-group", shut()),
        ("kvm-group-not-active", changed(shut(), |f| f.user.account_groups = vec![36, 1000])),
        ("kvm-mode", with_device(0o600, used(Step::Open, Some(13)))),
        ("kvm-acl", changed(shut(), |f| node(f).acl = vec![AclEntry { tag: AclTag::User, id: 1000, perm: 4 }])),
        (
            "kvm-busy",
            changed(with_device(0o666, used(Step::CreateVm, Some(16))), |f| {
                f.modules.others = vec!["vmmon".to_owned()];
            }),
        ),
        (
            "kvm-stale-node",
            changed(with_device(0o666, used(Step::Open, Some(19))), |f| node(f).number = Some((10, 99))),
        ),
        ("kvm-stale-node", facts(&[("/proc/cpuinfo", INTEL), ("/sys/module/kvm_intel/version", "")])),
        // Made at boot for a module that cannot be loaded: the processor is to blame, not the node.
        (
            "kvm-no-cpu-support",
            changed(with_device(0o666, used(Step::Open, Some(19))), |f| {
                node(f).registered = None;
                f.cpu.flag = false;
            }),
        ),
        ("kvm-not-a-device", facts_used(&[("/dev/kvm", "")], used(Step::ApiVersion, Some(25)))),
        ("kvm-api-version", with_device(0o666, Use { api: Some(11), ..used(Step::ApiVersion, None) })),
        ("kvm-hangs", with_device(0o666, used(Step::Hung, None))),
        ("kvm-guest-failed", with_device(0o666, Use { exit: Some("Shutdown".to_owned()), ..used(Step::Run, None) })),
        ("kvm-emulated", with_device(0o666, Use { rounds_per_second: Some(0.95e6), ..used(Step::Done, None) })),
        ("kvm-unknown-error", with_device(0o666, used(Step::CreateVcpu, Some(12)))),
        ("kvm-not-measured", with_device(0o666, used(Step::Done, None))),
        ("kvm-builders-shut-out", changed(with_device(0o660, fast()), daemon)),
        (
            "nix-feature-missing",
            changed(with_device(0o666, fast()), |f| {
                daemon(f);
                f.nix.as_mut().unwrap().features.list = Some(vec!["benchmark".to_owned()]);
            }),
        ),
        (
            "nix-no-build-users",
            changed(with_device(0o666, fast()), |f| {
                daemon(f);
                f.nix.as_mut().unwrap().build_users = Vec::new();
            }),
        ),
        (
            "nix-conf-error",
            changed(with_device(0o666, fast()), |f| {
                daemon(f);
                f.nix.as_mut().unwrap().conf_error = Some("line 1: oops".to_owned());
            }),
        ),
    ]
}

fn facts_used(files: &[(&str, &str)], used: Use) -> Facts {
    changed(facts(files), |f| f.used = Some(used))
}

#[test]
fn every_cause_is_told_apart() {
    for (number, (id, facts)) in causes().into_iter().enumerate() {
        let report = kvm::report(&facts);
        let found: Vec<&str> = report.findings.iter().map(|f| f.id).collect();
        assert_eq!(found.first(), Some(&id), "case {number}: {found:?}\n{facts:#?}");
        let finding = &report.findings[0];
        assert!(!finding.evidence.is_empty() && !finding.fix.is_empty(), "{finding:?}");
    }
}

#[test]
fn every_cause_of_the_table_has_a_machine() {
    let mut tested: BTreeSet<&str> = causes().iter().map(|(id, _)| *id).collect();
    // These stand beside another finding; the tests below look at them.
    tested.extend(["kvm-maybe-emulated", "nix-feature-unusable"]);
    assert_eq!(tested, advice::ALL.iter().map(|e| e.id).collect());
}

#[test]
fn nothing_of_the_machine_is_mended_in_a_container() {
    let shut = |mode| with_device(mode, used(Step::Open, Some(13)));
    let daemon = |f: &mut Facts| f.nix = Some(nix(Builders::BuildUsers));
    let log = || vec!["kvm_intel: VMX not enabled (by BIOS)".to_owned()];
    let causes: Vec<(&str, Facts)> = vec![
        ("kvm-container", facts(&[("/proc/cpuinfo", INTEL)])),
        ("kvm-container", facts(&[("/proc/cpuinfo", GUEST)])),
        ("kvm-container", facts(&[("/proc/cpuinfo", INTEL), ("/sys/module/kvm_intel/version", "")])),
        ("kvm-container", facts(&[("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n")])),
        ("kvm-not-in-group", shut(0o660)),
        ("kvm-not-in-group", changed(shut(0o660), daemon)),
        ("kvm-mode", shut(0o600)),
        ("kvm-acl", changed(shut(0o660), |f| node(f).acl = vec![AclEntry { tag: AclTag::User, id: 1000, perm: 4 }])),
        ("kvm-builders-shut-out", changed(with_device(0o660, fast()), daemon)),
        ("kvm-device-policy", with_device(0o666, used(Step::Open, Some(1)))),
        ("kvm-busy", with_device(0o666, used(Step::CreateVm, Some(16)))),
        ("kvm-stale-node", with_device(0o666, used(Step::Open, Some(6)))),
        ("kvm-stale-node", changed(with_device(0o666, used(Step::Open, Some(19))), |f| node(f).registered = None)),
        (
            "kvm-disabled-in-firmware",
            changed(with_device(0o666, used(Step::Open, Some(19))), |f| {
                node(f).registered = None;
                f.modules.log = log();
            }),
        ),
        ("kvm-not-a-device", facts_used(&[("/dev/kvm", "")], used(Step::ApiVersion, Some(25)))),
        ("kvm-guest-failed", with_device(0o666, used(Step::Run, None))),
        ("kvm-unknown-error", with_device(0o666, used(Step::CreateVm, Some(12)))),
    ];
    for (id, facts) in causes {
        for container in ["docker", "podman", "kubernetes", "lxc", "systemd-nspawn"] {
            for distribution in [None, Some("nixos")] {
                let facts = changed(facts.clone(), |f| {
                    f.container = Some(container.to_owned());
                    f.distribution = distribution.map(ToOwned::to_owned);
                });
                let finding = &kvm::report(&facts).findings[0];
                assert_eq!(finding.id, id, "{container} {distribution:?}");
                let wrong = ["sudo", "services.udev", "extraGroups", "udev/rules.d", "firmware-setup"];
                let said = wrong.iter().find(|w| finding.fix.contains(**w));
                assert_eq!(said, None, "{id} in {container}: {}", finding.fix);
            }
        }
    }
}

#[test]
fn each_cloud_gets_its_own_advice_whatever_its_processor() {
    type Fields = &'static [(&'static str, &'static str)];
    let makers: [(&str, Fields, &str); 7] = [
        (
            "Microsoft Corporation",
            &[("product_name", "Virtual Machine"), ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77")],
            "(Dv3, Ev3",
        ),
        ("Microsoft Corporation", &[("product_name", "Virtual Machine")], "Set-VMProcessor"),
        ("Amazon EC2", &[("product_name", "m7i.large")], ".metal"),
        ("Google", &[("product_name", "Google Compute Engine")], "gcloud"),
        ("VMware, Inc.", &[], "Virtualize Intel"),
        ("QEMU", &[], "host-passthrough"),
        ("Hetzner", &[("product_name", "vServer")], "dedicated server"),
    ];
    for (vendor, fields, word) in makers {
        for cpu in [GUEST, &GUEST.replace("AuthenticAMD", "GenuineIntel")] {
            let dmi = |name: &str| format!("/sys/class/dmi/id/{name}");
            let files: Vec<(String, &str)> = [("sys_vendor", vendor)]
                .iter()
                .chain(fields)
                .map(|(name, text)| (dmi(name), *text))
                .chain([("/proc/cpuinfo".to_owned(), cpu)])
                .collect();
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
            let finding = kvm::report(&facts(&files)).findings.remove(0);
            assert_eq!(finding.id, "kvm-guest-without-nested", "{vendor}");
            assert!(finding.fix.contains(word), "{vendor}: {}", finding.fix);
        }
    }
    // WSL is a guest of Hyper-V, but nobody sets it up there.
    let wsl = ("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n");
    let dmi = [("/sys/class/dmi/id/sys_vendor", makers[1].0), ("/sys/class/dmi/id/product_name", "Virtual Machine")];
    let findings = kvm::report(&facts(&[&dmi[..], &[("/proc/cpuinfo", GUEST), wsl]].concat())).findings;
    assert_eq!(findings[0].id, "kvm-wsl2");
}

#[test]
fn a_good_machine_has_nothing_to_tell() {
    let facts = changed(with_device(0o666, fast()), |f| f.nix = Some(nix(Builders::BuildUsers)));
    let report = kvm::report(&facts);
    assert_eq!(report.findings, []);
    assert!(report.ready(For::User) && report.ready(For::Builders));
    assert_eq!(report.user.why, "a guest ran, 750 million rounds a second");
    assert_eq!(kvm::usual(&facts), For::Builders);
}

#[test]
fn your_kvm_is_not_the_builders() {
    let facts = changed(with_device(0o660, fast()), |f| f.nix = Some(nix(Builders::BuildUsers)));
    let report = kvm::report(&facts);
    assert!(report.ready(For::User) && !report.ready(For::Builders));
    assert_eq!(report.advertised.answer, Known::Yes, "the daemon is root, so it sees the device");
    let ids: Vec<&str> = report.findings.iter().map(|f| f.id).collect();
    assert_eq!(ids, ["kvm-builders-shut-out", "nix-feature-unusable"]);
    assert!(report.findings[0].commands()[0].contains(advice::RULE_FILE));

    // Nix of one user builds as that user.
    let single = changed(facts.clone(), |f| f.nix = Some(nix(Builders::Caller)));
    assert!(kvm::report(&single).ready(For::Builders));
    assert_eq!(kvm::usual(&single), For::User);

    // Without the build sandbox, build users keep their groups.
    let unboxed = changed(facts.clone(), |f| {
        let nix = f.nix.as_mut().unwrap();
        nix.sandbox = Some("false".to_owned());
        nix.build_user_groups = vec![36, 30000];
    });
    assert!(kvm::report(&unboxed).ready(For::Builders));

    // What was tried as a build user counts more than the mode.
    let tried = changed(facts, |f| f.nix.as_mut().unwrap().used = Some(fast()));
    let report = kvm::report(&tried);
    assert!(report.ready(For::Builders));
    assert_eq!(report.builders.why, "tried as nixbld1: a guest ran, 750 million rounds a second");
}

#[test]
fn a_device_that_nobody_could_measure_may_be_emulated() {
    let facts = changed(with_device(0o600, used(Step::Open, Some(13))), |f| f.cpu.flag = false);
    let ids: Vec<&str> = kvm::report(&facts).findings.iter().map(|f| f.id).collect();
    assert_eq!(ids, ["kvm-mode", "kvm-maybe-emulated"]);
}

#[test]
fn the_feature_is_as_the_file_says() {
    let with = |text: &str| {
        let dir = root(&[("/etc/nix/nix.conf", text), ("/nix/var/nix/daemon-socket/socket", "")]);
        let program = dir.path().join("bin/nix");
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        common::executable(&program, "#!/bin/sh\necho nix '(Nix)' 2.31.2\n");
        let facts = facts_of(&dir, &[("PATH", dir.path().join("bin").to_str().unwrap())]);
        assert_eq!(facts.nix.as_ref().unwrap().version.as_deref(), Some("2.31.2"));
        assert_eq!(facts.nix.as_ref().unwrap().build_users, ["nixbld1", "nixbld2"]);
        assert_eq!(facts.nix.as_ref().unwrap().build_user_groups, [30000]);
        kvm::report(&facts).advertised
    };
    assert_eq!(with("extra-system-features = kvm").answer, Known::Yes);
    assert_eq!(with("system-features = a").why, "/etc/nix/nix.conf sets system-features without kvm");
    assert_eq!(with("").why, "Nix, as root, finds no /dev/kvm that it can open");
    assert_eq!(with("oops").why, "/etc/nix/nix.conf has an error");
}

#[test]
fn signs_of_containers() {
    let container = |files: &[(&str, &str)], env: &[(&str, &str)]| facts_of(&root(files), env).container;
    assert_eq!(container(&[], &[]), None);
    assert_eq!(container(&[("/.dockerenv", "")], &[]).as_deref(), Some("docker"));
    assert_eq!(container(&[("/run/.containerenv", "")], &[]).as_deref(), Some("podman"));
    assert_eq!(container(&[("/run/systemd/container", "systemd-nspawn\n")], &[]).as_deref(), Some("systemd-nspawn"));
    assert_eq!(container(&[("/proc/1/environ", "A=b\0container=lxc\0")], &[]).as_deref(), Some("lxc"));
    assert_eq!(container(&[], &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]).as_deref(), Some("kubernetes"));
    assert_eq!(container(&[("/run/systemd/container", "wsl\n")], &[]), None);
    // A VM that was made from a container's image.
    let image = [("/.dockerenv", ""), ("/proc/self/ns/pid", "->pid:[4026531836]")];
    assert_eq!(container(&image, &[]), None);
}

#[test]
fn small_facts_are_read() {
    let facts = facts(&[
        ("/proc/cpuinfo", INTEL),
        ("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
        ("/etc/os-release", "NAME=x\nID=\"opensuse-leap\"\n"),
        ("/sys/module/kvm_intel/parameters/nested", "Y\n"),
        ("/sys/module/vboxdrv/version", ""),
        ("/lib/modules/6.12.1/modules.dep", "kernel/arch/x86/kvm/kvm.ko.xz:\n"),
    ]);
    assert_eq!(facts.lockdown.as_deref(), Some("integrity"));
    assert_eq!(facts.distribution.as_deref(), Some("opensuse-leap"));
    assert_eq!(facts.cpu.model.as_deref(), Some("Some Xeon"));
    assert_eq!(facts.modules.loaded, ["kvm_intel"]);
    assert_eq!(facts.modules.nested.as_deref(), Some("Y"));
    assert_eq!(facts.modules.others, ["vboxdrv"]);
    assert_eq!(facts.modules.available, Some(true));
    assert_eq!(facts.user.name, "me");
    assert_eq!(facts.nix, None);
}

fn xtask(args: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary")]
    Command::new(env!("CARGO_BIN_EXE_foreign")).args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_binary_answers_in_json_and_by_its_exit_status() {
    for whom in ["user", "builders"] {
        let output = xtask(&["check-kvm", "--json", "--for", whom]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["for"], whom);
        assert_eq!(json["ready"] == true, output.status.code() == Some(0), "{json:#}");
        assert!(matches!(output.status.code(), Some(0 | 5)));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn the_probe_says_what_stopped_it() {
    let dir = tempfile::tempdir().unwrap();
    let probe = |path: &Path| -> Use {
        let output = xtask(&["kvm-probe", "--device", path.to_str().unwrap()]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let missing = probe(&dir.path().join("nothing"));
    assert_eq!((missing.step, missing.errno), (Step::Open, Some(2)));
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(probe(&file).step, Step::ApiVersion);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&file).is_err() {
        assert_eq!((probe(&file).step, probe(&file).errno), (Step::Open, Some(13)));
    } else {
        // Root opens everything.
        assert_eq!(probe(&file).step, Step::ApiVersion);
    }
    // Where the machine has a KVM that we may open, the guest really runs.
    let real = Path::new("/dev/kvm");
    if std::fs::OpenOptions::new().read(true).write(true).open(real).is_ok() {
        let used = probe(real);
        assert_eq!((used.step, used.api), (Step::Done, Some(12)), "{used:?}");
        #[cfg(target_arch = "x86_64")]
        assert!(used.rounds_per_second.unwrap() > 1000.0, "{used:?}");
    } else {
        common::skipped("running a guest: /dev/kvm cannot be opened here");
    }
}

#[test]
fn fix_writes_the_rule_below_another_root() {
    let dir = root(&[("/proc/cpuinfo", INTEL)]);
    let root = dir.path().to_str().unwrap();
    // Nothing there is mended by a rule: nothing is written.
    let output = xtask(&["check-kvm", "--fix", "--yes", "--root", root]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing here is mended by that"));
    assert!(!dir.path().join("etc/udev").exists());
}

#[test]
fn fix_asks_and_then_writes_the_rule() {
    // A device that we may not open stands in for /dev/kvm: only root can make one.
    let closed = ["/dev/mem", "/dev/console", "/dev/kvm"].into_iter().find(|path| {
        let device = Path::new(path).metadata().is_ok_and(|m| m.file_type().is_char_device());
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
        device && opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    });
    let Some(closed) = closed else {
        common::skipped("fix_asks_and_then_writes_the_rule: every device can be opened here (root?)");
        return;
    };
    let dir = root(&[("/proc/cpuinfo", INTEL), ("/dev/kvm", &format!("->{closed}"))]);
    let rule = dir.path().join(advice::RULE_FILE.trim_start_matches('/'));
    let fix = |more: &[&str]| {
        let output = xtask(&[&["check-kvm", "--fix", "--root", dir.path().to_str().unwrap()], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, text) = fix(&[]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains(advice::RULE) && text.contains("add --yes"), "{text}");
    assert!(!rule.exists());
    assert_eq!(fix(&["--yes"]).0, Some(0));
    assert!(std::fs::read_to_string(&rule).unwrap().contains(advice::RULE));
    assert_eq!(fix(&["--yes"]).0, Some(0), "the same rule again");
    for other in [&b"another"[..], b"caf\xe9", b""] {
        std::fs::write(&rule, other).unwrap();
        assert_eq!(fix(&["--yes"]).0, Some(5));
        assert_eq!(std::fs::read(&rule).unwrap(), other);
    }
}
