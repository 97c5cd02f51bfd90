//! A project with a flake of plain derivations, and a Nix store of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::processes::start_time;
use crate::common::{self, Run, copy, environment, skipped};

/// A project whose flake is the fixture, in a Git repository, and a Nix store of its own. All of it in one folder.
pub struct Fixture {
    pub dir: TempDir,
    pub root: PathBuf,
}

impl Fixture {
    /// `None`, and a loud word, where there is no Nix.
    pub fn new() -> Option<Self> {
        Self::named("project")
    }

    pub fn named(name: &str) -> Option<Self> {
        if Command::new("nix").arg("--version").output().is_err() {
            skipped("no `nix` here; apt-get install nix-bin");
            return None;
        }
        // Not below /tmp's own name: Nix wants a store path without symlinks.
        let dir =
            tempfile::Builder::new().prefix("x").tempdir_in(std::env::temp_dir().canonicalize().unwrap()).unwrap();
        let root = dir.path().join(name);
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&here.join("tests/fixtures/nix"), &root);
        copy(&here.join("../nix/sandbox.nix"), &root.join("tool/nix/sandbox.nix"));
        for folder in ["store", "state", "log", "conf", "home"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let fixture = Self { dir, root };
        fixture.git(&["init", "-q"]);
        fixture.git(&["add", "."]);
        Some(fixture)
    }

    pub fn git(&self, args: &[&str]) {
        common::git(&self.root, args);
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.root.join(path), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreign"));
        let place = |name: &str| self.dir.path().join(name);
        environment(&mut command, &self.root);
        command
            .args(args)
            .env("HOME", place("home"))
            .env("XDG_CACHE_HOME", place("home"))
            .env("NIX_STORE_DIR", place("store"))
            .env("NIX_STATE_DIR", place("state"))
            .env("NIX_LOG_DIR", place("log"))
            .env("NIX_CONF_DIR", place("conf"))
            .env("NIX_REMOTE", "local")
            .env("NIX_CONFIG", "build-users-group =\nsandbox = false\nsubstituters =\nsystem-features = nixos-test\n");
        command
    }

    pub fn xtask(&self, args: &[&str]) -> Run {
        Run::of(&self.command(args).output().unwrap())
    }

    pub fn nixos(&self, checks: &[&str]) -> Run {
        self.xtask(&[&["test", "--backend", "nixos"], checks].concat())
    }

    pub fn driver(&self, checks: &[&str]) -> Run {
        self.xtask(&[&["test", "--backend", "driver"], checks].concat())
    }

    pub fn result(&self, path: &str) -> String {
        fs::read_to_string(self.root.join("target/checks/latest").join(path)).unwrap_or_default()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Nix takes the right to write from what it stores.
        let entries = walkdir::WalkDir::new(self.dir.path().join("store")).into_iter();
        for entry in entries.flatten().filter(|e| e.file_type().is_dir()) {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755));
        }
    }
}

/// The process that a line names, with the time of its start.
pub fn named_process(line: &str) -> Option<(u32, String)> {
    let pid = line.strip_prefix("pid ").or(line.strip_prefix("child "))?.parse().ok()?;
    Some((pid, start_time(pid)?))
}

/// Processes that a running check has named in its log, once it is there.
pub fn named_processes(fixture: &Fixture) -> Vec<(u32, String)> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = fixture.result("slow/log");
        let processes: Vec<_> = log.lines().filter_map(named_process).collect();
        if processes.len() == 2 {
            return processes;
        }
        assert!(Instant::now() < deadline, "the check does not begin: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
