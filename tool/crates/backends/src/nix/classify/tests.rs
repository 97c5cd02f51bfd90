use proptest::prelude::*;

use super::*;
use tool_base::fail;

const OLD_FEATURE: &str = "error: a 'x86_64-linux' with features {kvm, nixos-test} is required to build '/nix/store/y-vm-test-run-a.drv', but I am a 'x86_64-linux' with features {nixos-test}";
const MIDDLE_FEATURE: &str = "error: Cannot build '/nix/store/y-vm-test-run-a.drv'.\n       Reason: required system or feature not available\n       Required system: 'x86_64-linux' with features {kvm, nixos-test}\n       Current system: 'x86_64-linux' with features {benchmark, nixos-test}";
const NEW_FEATURE: &str = "error: Cannot build '/nix/store/y-vm-test-run-a.drv'.\n       Reason: missing system features\n       Required features: {kvm, nixos-test}\n       Available features: {nixos-test}";

fn told(text: &str) -> (Trouble, Option<&'static str>) {
    let told = Told::read(text);
    (told.trouble, told.drv.map(|drv| &*drv.leak()))
}

fn trouble(text: &str) -> Trouble {
    Told::read(text).trouble
}

fn rendered(texts: &[&str]) -> (u8, String) {
    let error = anyhow::Error::from(explain(&texts.iter().map(|text| Told::read(text)).collect::<Vec<_>>()));
    (fail::status(&error).code(), fail::render(&error))
}

#[test]
fn a_missing_feature_old_and_new() {
    for text in [OLD_FEATURE, MIDDLE_FEATURE, NEW_FEATURE] {
        let want = (Trouble::NoFeature(vec!["kvm".into()]), Some("/nix/store/y-vm-test-run-a.drv"));
        assert_eq!(told(text), want);
        let (status, text) = rendered(&[text]);
        assert_eq!(status, 5);
        for word in ["check-kvm", "configure-nix", "--backend driver", "--backend sandbox"] {
            assert!(text.contains(word), "{text}");
        }
    }
}

#[test]
fn a_missing_system_old_and_new() {
    let old = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/y-a.drv', but I am a 'x86_64-linux' with features {kvm}";
    let new = "error: Cannot build '/nix/store/y-a.drv'.\n       Reason: platform mismatch\n       Required system: 'aarch64-linux'\n       Current system: 'x86_64-linux'";
    for text in [old, new] {
        assert_eq!(trouble(text), Trouble::NoSystem("aarch64-linux".into()));
    }
}

#[test]
fn a_failed_builder_old_and_new() {
    let drv = Some("/nix/store/p-bad.drv");
    let old = "error: builder for '/nix/store/p-bad.drv' failed with exit code 1;\n       last 2 log lines:\n       > No space left on device\n       > cleanup\n       For full logs, run 'nix log /nix/store/p-bad.drv'.";
    assert_eq!(told(old), (Trouble::BuildFailed(Some(1)), drv));
    let new = "error: Cannot build '/nix/store/p-bad.drv'.\n       Reason: builder failed with exit code 3.\n       Output paths:\n         /nix/store/i-bad";
    assert_eq!(told(new), (Trouble::BuildFailed(Some(3)), drv));
    let killed = "error: builder for '/nix/store/p-bad.drv' failed due to signal 9 (Killed)";
    assert_eq!(told(killed), (Trouble::BuildFailed(None), drv));
    let nothing = "error: builder for '/nix/store/p-bad.drv' failed to produce output path for output 'out' at '/nix/store/i-bad'";
    assert_eq!(told(nothing), (Trouble::BuildFailed(None), drv));
}

#[test]
fn what_follows_from_a_failure_is_no_failure_of_its_own() {
    let old = "error: 1 dependencies of derivation '/nix/store/q-a.drv' failed to build";
    assert_eq!(told(old), (Trouble::FollowUp, Some("/nix/store/q-a.drv")));
    let new = "error: Cannot build '/nix/store/q-a.drv'.\n       Reason: 1 dependency failed.\n       Output paths: …";
    assert_eq!(told(new), (Trouble::FollowUp, Some("/nix/store/q-a.drv")));
    let all = "error: build of '/nix/store/q-a.drv^out', '/nix/store/r-b.drv^out' failed";
    assert_eq!(told(all), (Trouble::FollowUp, None));
}

#[test]
fn a_time_limit_old_and_new() {
    let drv = Some("/nix/store/k-slow.drv");
    let old = "error: building of '/nix/store/k-slow.drv!out' from .drv file timed out after 7 seconds";
    assert_eq!(told(old), (Trouble::TimedOut(7), drv));
    let middle = "error: Cannot build '/nix/store/k-slow.drv'.\n       Reason: timed out after 7 seconds";
    assert_eq!(told(middle), (Trouble::TimedOut(7), drv));
    assert_eq!(told("error: timed out after 7 seconds"), (Trouble::TimedOut(7), None));
}

