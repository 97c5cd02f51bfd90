//! The programs of `tool/embedded/`: soft IOC, Channel Access tools and simulators. Built on demand, once for each state of
//! their sources, compiler and flags: projects with other versions of the tool may share a target folder. Another clone finds them in
//! the user's cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use walkdir::WalkDir;

use tool_base::host::Host;
use tool_base::process::Cmd;
use tool_base::{fail, ui};
use tool_project::{Config, Project};
use tool_sandbox::spec::Program;

use crate::cache::{self, Cache};

/// File names of the programs, and their names on a machine.
const PROGRAMS: [(&str, &str); 6] = [
    ("soft-ioc", "soft-ioc"),
    ("psu-simulator", "psu-simulator"),
    ("caget-rs", "caget"),
    ("caput-rs", "caput"),
    ("camonitor-rs", "camonitor"),
    ("cainfo-rs", "cainfo"),
];

/// Those of PV Access, for projects that have it.
const PV_ACCESS: [(&str, &str); 4] =
    [("pvget-rs", "pvget"), ("pvput-rs", "pvput"), ("pvmonitor-rs", "pvmonitor"), ("pvinfo-rs", "pvinfo")];

/// All programs, with or without PV Access.
fn all(pva: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAMS.into_iter().chain(PV_ACCESS.into_iter().filter(move |_| pva))
}

/// Names of the programs of a project, on the host and on a machine.
pub fn all_of(config: &Config) -> impl Iterator<Item = (&'static str, &'static str)> {
    all(pva(config))
}

/// Whether an IOC has the support module PVXS.
fn pva(config: &Config) -> bool {
    config.iocs.values().flat_map(|ioc| &ioc.support).any(|module| module == "pvxs")
}

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
        place.note()?;
        place.folder().iter().for_each(|folder| cache::used(folder));
        return Ok(programs);
    }
    let cache = Cache::of(&Host::new(Path::new("/")));
    if !place.take(cache.as_ref()) {
        let built = build(&place.source, &place.target, place.pva)?;
        place.keep(&built)?;
        let kept = cache.zip(place.state.as_ref()).map(|(cache, key)| cache.keep(key, &place.target.join(key)));
        if let Some(Err(error)) = kept {
            ui::remark(&format!("the programs are not kept for other clones: {error:#}"));
        }
    }
    place.programs().context("cargo built the programs of tool/embedded/, and they are not there")
}

/// The programs, where they are there already. Nothing is built.
pub fn built(project: &Project) -> Option<Vec<Program>> {
    Place::of(project).programs()
}

/// What `doctor` says of the programs that are kept for other clones.
pub fn cache() -> Option<String> {
    Cache::of(&Host::new(Path::new("/"))).map(|cache| cache.told())
}

/// Where the programs come from and go to.
struct Place {
    source: PathBuf,
    target: PathBuf,
    /// Name of the sources as they are and what builds them; none where there are none.
    state: Option<String>,
    /// With PV Access: the IOC has the support module PVXS.
    pva: bool,
}

/// For how long programs of other sources are kept: those who share the folder may still use them.
const KEPT: Duration = Duration::from_hours(24 * 30);

impl Place {
    fn of(project: &Project) -> Self {
        let source = project.root.join("tool/embedded");
        let pva = pva(&project.config);
        let mut place = Self { state: sources(&source), target: project.target.join("embedded"), source, pva };
        place.state = match (place.state.take(), compiler(), place.last()) {
            (Some(sources), Ok(compiler), _) => {
                Some(format!("{sources}-{}", tools(&compiler, &Host::new(Path::new("/")), pva)))
            }
            // Without a compiler nothing can be built, and what was built of these sources is as good as ever.
            (Some(sources), Err(_), Some(last)) if last.starts_with(&sources) => Some(last),
            (sources, ..) => sources,
        };
        place
    }

    /// What was built or wanted last.
    fn last(&self) -> Option<String> {
        std::fs::read_to_string(self.target.join("built")).ok().map(|name| name.trim().to_owned())
    }

    /// The folder of the programs; without sources, that of the last build.
    fn folder(&self) -> Option<PathBuf> {
        Some(self.target.join(self.state.clone().or_else(|| self.last())?))
    }

