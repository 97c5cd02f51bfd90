//! The programs of `tool/embedded/`: soft IOC, Channel Access tools and simulators. Built on demand, once for each state of
//! their sources: projects with other versions of the tool may share a target folder.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use walkdir::WalkDir;

use tool_base::process::Cmd;
use tool_base::{fail, ui};
use tool_project::Project;
use tool_sandbox::spec::Program;

/// File names of the programs, and their names on a machine.
const PROGRAMS: [(&str, &str); 6] = [
    ("soft-ioc", "soft-ioc"),
    ("psu-simulator", "psu-simulator"),
    ("caget-rs", "caget"),
    ("caput-rs", "caput"),
    ("camonitor-rs", "camonitor"),
    ("cainfo-rs", "cainfo"),
];

/// Whether a machine has this program from `tool/embedded/`.
pub fn has(program: &str) -> bool {
    PROGRAMS.iter().any(|(_, name)| *name == program)
}

/// Until this release, one function that the EPICS crates use was unstable.
const STABLE_SINCE: (u32, u32) = (1, 97);

/// The programs, built if any source has changed. Says what it builds, and why, before that takes its time.
pub fn programs(project: &Project) -> Result<Vec<Program>> {
    let place = Place::of(project);
    if let Some(programs) = place.programs() {
        return Ok(programs);
    }
    let built = build(&place.source, &place.target)?;
    place.keep(&built)?;
    place.programs().context("cargo built the programs of tool/embedded/, and they are not there")
}

/// The programs, where they are there already. Nothing is built.
pub fn built(project: &Project) -> Option<Vec<Program>> {
    Place::of(project).programs()
}

/// Where the programs come from and go to.
struct Place {
    source: PathBuf,
    target: PathBuf,
    /// Name of the sources as they are; none where there are none.
    state: Option<String>,
}

/// For how long programs of other sources are kept: those who share the folder may still use them.
const KEPT: Duration = Duration::from_hours(24 * 30);

impl Place {
    fn of(project: &Project) -> Self {
        let source = project.root.join("tool/embedded");
        Self { state: state(&source), target: project.target.join("embedded"), source }
    }

    /// The folder of the programs; without sources, that of the last build.
    fn folder(&self) -> Option<PathBuf> {
        let last = || std::fs::read_to_string(self.target.join("built")).ok();
        Some(self.target.join(self.state.clone().or_else(last)?.trim()))
    }

    fn programs(&self) -> Option<Vec<Program>> {
        let folder = self.folder()?;
        let program = |(_, name): &(&str, &str)| Program {
            name: (*name).to_owned(),
            path: folder.join(name),
            searches: *name != "psu-simulator",
        };
        let programs: Vec<Program> = PROGRAMS.iter().map(program).collect();
        programs.iter().all(|program| program.path.is_file()).then_some(programs)
    }

