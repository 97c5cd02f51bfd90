//! A copy of the project in a scratch folder, and the `xtask` binary on it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
#![allow(dead_code, missing_docs, reason = "each test file uses a part of it")]

pub mod dice;
pub mod processes;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub mod pages;
pub mod tops;

/// Of a program on a terminal; a busy computer needs a fraction of it.
const LIMIT: Duration = Duration::from_mins(5);

pub struct Scratch {
    dir: TempDir,
    pub root: PathBuf,
}

impl Scratch {
    /// A project whose path has blanks and other than ASCII characters.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("my IOC, größer");
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        // As shipped, with one check: users rename the project's own, and put theirs in its place.
        for part in ["ioc", "ioc.toml", "checks/simple.py"] {
            copy(&tool.join("template").join(part), &root.join(part));
        }
        copy(&tool.join("driver"), &root.join("tool/driver"));
        fs::create_dir_all(root.join("target")).unwrap();
        symlink(embedded(), root.join("target/embedded")).unwrap();
        Self { dir, root }
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.root.join(path), text).unwrap();
    }

    /// Replaces text that must be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.root.join(path)).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`");
        self.write(path, &text.replace(from, to));
    }

    pub fn check(&self, name: &str, script: &str) {
        self.write(&format!("checks/{name}.py"), script);
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreign"));
        command.args(args);
        self.environment(&mut command);
        command
    }

    /// What `cargo xtask` would set.
    pub fn environment(&self, command: &mut Command) {
        environment(command, &self.root);
    }

    pub fn xtask(&self, args: &[&str]) -> Run {
        Run::of(&self.command(args).output().unwrap())
    }

    /// Has all of it, and a copy of the binary and of the embedded programs, where a user may read and run it; as that user's own,
    /// if one is named. The binary's path.
    pub fn give(&self, user: Option<u32>) -> PathBuf {
        let dir = self.scratch_dir();
        fs::copy(env!("CARGO_BIN_EXE_foreign"), dir.join("foreign")).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let to = self.root.join("target/embedded");
        let built = fs::canonicalize(&to).unwrap();
        fs::remove_file(&to).unwrap();
        let name = fs::read_to_string(built.join("built")).unwrap();
        copy(&built.join(name.trim()), &to.join(name.trim()));
        fs::copy(built.join("built"), to.join("built")).unwrap();
        for entry in walkdir::WalkDir::new(dir).into_iter().flatten().filter(|_| user.is_some()) {
            chown(entry.path(), user, user).unwrap();
        }
        dir.join("foreign")
    }

    /// Text of a file of the newest run.
    pub fn result(&self, path: &str) -> String {
        let path = self.root.join("target/checks/latest").join(path);
        String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned()
    }

    /// One of the embedded programs.
    pub fn program(&self, name: &str) -> PathBuf {
        let state = fs::read_to_string(self.root.join("target/embedded/built")).unwrap();
        self.root.join("target/embedded").join(state.trim()).join(name)
    }

    pub fn scratch_dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Where the programs of tool/embedded/ are, built of the sources as they are: by xtask, once for all tests.
pub fn embedded() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let embedded = Path::new(env!("CARGO_BIN_EXE_foreign")).ancestors().nth(2).unwrap().join("embedded");
        fs::create_dir_all(&embedded).unwrap();
        // The least that is a project.
        let dir = tempfile::tempdir().unwrap();
        for part in ["ioc", "ioc.toml", "checks/simple.py"] {
            copy(&tool.join("template").join(part), &dir.path().join(part));
        }
        fs::create_dir_all(dir.path().join("tool")).unwrap();
        symlink(tool.join("embedded"), dir.path().join("tool/embedded")).unwrap();
        symlink(tool.join("driver"), dir.path().join("tool/driver")).unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        symlink(&embedded, dir.path().join("target/embedded")).unwrap();
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_foreign"));
        environment(&mut xtask, dir.path());
        xtask.args(["test", "--no-run", "--no-lint", "--backend", "sandbox", "--ioc", "embedded"]);
        Run::of(&xtask.output().unwrap()).expect(0, &[]);
        embedded
    })
}