#[test]
fn other_files_by_a_rebuild() {
    let text = "error: derivation '/nix/store/k-a.drv' may not be deterministic: output '/nix/store/o-a' differs";
    assert_eq!(told(text), (Trouble::NotDeterministic, Some("/nix/store/k-a.drv")));
}

#[test]
fn an_input_out_of_reach_is_named() {
    let url = "https://api.github.com/repos/epics-extensions/epnix/tarball/da6f";
    let old = format!(
        "error: unable to download '{url}': Couldn't resolve host name (6)\n(use '--show-trace' to show detailed location information)"
    );
    assert_eq!(trouble(&old), Trouble::Unreachable(url.into()));
    let new = format!(
        "error:\n       … while fetching the input 'github:a/b'\n\n       error: unable to download '{url}': Could not resolve hostname (6) Could not resolve host: api.github.com"
    );
    assert_eq!(trouble(&new), Trouble::Unreachable(url.into()));
    assert!(rendered(&[&old]).1.starts_with(&format!("error: Nix could not fetch {url}\n")));
}

#[test]
fn the_rest_of_the_hosts_trouble() {
    let socket = "/nix/var/nix/daemon-socket/socket";
    for (text, want) in [
        ("error: writing to file: No space left on device", Trouble::DiskFull),
        (
            "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
            Trouble::NoDaemon(socket.into()),
        ),
        (
            "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Permission denied",
            Trouble::ShutOut(socket.into()),
        ),
        ("error: the group 'nixbld' specified in 'build-users-group' does not exist", Trouble::NoBuildUsers),
        ("error: the build users group 'nixbld' has no members", Trouble::NoBuildUsers),
        ("error: cloning builder process: Operation not permitted", Trouble::NoNamespaces),
        (
            "error: this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' to disable sandboxing",
            Trouble::NoNamespaces,
        ),
        ("error: opening lock file '/nix/var/nix/db/big-lock': Permission denied", Trouble::StoreShut),
        (
            "error: executing SQLite statement 'x': attempt to write a readonly database (in '/nix/var/nix/db/db.sqlite')",
            Trouble::StoreShut,
        ),
        (
            "error:\n … while fetching the input 'git+file:///p'\n error: opening Git repository \"/p\": repository path '/p' is not owned by current user",
            Trouble::ForeignOwner,
        ),
        ("fatal: detected dubious ownership in repository at '/p'", Trouble::ForeignOwner),
        (
            "error: flake 'git+file:///p' requires lock file changes but they're not allowed due to '--no-update-lock-file'",
            Trouble::LockOutdated,
        ),
        ("error: 'file:///tmp/sp ace/p' is not a valid URL", Trouble::OddPath("file:///tmp/sp ace/p".into())),
        (
            "warning: the group 'nixbld' specified in 'build-users-group' does not exist\nerror: 'file:///tmp/a%sb' is not a valid URL",
            Trouble::OddPath("file:///tmp/a%sb".into()),
        ),
    ] {
        assert_eq!(trouble(text), want);
        assert_eq!(rendered(&[text]).0, 5, "{text}");
        assert!(rendered(&[text]).1.contains("\n\nhint: "), "{text}");
    }
    assert_eq!(trouble("error: interrupted by the user"), Trouble::Interrupted);
    assert_eq!(rendered(&["error: unrecognised flag '--no-such'"]).0, 2);
}

#[test]
fn an_error_with_a_place_is_the_projects_and_any_other_the_hosts() {
    let text = "error: undefined variable 'nixosTset'\n\n       at /p/checks/simple.nix:3:1:";
    let (status, shown) = rendered(&[text]);
    assert_eq!((status, shown.matches("undefined variable").count()), (3, 1));
    for (text, want) in [
        ("error: getting status of '/nix/store/x-source/checks/new.nix': No such file or directory", 3),
        ("error: getting status of '/nix/store/x-source/gone.py': No such file or directory", 3),
        ("error: flake 'git+file:///p' does not provide attribute 'checks.x86_64-linux.a'", 3),
        ("error: ioc.toml: support names \"StreamDevise\", which EPNix does not have", 3),
        ("error: getting status of '/nix/var/x': Permission denied", 5),
        ("error: something that nobody has ever heard of", 5),
        ("error: unexpected EOF reading a line", 5),
        ("", 5),
    ] {
        assert_eq!(rendered(&[text]).0, want, "{text}");
    }
    assert_eq!(rendered(&[]), (5, "error: Nix failed\n\nIt said nothing.".to_owned()));
}

#[test]
fn the_hosts_trouble_comes_first_and_what_nobody_knows_last() {
    let failed = "error: builder for '/s/a.drv' failed with exit code 1";
    assert_eq!(rendered(&[failed, OLD_FEATURE]).0, 5);
    assert_eq!(rendered(&["error: odd", failed]).0, 1);
}

proptest! {
    #[test]
    fn any_text_is_classified_without_a_panic(text in "\\PC*|[a-z' {}.drv:/]{0,80}") {
        let _ = Told::read(&text);
    }
}
