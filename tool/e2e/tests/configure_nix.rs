//! `configure-nix`: the binary on made-up machines, crashes in the middle, and what the real Nix reads.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;
use tool_base::host::Host;
use tool_host::nixconf::{self, plan};

/// A made-up machine with a daemon and a program `nix`, without KVM.
struct Machine(TempDir);

impl Machine {
    fn new(conf: Option<&str>) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("nix/var/nix/daemon-socket/socket", "");
        machine.write("etc/nix/about", "");
        if let Some(conf) = conf {
            machine.write("etc/nix/nix.conf", conf);
        }
        std::fs::create_dir(machine.path("bin")).unwrap();
        common::executable(&machine.path("bin/nix"), "#!/bin/sh\necho nix '(Nix)' 2.31.2\n");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok()
    }

    fn conf(&self) -> String {
        self.read("etc/nix/nix.conf").unwrap()
    }

    /// Runs the binary; its exit status, and its two outputs in one.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = self.output(args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn output(&self, args: &[&str]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command(env!("CARGO_BIN_EXE_foreign"))
            .env_clear()
            .envs([("PATH", path.as_str()), ("HOME", "/home/me")])
            .args(["configure-nix", "--root"])
            .arg(self.0.path())
            .args(args)
            .output()
            .unwrap()
    }
}

/// sudo sets a PATH of its own, which lacks Nix, and the hint says `sudo …/xtask configure-nix --apply`.
#[test]
fn nix_is_found_where_its_installer_puts_it() {
    let machine = Machine::new(Some(""));
    std::fs::create_dir_all(machine.path("nix/var/nix/profiles/default/bin")).unwrap();
    std::fs::rename(machine.path("bin/nix"), machine.path("nix/var/nix/profiles/default/bin/nix")).unwrap();
    let output = command(env!("CARGO_BIN_EXE_foreign"))
        .env_clear()
        .envs([("PATH", "/nowhere"), ("HOME", "/root")])
        .args(["configure-nix", "--apply", "--root"])
        .arg(machine.0.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(machine.conf().contains("extra-system-features = kvm"));
}

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests start programs")]
    Command::new(program)
}

#[test]
fn without_apply_nothing_is_written() {
    let machine = Machine::new(Some("sandbox = true"));
    let (status, text) = machine.run(&[]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("speeds nothing up") && text.contains("--backend sandbox"), "{text}");
    assert!(text.contains("--backend driver"), "{text}");
    assert!(text.contains("+extra-system-features = kvm"), "{text}");
    assert!(text.contains("Nothing was written yet"), "{text}");
    assert_eq!(machine.conf(), "sandbox = true");
    assert_eq!(std::fs::read_dir(machine.path("etc/nix")).unwrap().count(), 2);
}

#[test]
fn apply_twice_is_once_and_undo_restores() {
    let before = "# mine\nsystem-features = benchmark # not kvm";
    let machine = Machine::new(Some(before));
    let file = machine.path("etc/nix/nix.conf");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(machine.run(&["--apply"]).0, 0);
    let after = machine.conf();
    assert!(after.starts_with(before) && after.ends_with("\nextra-system-features = kvm\n"), "{after}");
    let (status, text) = machine.run(&["--apply"]);
    assert_eq!((status, machine.conf()), (0, after));
    assert!(text.contains("Nothing to do"), "{text}");
    assert_eq!(machine.run(&["--undo"]).0, 0);
    assert_eq!(machine.conf(), before);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    let (status, text) = machine.run(&["--undo"]);
    assert_eq!(status, 0);
    assert!(text.contains("Nothing to undo"), "{text}");
}

#[test]
fn a_file_that_was_not_there_is_gone_after_undo() {
    let machine = Machine::new(None);
    assert_eq!(machine.run(&["--apply"]).0, 0);
    assert!(machine.conf().contains("extra-system-features = kvm"));
    assert_eq!(machine.run(&["--undo"]).0, 0);
    assert_eq!(machine.read("etc/nix/nix.conf"), None);
}

