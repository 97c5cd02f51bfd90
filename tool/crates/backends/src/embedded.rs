//! The programs of `tool/embedded/`: soft IOC, Channel Access tools and simulators. Built on demand, once.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    let source = project.root.join("tool/embedded");
    let target = project.target.join("embedded");
    let stamp = target.join("built");
    if !up_to_date(&source, &stamp) {
        build(&source, &target)?;
        std::fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(list(&target))
}

/// The programs, where they are there already. Nothing is built.
pub fn built(project: &Project) -> Option<Vec<Program>> {
    let target = project.target.join("embedded");
    up_to_date(&project.root.join("tool/embedded"), &target.join("built")).then(|| list(&target))
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
    let mut cmd = Cmd::new(cargo)
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

fn build(source: &Path, target: &Path) -> Result<()> {
    let rustc = rustc_version()?;
    let cmd = build_command(source, target, rustc);
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
    let status = cmd.status()?;
    if !status.success() {
        return Err(fail::host(format!("the programs of tool/embedded/ could not be built ({status})"))
            .hint(format!("see the compiler's messages above; the command was: {cmd}"))
            .into());
    }
    Ok(())
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

fn list(target: &Path) -> Vec<Program> {
    let dir = target.join("debug");
    PROGRAMS.iter().map(|(file, name)| Program { name: (*name).to_owned(), path: dir.join(file) }).collect()
}

/// Whether all programs exist and nothing in `source` is newer than the stamp.
fn up_to_date(source: &Path, stamp: &Path) -> bool {
    let Some(built) = modified(stamp) else { return false };
    let target = stamp.parent().map_or_else(PathBuf::new, Path::to_owned);
    if list(&target).iter().any(|program| !program.path.is_file()) {
        return false;
    }
    WalkDir::new(source)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != "target" && entry.file_name() != "tests")
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .all(|entry| modified(entry.path()).is_some_and(|time| time <= built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
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
    fn a_newer_source_asks_for_a_build() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("embedded"), dir.path().join("target"));
        std::fs::create_dir_all(source.join("src")).unwrap();
        std::fs::create_dir_all(target.join("debug")).unwrap();
        let stamp = target.join("built");
        for program in list(&target) {
            std::fs::write(program.path, "").unwrap();
        }
        let main = source.join("src/main.rs");
        std::fs::write(&main, "").unwrap();
        assert!(!up_to_date(&source, &stamp), "never built");
        std::fs::write(&stamp, "").unwrap();
        assert!(up_to_date(&source, &stamp));
        let later = SystemTime::now() + std::time::Duration::from_mins(1);
        std::fs::File::options().write(true).open(&main).unwrap().set_modified(later).unwrap();
        assert!(!up_to_date(&source, &stamp), "source changed");
        std::fs::File::options().write(true).open(&stamp).unwrap().set_modified(later).unwrap();
        assert!(up_to_date(&source, &stamp));
        std::fs::remove_file(&list(&target)[0].path).unwrap();
        assert!(!up_to_date(&source, &stamp), "program gone");
    }
}