    /// Keeps what was built, whole or not at all, and drops what nobody has wanted for long.
    fn keep(&self, built: &[(String, PathBuf)]) -> Result<()> {
        let folder = self.folder().context("tool/embedded/ has no sources")?;
        let part = folder.with_extension(format!("{}.part", std::process::id()));
        std::fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
        for (file, name) in PROGRAMS {
            let (_, path) =
                built.iter().find(|(built, _)| built == file).with_context(|| format!("cargo built no {file}"))?;
            std::fs::copy(path, part.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::rename(&part, &folder).with_context(|| format!("cannot create {}", folder.display()))?;
        std::fs::write(self.target.join("built"), self.state.clone().unwrap_or_default())?;
        for entry in std::fs::read_dir(&self.target)?.flatten() {
            let name = entry.file_name();
            let ours = name.len() >= STATE && name.to_string_lossy().bytes().take(STATE).all(|b| b.is_ascii_hexdigit());
            let old = || entry.metadata().and_then(|m| m.modified()).ok()?.elapsed().ok().filter(|age| *age > KEPT);
            if ours && old().is_some() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

/// Digits of the name of a state.
const STATE: usize = 16;

/// A name for the sources as they are: files that differ give another one. `None` where there are none.
fn state(source: &Path) -> Option<String> {
    // Its keys are fixed, so it is the same tomorrow.
    let mut hasher = DefaultHasher::new();
    let files = WalkDir::new(source).sort_by_file_name().into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        !matches!(&*name, "target" | "tests") && (entry.depth() == 0 || !name.starts_with('.'))
    });
    for entry in files.flatten().filter(|entry| entry.file_type().is_file()) {
        entry.path().strip_prefix(source).ok()?.hash(&mut hasher);
        std::fs::read(entry.path()).ok()?.hash(&mut hasher);
    }
    source.join("Cargo.toml").is_file().then(|| format!("{:0STATE$x}", hasher.finish()))
}

/// What the soft IOC cannot do with this IOC, a line each: `FILE:LINE: what`.
pub fn gaps(project: &Project, programs: &[Program]) -> Result<Vec<String>> {
    const FOUND: i32 = 1;
    let soft_ioc = programs.iter().find(|p| p.name == "soft-ioc").context("there is no soft IOC")?;
    let boot = project.ioc_dir().join("iocBoot").join(&project.config.ioc.ioc);
    if !boot.join("st.cmd").is_file() {
        return Err(fail::config(format!("there is no start-up script {}", boot.join("st.cmd").display()))
            .hint("`app` and `ioc` in ioc.toml name the application and the folder below ioc/iocBoot/")
            .into());
    }
    let check = Cmd::new(&soft_ioc.path).args(["--check", "--app", &project.config.ioc.app, "st.cmd"]).cwd(boot);
    let output = check.output()?;
    match output.status.code() {
        Some(0 | FOUND) => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        _ => Err(fail::host(format!("`{check}` ended with {}", output.status)))
            .context(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// The command that builds the programs.
pub fn build_command(source: &Path, target: &Path, rustc: (u32, u32)) -> Cmd {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // It is for this machine, whatever else is built here.
    let mut cmd = match std::env::var_os("CARGO_BUILD_TARGET") {
        Some(_) => Cmd::new("env").args(["-u", "CARGO_BUILD_TARGET"]).arg(cargo),
        None => Cmd::new(cargo),
    };
    cmd = cmd
        .args(["build", "--locked", "--manifest-path"])
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(["--package", "soft-ioc", "--package", "psu-simulator", "--package", "epics-ca-rs"]);
    for (file, _) in PROGRAMS {
        cmd = cmd.args(["--bin", file]);
    }
    for (key, value) in compiler_env(rustc) {
        cmd = cmd.env(key, value);
    }
    cmd
}

/// Variables that this compiler needs to build `tool/embedded/`.
pub fn compiler_env(rustc: (u32, u32)) -> Vec<(&'static str, String)> {
    if rustc >= STABLE_SINCE {
        return Vec::new();
    }
    // `isolate_most_least_significant_one` was stabilised unchanged in 1.97: the flag only lifts the gate.
    let gate = "-Zcrate-attr=feature(isolate_most_least_significant_one)";
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    vec![("RUSTC_BOOTSTRAP", "1".to_owned()), ("RUSTFLAGS", format!("{flags} {gate}").trim_start().to_owned())]
}

/// Builds, and gives the programs by name: cargo says where it puts them.
fn build(source: &Path, target: &Path) -> Result<Vec<(String, PathBuf)>> {
    let rustc = rustc_version()?;
    let cmd = build_command(source, target, rustc).args(["--message-format", "json-render-diagnostics"]);
    ui::say(&format!(
        "{} the soft IOC, the Channel Access tools and the simulator of tool/embedded/: they stand in for EPICS here.\n\
         This is done once and takes one to two minutes.",
        ui::paint(ui::STRONG, "Building")
    ));
    if rustc < STABLE_SINCE {
        let (major, minor) = rustc;
        ui::say(&format!(
            "Rust {major}.{minor} is older than {}.{}: RUSTC_BOOTSTRAP=1 is set for this build only.",
            STABLE_SINCE.0, STABLE_SINCE.1
        ));
    }
    let output = cmd.to_std().stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| cmd.not_started(&error))?;
    if !output.status.success() {
        return Err(fail::host(format!("the programs of tool/embedded/ could not be built ({})", output.status))
            .hint(format!("see the compiler's messages above; the command was: {cmd}"))
            .into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
}

/// Name and path of a program, out of one of cargo's messages.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}

/// Version of the compiler that cargo will use: major and minor number.
pub fn rustc_version() -> Result<(u32, u32)> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = Cmd::new(rustc).arg("--version").read()?;
    parse_version(&text).with_context(|| format!("cannot read the version of rustc in `{text}`"))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unstable_gate_is_lifted_for_old_compilers_only() {
        let gate = |rustc| build_command(Path::new("embedded"), Path::new("t"), rustc).to_string();
        assert!(gate((1, 95)).contains("RUSTC_BOOTSTRAP=1"));
        assert!(!gate((1, 97)).contains("RUSTC_BOOTSTRAP"));
        assert!(!gate((2, 0)).contains("RUSTC_BOOTSTRAP"));
    }

    #[test]
    fn versions_of_rustc() {
        assert_eq!(parse_version("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert_eq!(parse_version("rustc 1.98.0-nightly"), Some((1, 98)));
        assert_eq!(parse_version("gcc"), None);
    }

    #[test]
    fn other_sources_have_programs_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("embedded"), dir.path().join("target"));
        std::fs::create_dir_all(source.join("src")).unwrap();
        std::fs::create_dir_all(&target).unwrap();
        let place = || Place { source: source.clone(), target: target.clone(), state: state(&source) };
        assert!(place().programs().is_none(), "no sources, never built");
        std::fs::write(source.join("Cargo.toml"), "").unwrap();
        std::fs::write(source.join("src/main.rs"), "one").unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "x").unwrap();
        let built: Vec<_> = PROGRAMS.iter().map(|(file, _)| ((*file).to_owned(), program.clone())).collect();
        place().keep(&built).unwrap();
        let first = place().programs().unwrap();
        std::fs::write(source.join("src/main.rs"), "two").unwrap();
        assert!(place().programs().is_none(), "sources changed");
        place().keep(&built).unwrap();
        assert_ne!(first[0].path, place().programs().unwrap()[0].path);
        std::fs::write(source.join("src/main.rs"), "one").unwrap();
        assert_eq!(first[0].path, place().programs().unwrap()[0].path, "nothing is built again");
        std::fs::remove_file(&first[0].path).unwrap();
        assert!(place().programs().is_none(), "program gone");
    }

    #[test]
    fn cargo_says_where_programs_are() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"soft-ioc"},"executable":"/t/x/debug/soft-ioc"}"#;
        assert_eq!(executable(line), Some(("soft-ioc".to_owned(), "/t/x/debug/soft-ioc".into())));
        assert_eq!(executable(r#"{"reason":"build-finished"}"#), None);
    }
}
