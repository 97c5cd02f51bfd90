use super::*;
use crate::doctor::userns::{Tried, TryStep, UsernsFacts};
use crate::kvm::facts::{Device, Node};
use crate::kvm::used::{Step, Use};
use crate::nix::facts::Nix;

/// A machine where everything is good.
fn good() -> Facts {
    let used =
        Use { step: Step::Done, errno: None, api: Some(12), exit: None, rounds_per_second: Some(8e8), millis: 5.0 };
    let node = Node {
        kind: "character device".to_owned(),
        number: Some((10, 232)),
        registered: Some(232),
        mode: 0o666,
        uid: 0,
        gid: 36,
        group: Some("kvm".to_owned()),
        acl: Vec::new(),
    };
    let nix = Nix {
        version: Some("2.31.2".to_owned()),
        builders: Builders::BuildUsers,
        daemon: Daemon::Listening,
        features: crate::nixconf::Features::default(),
        conf: "/etc/nix/nix.conf".to_owned(),
        conf_error: None,
        sandbox: None,
        auto_users: false,
        build_group: "nixbld".to_owned(),
        build_users: vec!["nixbld1".to_owned()],
        build_user_groups: Vec::new(),
        used: None,
    };
    Facts {
        kvm: kvm::Facts {
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            kernel: None,
            lockdown: None,
            distribution: Some("debian".to_owned()),
            cpu: crate::kvm::facts::Cpu { flag: true, ..Default::default() },
            modules: crate::kvm::facts::Modules::default(),
            product: None,
            container: None,
            wsl: None,
            device: Device::Present(node),
            user: crate::kvm::facts::User { name: "me".to_owned(), uid: 1000, ..Default::default() },
            used: Some(used),
            nix: Some(nix),
        },
        userns: UsernsFacts {
            linux: true,
            tried: Some(Tried { step: TryStep::Done, errno: None }),
            ..Default::default()
        },
        project: Ok("/home/me/ioc".into()),
        tool: "0.0.0".to_owned(),
        python: Some("Python 3.11.2".to_owned()),
        rust: Some("rustc 1.95.0 (abc 2026-01-01)".to_owned()),
        rust_wanted: Some("1.85".to_owned()),
        git: Ok(()),
        untracked: Vec::new(),
        free_nix: Some(100),
        free_project: Some(100),
        inputs: Some(Inputs::Reachable),
        builds: Vec::new(),
        cache: None,
        todo: Vec::new(),
        ports: Vec::new(),
    }
}

fn missing() -> Inputs {
    Inputs::Missing("epnix".to_owned(), "example.org".to_owned())
}

fn state(facts: &Facts, name: &str) -> (State, Option<&'static str>) {
    let diagnosis = judge(facts, None);
    let item = diagnosis.items.iter().find(|i| i.name == name).unwrap();
    (item.state, item.finding.as_ref().map(|f| f.id))
}

#[test]
fn a_good_machine_runs_the_vm_in_the_builders() {
    let diagnosis = judge(&good(), None);
    assert_eq!((diagnosis.backend, diagnosis.ready), (Some(Backend::Nixos), true));
    assert!(diagnosis.items.iter().all(|i| i.state == State::Ok), "{:#?}", diagnosis.items);
}