    /// Takes the programs out of the cache: whether they were there.
    fn take(&self, cache: Option<&Cache>) -> bool {
        let (Some(cache), Some(folder), Some(key)) = (cache, self.folder(), &self.state) else { return false };
        let part = part(&folder);
        match cache.take(key, &part).map(|there| there && self.put(&part, &folder).is_ok()) {
            Ok(true) => {
                ui::remark("The soft IOC and its tools: those that another clone of the same sources has built");
            }
            Ok(false) => {}
            Err(error) => ui::remark(&format!("{error:#}")),
        }
        self.programs().is_some()
    }

    fn programs(&self) -> Option<Vec<Program>> {
        let folder = self.folder()?;
        let program = |(_, name): (&str, &str)| Program {
            name: name.to_owned(),
            path: folder.join(name),
            searches: name != "psu-simulator",
        };
        let programs: Vec<Program> = all(self.pva).map(program).collect();
        programs.iter().all(|program| program.path.is_file()).then_some(programs)
    }

    /// Keeps what was built, and drops what nobody has wanted for long.
    fn keep(&self, built: &[(String, PathBuf)]) -> Result<()> {
        let folder = self.folder().context("tool/embedded/ has no sources")?;
        let part = part(&folder);
        std::fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
        for (file, name) in all(self.pva) {
            let (_, path) =
                built.iter().find(|(built, _)| built == file).with_context(|| format!("cargo built no {file}"))?;
            std::fs::copy(path, part.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        self.put(&part, &folder)?;
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

    /// Puts a folder of programs in its place, whole or not at all.
    fn put(&self, part: &Path, folder: &Path) -> Result<()> {
        // Another build of the same sources may have been quicker, and its programs run already.
        if self.programs().is_some() {
            let _ = std::fs::remove_dir_all(part);
        } else {
            let _ = std::fs::remove_dir_all(folder);
            std::fs::rename(part, folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        self.note()
    }

    /// Notes whose programs these are, for a project without sources: those that it would take else may be of an edit that is undone.
    fn note(&self) -> Result<()> {
        match &self.state {
            Some(state) if self.last().as_ref() != Some(state) => Ok(std::fs::write(self.target.join("built"), state)?),
            _ => Ok(()),
        }
    }
}

/// Where a folder is made before it is put in its place.
fn part(folder: &Path) -> PathBuf {
    folder.with_extension(format!("{}.part", std::process::id()))
}

/// Digits of a hash.
const STATE: usize = 16;

/// A name for what builds the programs, and for the system whose libraries they need: homes are shared.
fn tools(compiler: &str, host: &Host, pva: bool) -> String {
    let release = host.read("/etc/os-release").unwrap_or_default();
    let system = release.lines().filter(|line| line.starts_with("ID=") || line.starts_with("VERSION_ID="));
    let mut hasher = DefaultHasher::new();
    (compiler, compiler_env(version(compiler).unwrap_or_default()), system.collect::<Vec<_>>(), pva).hash(&mut hasher);
    format!("{:0STATE$x}", hasher.finish())
}

/// A name for the sources as they are: files that differ give another one. `None` where there are none.
fn sources(source: &Path) -> Option<String> {
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
    let mut gaps = Vec::new();
    for (name, ioc) in &project.config.iocs {
        let boot = ioc.boot(&project.ioc_dir());
        let script = boot.join(&ioc.script);
        if !script.is_file() {
            return Err(fail::config(format!("there is no start-up script {}", script.display()))
                .hint("`app` and `ioc` in ioc.toml name the application and the folder below ioc/iocBoot/")
                .into());
        }
        let check = Cmd::new(&soft_ioc.path).args(["--check", "--app", &ioc.app, &ioc.script]).cwd(boot);
        let environment = project.config.environment(name, ioc, true);
        let check = environment.iter().fold(check, |check, (name, value)| check.env(name, value));
        let output = check.output()?;
        match output.status.code() {
            Some(0 | FOUND) => gaps.extend(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned)),
            _ => {
                return Err(fail::host(format!("`{check}` ended with {}", output.status)))
                    .context(String::from_utf8_lossy(&output.stderr).trim().to_owned());
            }
        }
    }
    gaps.sort();
    gaps.dedup();
    Ok(gaps)
}

/// The command that builds the programs.
pub fn build_command(source: &Path, target: &Path, rustc: (u32, u32), pva: bool) -> Cmd {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cmd = Cmd::new("env").args(["-u", "CARGO_BUILD_TARGET"]).arg(cargo);
    cmd = cmd
        .args(["build", "--locked", "--manifest-path"])
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(["--package", "soft-ioc", "--package", "psu-simulator", "--package", "epics-ca-rs"]);
    if pva {
        cmd = cmd.args(["--package", "epics-pva-rs", "--features", "pva"]);
    }
    for (file, _) in all(pva) {
        cmd = cmd.args(["--bin", file]);
    }
    for (key, value) in compiler_env(rustc) {
        cmd = cmd.env(key, value);
    }
    cmd
}

/// Lifts the gate of `isolate_most_least_significant_one`, which was stabilised unchanged in 1.97.
const GATE: &str = "-Zcrate-attr=feature(isolate_most_least_significant_one)";

/// Arguments that name this platform where cargo's settings name another one for all builds here. Elsewhere it is not named: then
/// build scripts and programs share what they are made of.
fn platform(compiler: &str, rustc: (u32, u32), mut folders: impl Iterator<Item = PathBuf>) -> Vec<String> {
    let named = |file: PathBuf| {
        let settings: toml::Table = std::fs::read_to_string(file).ok()?.parse().ok()?;
        settings.get("build")?.get("target").cloned()
    };
    let named =
        folders.find_map(|folder| ["config.toml", "config"].into_iter().find_map(|name| named(folder.join(name))));
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: "));
    let Some(host) = named.and(host) else { return Vec::new() };
    let mut args = vec!["--target".to_owned(), host.to_owned()];
    if rustc < STABLE_SINCE {
        // Where a platform is named, flags are for the programs only.
        args.extend(
            ["-Zhost-config", "-Ztarget-applies-to-host", "--config", "target-applies-to-host=false"].map(Into::into),
        );
        args.extend(["--config".to_owned(), format!("host.rustflags=['{GATE}']")]);
    }
    args
}

/// The folders of cargo's settings here.
fn settings() -> impl Iterator<Item = PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors().map(|folder| folder.join(".cargo")).chain(home).collect::<Vec<_>>().into_iter()
}

/// Variables for the compiler of `tool/embedded/`: what it needs, and nothing that the user has set for other programs, be it in the
/// environment or in cargo's files.
pub fn compiler_env(rustc: (u32, u32)) -> Vec<(&'static str, &'static str)> {
    const FLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
    let deaf = [("RUSTC_WRAPPER", ""), ("RUSTC_WORKSPACE_WRAPPER", "")];
    let own: &[_] = if rustc < STABLE_SINCE { &[("RUSTC_BOOTSTRAP", "1"), (FLAGS, GATE)] } else { &[(FLAGS, "")] };
    [&deaf, own].concat()
}

/// Builds, and gives the programs by name: cargo says where it puts them.
fn build(source: &Path, target: &Path, pva: bool) -> Result<Vec<(String, PathBuf)>> {
    let compiler = compiler()?;
    let rustc = version(&compiler)?;
    let cmd = build_command(source, target, rustc, pva)
        .args(platform(&compiler, rustc, settings()))
        .args(["--message-format", "json-render-diagnostics"]);
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
    version(&compiler()?)
}

/// What the compiler that cargo will use says of itself.
fn compiler() -> Result<String> {
    // A run asks twice, and rustup's `rustc` looks for the real one each time.
    static SAID: OnceLock<String> = OnceLock::new();
    if let Some(said) = SAID.get() {
        return Ok(said.clone());
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Cmd::new(rustc).arg("-vV").read()?;
    Ok(SAID.get_or_init(|| said).clone())
}

fn version(compiler: &str) -> Result<(u32, u32)> {
    parse_version(compiler).with_context(|| format!("cannot read the version of rustc in `{compiler}`"))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests;