/// Writes a program. A process that is gone when it runs does: what another thread forks meanwhile would hold our file open
/// for writing, and the kernel runs no such file.
pub fn executable(path: &Path, text: &str) {
    let mut install = Command::new("install");
    let mut install = install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
}

/// Whether tests that take minutes are wanted.
pub fn slow() -> bool {
    std::env::var_os("XTASK_SLOW_TESTS").is_some()
}

/// Says so past libtest, which keeps what a passed test prints to itself.
pub fn tell(text: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "{text}").unwrap();
}

pub fn skipped(why: &str) {
    tell(&format!("SKIPPED: {why}"));
}

/// What git says, without the user's settings.
#[track_caller]
pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "commit.gpgsign=false"]);
    let output = git.args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Every file of a project outside target/ and .git/ with what it holds and its mode, and every folder.
pub fn files(scratch: &Scratch) -> Vec<(PathBuf, Option<Vec<u8>>, u32)> {
    let own = |e: &walkdir::DirEntry| e.file_name() != "target" && e.file_name() != ".git";
    let entries = walkdir::WalkDir::new(&scratch.root).sort_by_file_name().into_iter().filter_entry(own);
    let one = |path: PathBuf| (path.clone(), fs::read(&path).ok(), path.symlink_metadata().unwrap().mode());
    entries.map(|e| one(e.unwrap().into_path())).collect()
}

/// Whoever runs the tests, a person at a terminal or a CI service (`CI=true`), the binary sees the same.
pub fn environment(command: &mut Command, root: &Path) {
    const KEPT: [&str; 9] =
        ["PATH", "HOME", "USER", "LANG", "TMPDIR", "CARGO", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    command
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .current_dir(root)
        .env("CARGO_MANIFEST_DIR", root.join("xtask"))
        .env("CARGO_TARGET_DIR", root.join("target"))
        .env("XTASK_NO_CACHE", "1")
        .env("XDG_STATE_HOME", root.join("target/state"))
        .env("NO_COLOR", "1");
}

pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in stderr:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

impl Run {
    /// A part of stdout.
    #[track_caller]
    pub fn expect_out(self, part: &str) -> Self {
        assert!(self.stdout.contains(part), "no `{part}` in stdout:\n{}", self.stdout);
        self
    }
}

/// `xtask` on a terminal of its own (script(1)), after other commands for the shell there. `talk` sees what has been printed,
/// and types. What is still not over after [`LIMIT`] is shown.
pub fn on_terminal(
    scratch: &Scratch,
    before: &str,
    args: &str,
    mut talk: impl FnMut(&str) -> Option<&'static str>,
) -> (i32, String) {
    let mut command = Command::new("script");
    let line = format!("{before} exec '{}' {args}", env!("CARGO_BIN_EXE_foreign"));
    command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    scratch.environment(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (printed, prints) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(size @ 1..) = screen.read(&mut buffer)
            && printed.send(buffer[..size].to_vec()).is_ok()
        {}
    });
    let mut text = Vec::new();
    let begun = Instant::now();
    loop {
        match prints.recv_timeout(LIMIT.saturating_sub(begun.elapsed())) {
            Ok(more) => text.extend(more),
            Err(over) => {
                let shown = String::from_utf8_lossy(&text);
                if over == RecvTimeoutError::Timeout {
                    child.kill().unwrap();
                }
                assert_eq!(over, RecvTimeoutError::Disconnected, "`{args}` is not over after {LIMIT:?}:\n{shown}");
                break;
            }
        }
        while let Some(typed) = talk(&String::from_utf8_lossy(&text)) {
            keyboard.write_all(typed.as_bytes()).unwrap();
        }
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

pub fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}