#[test]
fn each_lack_is_named() {
    let check = |change: &dyn Fn(&mut Facts), name: &str, expected: (State, Option<&'static str>)| {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(state(&facts, name), expected, "{name}");
    };
    let warning = |id| (State::Warning, Some(id));
    check(&|f| f.project = Err("no".to_owned()), "project", (State::Bad, Some("project-broken")));
    check(&|f| f.python = None, "Python", warning("python-missing"));
    check(&|f| f.python = Some("Python 3.8.1".to_owned()), "Python", warning("python-missing"));
    check(&|f| f.rust_wanted = Some("1.96".to_owned()), "Rust", warning("rust-old"));
    check(&|f| f.rust = None, "Rust", (State::Note, None));
    check(&|f| f.builds = vec![Err("x.proto differs".to_owned())], "IOC", warning("ioc-stale"));
    check(&|f| f.builds = vec![Ok("that of make".to_owned())], "IOC", (State::Ok, None));
    check(&|f| f.kvm.nix = None, "Nix", warning("nix-missing"));
    check(&|f| f.kvm.nix.as_mut().unwrap().version = Some("2.8.0".to_owned()), "Nix", warning("nix-old"));
    let nix = |change: &dyn Fn(&mut Nix), id| check(&|f| change(f.kvm.nix.as_mut().unwrap()), "Nix", warning(id));
    nix(&|n| n.daemon = Daemon::Absent, "nix-no-daemon");
    nix(&|n| n.daemon = Daemon::ShutOut, "nix-shut-out");
    nix(&|n| n.build_users = Vec::new(), "nix-no-build-users");
    check(&|f| f.inputs = Some(missing()), "flake inputs", warning("inputs-unreachable"));
    let unknown = || Some(Inputs::Unknown("flake.lock is not JSON".to_owned()));
    check(&|f| f.inputs = unknown(), "flake inputs", warning("inputs-unreachable"));
    check(&|f| f.inputs = None, "flake inputs", (State::Note, None));
    check(&|f| f.git = Err("no".to_owned()), "Git tree", warning("git-no-tree"));
    check(&|f| f.untracked = vec!["checks/new.py".to_owned()], "untracked files", warning("git-untracked"));
    check(&|f| f.free_nix = Some(19), "disk for Nix", warning("disk-low"));
    check(&|f| f.free_project = Some(2), "disk for target", warning("disk-low"));
    check(&|f| f.ports = vec![5064], "ports", (State::Note, Some("ports-in-use")));
    check(
        &|f| f.userns.tried = Some(Tried { step: TryStep::Unshare, errno: Some(1) }),
        "namespaces",
        warning("userns-unknown-error"),
    );
}

#[test]
fn builds_need_no_build_users_where_root_or_the_caller_builds() {
    let text = |change: &dyn Fn(&mut Nix)| {
        let mut facts = good();
        let nix = facts.kvm.nix.as_mut().unwrap();
        nix.build_users = Vec::new();
        change(nix);
        let item = super::nix(&facts);
        assert_eq!(item.state, State::Ok, "{}", item.text);
        item.text
    };
    assert!(text(&|n| n.builders = Builders::Root).contains("builds run as root"));
    assert!(text(&|n| (n.builders, n.daemon) = (Builders::Caller, Daemon::Absent)).contains("builds as you"));
    assert!(text(&|n| n.auto_users = true).contains("with a daemon"));
}

#[test]
fn nothing_is_told_to_a_service_manager_in_a_container() {
    let mut facts = good();
    facts.kvm.container = Some("docker".to_owned());
    facts.kvm.nix.as_mut().unwrap().daemon = Daemon::Absent;
    assert_eq!(nix(&facts).finding.unwrap().commands(), ["nix-daemon &"]);
}

#[test]
fn a_tree_of_someone_else_is_no_reason_for_git_init() {
    let facts = Facts { git: Err("fatal: detected dubious ownership in repository at '/x'".to_owned()), ..good() };
    let finding = git(&facts).finding.unwrap();
    assert_eq!(finding.commands(), [r#"git config --global --add safe.directory "$PWD""#]);
}

#[test]
fn what_is_in_the_store_needs_no_network() {
    let mut facts = good();
    facts.inputs = Some(Inputs::InStore);
    assert_eq!(judge(&facts, None).backend, Some(Backend::Nixos));
    facts.inputs = Some(missing());
    assert_eq!(judge(&facts, None).backend, Some(Backend::Sandbox));
}

#[test]
fn the_next_best_backend_is_taken_and_a_chosen_one_is_kept() {
    let mut facts = good();
    if let Device::Present(node) = &mut facts.kvm.device {
        node.mode = 0o660;
    }
    let diagnosis = judge(&facts, None);
    assert_eq!((diagnosis.backend, diagnosis.ready), (Some(Backend::Driver), true));
    assert_eq!(state(&facts, "KVM for builders"), (State::Warning, Some("kvm-builders-shut-out")));
    facts.kvm.nix = None;
    assert_eq!(judge(&facts, None).backend, Some(Backend::Sandbox));
    let chosen = judge(&facts, Some(Backend::Nixos));
    assert_eq!((chosen.backend, chosen.ready), (Some(Backend::Nixos), false));
    assert_eq!(chosen.items[0].name, "Nix");
    assert_eq!(chosen.items[0].state, State::Bad);
    facts.python = None;
    assert_eq!(judge(&facts, None).backend, None);
}

#[test]
fn versions_compare_by_number() {
    assert!(older("2.8.0", "2.18"));
    assert!(!older("2.18.0", "2.18"));
    assert!(older("rustc 1.95.0-nightly (x)", "1.96"));
    assert!(!older("3.10", "3.9"));
    assert!(!older("2.32pre2025", "2.18"));
    assert!(!older("unknown", "2.18"));
}
