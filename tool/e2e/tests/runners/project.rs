//! Somebody else's project, and what runs its workflows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::processes::wait_for;
use crate::common::{copy, embedded, executable, skipped};
use crate::fixture::Fixture;

/// Programs that would change this machine, or that it does not have.
const CARGO: &str = r#"
case "$1 $2" in
"xtask check-kvm") echo "a stand-in for KVM" >&2 ;;
"xtask "*)
    shift
    export CARGO="$0" CARGO_MANIFEST_DIR="$PWD/xtask" CARGO_TARGET_DIR="$PWD/target"
    mkdir -p target && ln -sfn "$EMBEDDED" target/embedded
    exec "$XTASK" "$@"
    ;;
*) echo "cargo $*" >&2 ;;
esac
"#;
/// GitLab's jobs get Rust and Python by `nix develop`, which the fixture's flake has not.
const NIX: &str = r#"
case "$*" in
*" develop --command "*) while [ "$1" != --command ]; do shift; done && shift && exec "$@" ;;
esac
PATH=${PATH#*:} exec nix "$@"
"#;

/// What actions/cache does: it restores by the newest key that begins so, and only what was kept for the same paths.
const RESTORE: &str = r#"
for kept in "$CACHES/$KEY" $(ls -dt "$CACHES/${OR:-none}"* 2>/dev/null); do
    [ "$(cat "$kept/paths" 2>/dev/null)" = "$(echo "$PATHS")" ] || continue
    tar -xf "$kept/tar"
    echo "restored ${kept##*/}" >> "$SEEN"
    [ "$kept" != "$CACHES/$KEY" ] || echo "hit=true" >> "$GITHUB_OUTPUT"
    break
done
"#;
const SAVE: &str = r#"
mkdir "$CACHES/$KEY" || exit
echo "$PATHS" > "$CACHES/$KEY/paths"
for path in $PATHS; do
    [ ! -e "$path" ] || echo "$path"
done | tar -cf "$CACHES/$KEY/tar" -T - || [ $? = 1 ] # a file that changed meanwhile
"#;

/// What actions/upload-artifact does: it refuses names, and from version 4 on servers, as GitHub's does.
const UPLOAD: &str = r#"
case "$VERSION $GITHUB_SERVER_URL" in
v3* | *" https://github.com") ;;
*) echo "$VERSION is not currently supported on GHES" >&2 && exit 1 ;;
esac
case "$NAME$FILE" in *[\":\<\>\|\*\?]*) exit 1 ;; esac
[ ! -f "$FILE" ] || cp "$FILE" "$ARTIFACTS/$NAME"
"#;

/// Actions of others: what they are given is noted in `$SEEN`.
const ACTIONS: [(&str, &str); 6] = [
    (
        "cachix/install-nix-action",
        r#"{name: a, description: a, runs: {using: composite, steps: [{shell: bash, run: 'echo "nix" >> "$SEEN"'}]}}"#,
    ),
    (
        "nix-community/cache-nix-action/restore",
        r#"{name: a, description: a,
            inputs: {primary-key: {description: k, required: true}, restore-prefixes-first-match: {description: p}, lookup-only: {description: l}},
            outputs: {hit-primary-key: {description: h, value: "${{ steps.a.outputs.hit }}"}},
            runs: {using: composite, steps: [{id: a, shell: bash, env: {LOOK: "${{ inputs.lookup-only }}", KEY: "${{ inputs.primary-key }}"},
              run: 'echo "store $KEY restored lookup=$LOOK" >> "$SEEN"; echo "hit=${HIT:-false}" >> "$GITHUB_OUTPUT"'}]}}"#,
    ),
    (
        "nix-community/cache-nix-action/save",
        r#"{name: a, description: a, inputs: {primary-key: {description: k, required: true}, gc-max-store-size-linux: {description: g}},
            runs: {using: composite, steps: [{shell: bash, env: {KEY: "${{ inputs.primary-key }}"}, run: 'echo "store $KEY saved" >> "$SEEN"'}]}}"#,
    ),
    (
        "actions/cache/restore",
        r#"{name: a, description: a,
            inputs: {path: {description: p, required: true}, key: {description: k, required: true}, restore-keys: {description: r}},
            outputs: {cache-hit: {description: h, value: "${{ steps.a.outputs.hit }}"}, cache-primary-key: {description: k, value: "${{ inputs.key }}"}},
            runs: {using: composite, steps: [{id: a, shell: bash, env: {KEY: "${{ inputs.key }}", PATHS: "${{ inputs.path }}", OR: "${{ inputs.restore-keys }}"},
              run: cache-restore}]}}"#,
    ),
    (
        "actions/cache/save",
        r#"{name: a, description: a, inputs: {path: {description: p, required: true}, key: {description: k, required: true}},
            runs: {using: composite, steps: [{shell: bash, env: {KEY: "${{ inputs.key }}", PATHS: "${{ inputs.path }}"},
              run: cache-save}]}}"#,
    ),
    (
        "actions/upload-artifact",
        r#"{name: a, description: a,
            inputs: {name: {description: n}, path: {description: p}, compression-level: {description: c},
              retention-days: {description: r}, if-no-files-found: {description: i}},
            runs: {using: composite, steps: [{if: always(), shell: bash,
              env: {NAME: "${{ inputs.name }}", FILE: "${{ inputs.path }}", VERSION: v}, run: artifact-upload}]}}"#,
    ),
];