#[test]
fn generated_files_are_left_alone() {
    let machine = Machine::new(None);
    std::os::unix::fs::symlink("/nix/store/abc-nix.conf", machine.path("etc/nix/nix.conf")).unwrap();
    machine.write("etc/NIXOS", "");
    let (status, text) = machine.run(&[]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(r#"nix.settings.extra-system-features = [ "kvm" ];"#), "{text}");
    let (status, text) = machine.run(&["--apply"]);
    assert_eq!(status, 5, "{text}");
    assert!(machine.path("etc/nix/nix.conf").is_symlink());
}

#[test]
fn determinate_nix_gets_its_own_file() {
    let conf = "# managed by Determinate Nix\n!include nix.custom.conf\n";
    let machine = Machine::new(Some(conf));
    assert_eq!(machine.run(&["--apply"]).0, 0);
    assert_eq!(machine.conf(), conf);
    assert!(machine.read("etc/nix/nix.custom.conf").unwrap().contains("extra-system-features = kvm"));
    assert_eq!(machine.run(&["--undo"]).0, 0);
    assert_eq!(machine.read("etc/nix/nix.custom.conf"), None);
}

#[test]
fn a_change_that_a_later_line_cancels_is_taken_back() {
    let machine = Machine::new(Some("!include nix.custom.conf\nsystem-features = benchmark\n"));
    machine.write("etc/nix/nix.custom.conf", "cores = 1\n");
    let (status, text) = machine.run(&["--apply"]);
    assert_eq!(status, 5, "{text}");
    assert!(text.contains("still does not advertise kvm") && text.contains("hint:"), "{text}");
    assert_eq!(machine.read("etc/nix/nix.custom.conf").unwrap(), "cores = 1\n");
}

#[test]
fn a_file_that_nix_refuses_is_refused() {
    for (conf, word) in [("a = b\nkvm\n", "line 2"), ("include gone.conf\n", "there is no file /etc/nix/gone.conf")] {
        let machine = Machine::new(Some(conf));
        let (status, text) = machine.run(&["--apply"]);
        assert_eq!(status, 5, "{text}");
        assert!(text.contains("/etc/nix/nix.conf: line") && text.contains(word), "{text}");
        assert_eq!(machine.conf(), conf);
    }
}

#[test]
fn who_may_not_write_is_told_how() {
    let machine = Machine::new(Some("cores = 1\n"));
    let folder = machine.path("etc/nix");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.join("try"), "").is_ok() {
        common::skipped("who_may_not_write_is_told_how: root may write everywhere");
        return;
    }
    let (status, text) = machine.run(&["--apply"]);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(status, 5, "{text}");
    assert!(text.contains("hint: as root:\n  sudo ") && text.contains("configure-nix --apply"), "{text}");
}

#[test]
fn a_nix_of_ones_own_is_configured_in_ones_own_file() {
    let machine = Machine::new(Some("system-features = benchmark\n"));
    std::fs::remove_file(machine.path("nix/var/nix/daemon-socket/socket")).unwrap();
    std::fs::create_dir(machine.path("nix/var/nix/db")).unwrap();
    if Host::new(Path::new("/")).uid == 0 {
        common::skipped("a_nix_of_ones_own_is_configured_in_ones_own_file: root configures the system");
        return;
    }
    let own = "home/me/.config/nix/nix.conf";
    let (status, text) = machine.run(&["--apply"]);
    assert_eq!(status, 0, "{text}");
    assert!(machine.read(own).unwrap().ends_with("extra-system-features = kvm\n"));
    assert_eq!(machine.conf(), "system-features = benchmark\n");
    assert!(machine.run(&["--apply"]).1.contains("Nothing to do"));
    assert_eq!(machine.run(&["--undo"]).0, 0);
    assert_eq!(machine.read(own), None);
}

/// The daemon fixes its features before it hears what a client's file says, also of a user whom it trusts.
#[test]
fn the_daemons_file_is_the_one_also_for_whom_it_trusts() {
    let machine = Machine::new(Some("trusted-users = *\n"));
    let (status, text) = machine.run(&["--apply"]);
    assert_eq!(status, 0, "{text}");
    assert!(machine.conf().ends_with("\nextra-system-features = kvm\n"), "{text}");
    assert_eq!(machine.read("home/me/.config/nix/nix.conf"), None);
}

#[test]
fn undo_does_not_mind_what_else_is_wrong_in_the_file() {
    for broken in ["kvm\n", "include gone.conf\n"] {
        let machine = Machine::new(Some("cores = 1\n"));
        assert_eq!(machine.run(&["--apply"]).0, 0);
        machine.write("etc/nix/nix.conf", &(machine.conf() + broken));
        assert_eq!(machine.run(&["--apply"]).0, 5);
        let (status, text) = machine.run(&["--undo"]);
        assert_eq!((status, machine.conf()), (0, format!("cores = 1\n{broken}")), "{text}");
    }
}

#[test]
fn a_line_that_the_daemon_may_not_have_read_says_how_it_does() {
    let machine = Machine::new(Some("extra-system-features = kvm\n"));
    machine.write("run/systemd/system/about", "");
    let (status, text) = machine.run(&[]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("Nothing to do") && text.contains("systemctl restart nix-daemon"), "{text}");
}

/// A real daemon that has read its file before it said anything of kvm. It has a /nix of its own, in namespaces that end
/// with the script.
#[test]
fn a_daemon_that_refuses_has_to_be_started_anew() {
    const SCRIPT: &str = r#"
        set -eu
        mount -t tmpfs none /nix
        socket=/nix/var/nix/daemon-socket/socket
        start() {
            nix-daemon 2>"$NIX_CONF_DIR/log" &
            until [ -S "$socket" ]; do kill -0 $!; sleep 0.02; done
        }
        start
        echo 'extra-system-features = kvm' >>"$NIX_CONF_DIR/nix.conf"
        "$0" configure-nix --json
        kill $! && wait $! || true
        rm -f "$socket"
        start
        "$0" configure-nix --json"#;
    if command("nix-daemon").arg("--version").output().is_err() || !Path::new("/nix").is_dir() {
        common::skipped("a_daemon_that_refuses_has_to_be_started_anew: there is no `nix-daemon` here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let conf = "build-users-group =\nsandbox = false\nsubstituters =\nsystem-features = nixos-test\n";
    std::fs::write(dir.path().join("nix.conf"), conf).unwrap();
    let mut unshare = command("unshare");
    unshare.args(["--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT]);
    unshare.arg(env!("CARGO_BIN_EXE_foreign")).env("NIX_CONF_DIR", dir.path()).env("HOME", dir.path());
    let output = unshare.env_remove("NIX_REMOTE").env_remove("NIX_CONFIG").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verified: Vec<Option<bool>> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter::<serde_json::Value>()
        .map(|outcome| {
            let outcome = outcome.unwrap();
            assert_eq!((&outcome["state"], &outcome["diff"]), (&"nothing-to-do".into(), &serde_json::Value::Null));
            assert_eq!(outcome["restart"].is_string(), outcome["verified"] == false, "{outcome}");
            outcome["verified"].as_bool()
        })
        .collect();
    assert_eq!(verified, [Some(false), Some(true)]);
}

#[test]
fn the_daemon_has_to_read_the_file() {
    let machine = Machine::new(None);
    machine.write("run/systemd/system/about", "");
    assert!(machine.run(&[]).1.contains("sudo systemctl restart nix-daemon.service"));
}

#[test]
fn json_is_one_document() {
    let machine = Machine::new(None);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&machine.output(&[args, &["--json"]].concat()).stdout).unwrap()
    };
    let plan = json(&[]);
    assert_eq!((&plan["schema"], &plan["state"], &plan["undo"]), (&1.into(), &"planned".into(), &false.into()));
    assert!(plan["diff"].as_str().unwrap().contains("+extra-system-features = kvm"));
    assert_eq!(json(&["--apply"])["state"], "done");
    assert_eq!(json(&["--apply"])["state"], "nothing-to-do");
    assert_eq!(json(&["--undo"])["state"], "done");
}

#[test]
fn files_are_found_as_nix_finds_them() {
    let files = |env: &[(&str, &str)]| nixconf::user_confs(&Host::made_up(Path::new("/"), env, 1000, &[]));
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    let home = ("HOME", "/home/me");
    assert_eq!(files(&[home]), paths(&["/home/me/.config/nix/nix.conf", "/etc/xdg/nix/nix.conf"]));
    assert_eq!(
        files(&[home, ("XDG_CONFIG_HOME", "/c"), ("XDG_CONFIG_DIRS", "/x:/y")]),
        paths(&["/c/nix/nix.conf", "/x/nix/nix.conf", "/y/nix/nix.conf"])
    );
    assert_eq!(files(&[home, ("NIX_USER_CONF_FILES", "/a:/b")]), paths(&["/a", "/b"]));
    let system = |env: &[(&str, &str)]| nixconf::system_conf(&Host::made_up(Path::new("/"), env, 1000, &[]));
    assert_eq!(system(&[]), Path::new("/etc/nix/nix.conf"));
    assert_eq!(system(&[("NIX_CONF_DIR", "/d")]), Path::new("/d/nix.conf"));
}

#[test]
fn the_first_of_the_users_files_wins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "system-features = kvm").unwrap();
    std::fs::write(dir.path().join("b"), "system-features = benchmark").unwrap();
    let has = |env: &[(&str, &str)]| {
        nixconf::user_settings(&Host::made_up(dir.path(), env, 1000, &[])).unwrap().features().has("kvm")
    };
    assert_eq!(has(&[("NIX_USER_CONF_FILES", "/a:/b")]), Some(true));
    assert_eq!(has(&[("NIX_USER_CONF_FILES", "/b:/a")]), Some(false));
    assert_eq!(has(&[("NIX_USER_CONF_FILES", "/b:/a"), ("NIX_CONFIG", "extra-system-features = kvm")]), Some(true));
}

/// What the real Nix reads from a nix.conf: its system features.
struct RealNix {
    words: &'static [&'static str],
}

impl RealNix {
    fn new() -> Option<Self> {
        let works =
            |words: &[&str]| command("nix").args(words).args(EXPERIMENTAL).output().is_ok_and(|o| o.status.success());
        let known: [&'static [&'static str]; 2] = [&["config", "show"], &["show-config"]];
        known.into_iter().find(|words| works(words)).map(|words| Self { words })
    }

    fn features(&self, dir: &Path) -> BTreeSet<String> {
        let output = command("nix")
            .args(self.words)
            .args(EXPERIMENTAL)
            .envs([
                ("NIX_CONF_DIR", dir),
                ("HOME", dir),
                ("XDG_CONFIG_HOME", dir),
                ("NIX_USER_CONF_FILES", Path::new("/dev/null")),
            ])
            .env_remove("NIX_CONFIG")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let value = text.lines().find_map(|l| l.strip_prefix("system-features = ")).unwrap_or_default();
        value.split_whitespace().map(ToOwned::to_owned).collect()
    }
}

const EXPERIMENTAL: [&str; 2] = ["--extra-experimental-features", "nix-command"];

#[test]
fn the_real_nix_reads_what_we_read() {
    let Some(nix) = RealNix::new() else {
        common::skipped("the_real_nix_reads_what_we_read: there is no `nix` here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nix.conf");
    std::fs::write(dir.path().join("more.conf"), "extra-system-features = from-include\n").unwrap();
    std::fs::write(&file, "").unwrap();
    let defaults = nix.features(dir.path());
    let line = proptest::sample::select(vec![
        "system-features = kvm",
        "system-features = benchmark big-parallel",
        "system-features =",
        "system-features = kvm2 # kvm",
        "extra-system-features = kvm",
        "extra-system-features = uid-range  kvm2\tgccarch-x",
        "\t extra-system-features\t=  kvm kvm\r",
        "extra-system-features = nokvm# kvm",
        "include more.conf",
        "!include gone.conf",
        "cores = 1",
        "",
        "# extra-system-features = kvm",
    ]);
    let confs = (proptest::collection::vec(line, 0..7), any::<bool>())
        .prop_map(|(lines, end)| lines.join("\n") + if end { "\n" } else { "" });
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&confs, |conf| {
            std::fs::write(&file, &conf).unwrap();
            let before = nix.features(dir.path());
            let host = Host::made_up(Path::new("/"), &[("NIX_CONF_DIR", dir.path().to_str().unwrap())], 1000, &[]);
            let ours = nixconf::system_settings(&host).unwrap().features();
            let ours: BTreeSet<String> =
                ours.list.unwrap_or_else(|| defaults.iter().cloned().collect()).into_iter().chain(ours.extra).collect();
            prop_assert_eq!(&ours, &before, "we read another thing than Nix");

            std::fs::write(&file, plan::added(Some(conf.as_bytes()))).unwrap();
            let mut wanted = before;
            wanted.insert("kvm".to_owned());
            prop_assert_eq!(nix.features(dir.path()), wanted);
            Ok(())
        })
        .unwrap();
}