/// A check that keeps files with names that no artifact may have.
pub const KEEPS: &str = r#"machine.succeed("mkdir -p /tmp/out && echo 42 > /tmp/out/LAB1:VOLT.txt && echo 1 > /tmp/out/.hidden")
machine.copy_from_machine("/tmp/out")
"#;

pub const NEVER_ENDS: &str = "print(\"it has begun\")\nmachine.succeed(\"sleep 600\")\n";
pub const NIX_NEVER_ENDS: &str = "{ nixosTest, ... }: nixosTest { } \"echo it has begun; sleep 600\"\n";
/// Scripts run on the host: a folder is where the results of the run are to be.
pub const HOST_FAILS: &str = "(machine.out_dir.parent.parent / \"run.json\").mkdir()\n";

/// Somebody's project, and the programs to run its workflows.
pub struct Runner {
    pub fixture: Fixture,
    tools: PathBuf,
}

impl Runner {
    /// `None`, and a loud word, where a runner or Nix is missing.
    pub fn new(program: &str) -> Option<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_foreign")).ancestors().nth(2).unwrap();
        let tools = target.join("ci-tools");
        if !tools.join(program).exists() {
            skipped(&format!("no {program} in {}: .ci/run installs it", tools.display()));
            return None;
        }
        let fixture = Fixture::new()?;
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let root = &fixture.root;
        fs::copy(root.join("checks/good.nix"), root.join("good")).unwrap();
        for gone in ["checks", "ioc"] {
            fs::remove_dir_all(root.join(gone)).unwrap();
        }
        for part in ["ioc", "ioc.toml", ".github", ".gitlab-ci.yml"] {
            copy(&tool.join("template").join(part), &root.join(part));
        }
        for part in ["ci", "driver", "embedded"] {
            copy(&tool.join(part), &root.join("tool").join(part));
        }
        fixture.write(".gitignore", "target/\n.gitlab-ci-local/\nchecks.yml\n");
        for (action, text) in ACTIONS {
            let dir = fixture.dir.path().join("actions").join(action);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("action.yml"), text).unwrap();
        }
        let bin = fixture.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // The soft IOC was built with it, and it finds its way from the home of whoever runs this.
        let home = std::env::var("HOME").unwrap();
        let rustc = format!("PATH=\"${{PATH#*:}}\" HOME='{home}' exec rustc \"$@\"\n");
        let nothing = ["sudo", "rustup", "pipx", "apt-get"].map(|name| (name, "echo \"${0##*/} $*\" >&2\n"));
        for (name, text) in [
            ("cargo", CARGO),
            ("nix", NIX),
            ("rustc", rustc.as_str()),
            ("cache-restore", RESTORE),
            ("cache-save", SAVE),
            ("artifact-upload", UPLOAD),
        ]
        .into_iter()
        .chain(nothing)
        {
            executable(&bin.join(name), &format!("#!/bin/sh\n{text}"));
        }
        for folder in ["artifacts", "caches"] {
            fs::create_dir(fixture.dir.path().join(folder)).unwrap();
        }
        let runner = Self { fixture, tools };
        runner.check("level", KEEPS);
        runner.fixture.write("README.md", "# Our heater\n");
        runner.commit();
        let names = ["rename", "--app", "heater", "--ioc", "iocHeater", "--prefix", "LAB9:", "--apply"];
        runner.fixture.xtask(&names).expect(0, &[]);
        Some(runner)
    }

    /// A check that passes by Nix.
    pub fn check(&self, name: &str, script: &str) {
        let root = &self.fixture.root;
        fs::create_dir_all(root.join("checks")).unwrap();
        fs::copy(root.join("good"), root.join(format!("checks/{name}.nix"))).unwrap();
        self.fixture.write(&format!("checks/{name}.py"), script);
    }

    pub fn no_checks(&self) {
        fs::remove_dir_all(self.fixture.root.join("checks")).unwrap();
        fs::create_dir(self.fixture.root.join("checks")).unwrap();
    }

    fn commit(&self) {
        let git: [&[&str]; 3] = [
            &["add", "-A"],
            &["-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-q", "--allow-empty", "-m", "theirs"],
            &["branch", "-M", "main"],
        ];
        for args in git {
            self.fixture.git(args);
        }
    }

    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        self.commit();
        let like = self.fixture.command(&[]);
        let place = |name: &str| self.fixture.dir.path().join(name);
        let mut path = place("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = Command::new(self.tools.join(program));
        command.args(args).current_dir(&self.fixture.root).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
            .env("PATH", path)
            .env("XTASK", env!("CARGO_BIN_EXE_foreign"))
            .env("EMBEDDED", embedded())
            .env("SEEN", place("seen"))
            .env("ARTIFACTS", place("artifacts"))
            .env("CACHES", place("caches"))
            // The features that GitHub's machines give to builders.
            .env(
                "NIX_CONFIG",
                "build-users-group =\nsandbox = false\nsubstituters =\nsystem-features = nixos-test kvm\n",
            )
            .stdin(Stdio::null());
        command
    }

    pub fn act(&self, args: &[&str]) -> Command {
        let mut command = self.command("bin/act", &["push", "-W", ".github/workflows/ci.yml", "--action-offline-mode"]);
        command.args(["--pull=false", "-P", "ubuntu-24.04=-self-hosted", "-P", "ubuntu-slim=-self-hosted"]);
        for (action, version) in uses(&self.fixture.root) {
            let (name, commit) = action.split_once('@').unwrap();
            // OWNER/REPOSITORY/FOLDER: of the repository only.
            let name = name.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
            let (dir, place) =
                (self.fixture.dir.path().join("actions").join(&name), self.fixture.dir.path().join(commit));
            if !dir.is_dir() {
                continue;
            }
            copy(&dir, &place);
            if let Ok(text) = fs::read_to_string(dir.join("action.yml")) {
                fs::write(place.join("action.yml"), text.replace("VERSION: v", &format!("VERSION: {version}")))
                    .unwrap();
            }
            command.arg("--local-repository").arg(format!("{name}@{commit}={}", place.display()));
        }
        // What is saved once is never saved again, so runs have numbers.
        command.arg("--env").arg(format!("GITHUB_RUN_ID={}", self.caches("").len())).args(args);
        command
    }

    pub fn seen(&self) -> String {
        fs::read_to_string(self.fixture.dir.path().join("seen")).unwrap_or_default()
    }

    /// Names of the files in an artifact.
    pub fn artifact(&self, name: &str) -> String {
        let file = self.fixture.dir.path().join("artifacts").join(name);
        let list = Command::new("tar").arg("-tzf").arg(&file).output().unwrap();
        assert!(list.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&list.stderr));
        String::from_utf8(list.stdout).unwrap()
    }

    /// The text of a file in an artifact.
    pub fn in_artifact(&self, name: &str, path: &str) -> String {
        let file = self.fixture.dir.path().join("artifacts").join(name);
        let text = Command::new("tar").arg("-xzOf").arg(&file).arg(path).output().unwrap();
        String::from_utf8_lossy(&text.stdout).into_owned()
    }

    /// Keys of what is in GitHub's cache.
    pub fn caches(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.fixture.dir.path().join("caches")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(prefix)).collect()
    }

    /// What is kept there, of a single file.
    pub fn cached(&self, key: &str) -> String {
        let tar = self.fixture.dir.path().join("caches").join(key).join("tar");
        String::from_utf8(Command::new("tar").arg("-xOf").arg(tar).output().unwrap().stdout).unwrap()
    }

    /// Puts another text there.
    pub fn put(&self, key: &str, text: &str) {
        let dir = self.fixture.dir.path().join("caches").join(key);
        let path = fs::read_to_string(dir.join("paths")).unwrap();
        let file = dir.join(path.trim());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        let tar = Command::new("tar").arg("-C").arg(&dir).arg("-cf").arg(dir.join("tar")).arg(path.trim()).status();
        assert!(tar.unwrap().success());
    }

    /// Waits until so many checks of jobs say that they have begun.
    pub fn wait_for_logs(&self, child: &mut Child, count: usize) {
        wait_for(child, "a log says `it has begun`", || {
            let logs = walkdir::WalkDir::new(self.fixture.dir.path()).into_iter().flatten();
            let logs = logs.filter(|entry| entry.file_name() == "log" && entry.file_type().is_file());
            let begun = |log: &Path| fs::read_to_string(log).is_ok_and(|text| text.contains("it has begun"));
            logs.filter(|log| begun(log.path())).count() >= count
        });
    }
}

/// Other people's actions that the workflow comes to, with what they say of their version.
fn uses(root: &Path) -> BTreeSet<(String, String)> {
    let files = ["tool/ci/github", ".github"].into_iter().flat_map(|folder| walkdir::WalkDir::new(root.join(folder)));
    let texts = files.flatten().filter(|entry| entry.file_type().is_file());
    let texts: String = texts.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    let lines = texts.lines().filter_map(|line| line.split_once("uses: ")?.1.split_once(" # "));
    lines.map(|(action, version)| (action.to_owned(), version.to_owned())).collect()
}
