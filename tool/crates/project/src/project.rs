//! The project on disk: its root, the checks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};

use tool_base::fail;
use tool_base::process::quote;

use crate::config::{Config, parse};
use crate::settings::Settings;

/// The project: where it is and what its `ioc.toml` says.
#[derive(Debug, Clone)]
pub struct Project {
    /// Folder of the top-level `Cargo.toml`.
    pub root: PathBuf,
    /// Folder for everything that is generated; cargo's own target folder.
    pub target: PathBuf,
    /// What `ioc.toml` says.
    pub config: Config,
}

/// One check: `checks/NAME.py`, `checks/NAME.nix`, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// Name of its files.
    pub name: String,
    /// Its test script, if there is one.
    pub script: Option<PathBuf>,
    /// Its NixOS test, if there is one.
    pub nix: Option<PathBuf>,
    /// What checks/NAME.toml says, once somebody has asked. Copies of a check share it.
    pub settings: Arc<OnceLock<Settings>>,
}

impl Check {
    /// What checks/NAME.toml says; the file is read once.
    pub fn settings(&self) -> Result<&Settings> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let file = self.script.as_ref().or(self.nix.as_ref()).map(|path| path.with_extension("toml"));
        let settings = file.map_or_else(|| Ok(Settings::default()), |file| Settings::load(&self.name, &file))?;
        Ok(self.settings.get_or_init(|| settings))
    }

    /// The test script; an error where there is none.
    pub fn script(&self) -> Result<&Path> {
        self.script.as_deref().ok_or_else(|| {
            let name = &self.name;
            fail::config(format!("check `{name}` has checks/{name}.nix but no test script checks/{name}.py"))
                .hint(format!(
                    "write checks/{name}.py, and read it in checks/{name}.nix; or, where Nix is, give checks/{name}.toml \
                     the line services = \"nixos\""
                ))
                .into()
        })
    }
}

impl Project {
    /// The folder of the project that this `xtask` belongs to.
    pub fn find() -> Result<PathBuf> {
        // `cargo run` sets the variable, so that a moved checkout is found too.
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(xtask) => Path::new(&xtask).parent().context("xtask's manifest has no parent folder")?.to_owned(),
            None => std::env::current_dir().context("the current folder cannot be read")?,
        };
        Ok(start.ancestors().find(|dir| is_root(dir)).unwrap_or(&start).to_owned())
    }

    /// Finds the project that this `xtask` belongs to and reads its `ioc.toml`.
    pub fn load() -> Result<Self> {
        let root = Self::find()?;
        if !is_root(&root) {
            let what =
                format!("there is no project here: neither {} nor a folder above it has ioc.toml", root.display());
            return Err(fail::config(what).hint("cd to your checkout of the template, and try again").into());
        }
        // What we tell our own processes, Python and Nix is JSON.
        let target = target_dir(&root)?;
        if let Some(path) = [&root, &target].into_iter().find(|path| path.to_str().is_none()) {
            return Err(fail::config(format!("the path {} is not UTF-8", path.display()))
                .hint("give the folder another name: mv checkout* my-ioc")
                .into());
        }
        crate::change::finish(&root)?;
        let path = root.join("ioc.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            fail::config(format!("{}: {e}", path.display()))
                .hint(format!("restore the file: git -C {} checkout -- ioc.toml", quote(root.as_os_str())))
        })?;
        let project = Self { config: parse(&text)?, target, root };
        project.tool("")?;
        Ok(project)
    }

    /// A part of `tool/`, which must be there.
    pub fn tool(&self, part: &str) -> Result<PathBuf> {
        let path = Path::new("tool").join(part);
        let full = self.root.join(&path);
        if full.exists() {
            return Ok(full);
        }
        let root = &self.root;
        Err(fail::config(format!("{} is missing in {}: the tool is not whole", path.display(), root.display()))
            .hint(format!("git -C {} checkout -- tool", quote(root.as_os_str())))
            .into())
    }

    /// The EPICS top.
    pub fn ioc_dir(&self) -> PathBuf {
        self.root.join("ioc")
    }

    /// Folder of the modules that test scripts may import, if there is one.
    pub fn lib(&self) -> Option<PathBuf> {
        Some(self.root.join("checks/lib")).filter(|lib| lib.is_dir())
    }

    /// The modules that test scripts may import.
    pub fn helpers(&self) -> Result<Vec<PathBuf>> {
        let Some(lib) = self.lib() else { return Ok(Vec::new()) };
        let mut helpers = Vec::new();
        for entry in walkdir::WalkDir::new(lib).sort_by_file_name() {
            let path = entry.context("cannot list the folder checks/lib/")?.into_path();
            if path.extension().is_some_and(|kind| kind == "py") && path.is_file() {
                helpers.push(path);
            }
        }
        Ok(helpers)
    }

    /// All checks, by name.
    pub fn checks(&self) -> Result<Vec<Check>> {
        let mut checks: BTreeMap<String, Check> = BTreeMap::new();
        let folder = self.root.join("checks");
        // Git keeps no empty folder.
        if !folder.try_exists().unwrap_or(true) {
            return Ok(Vec::new());
        }
        for entry in walkdir::WalkDir::new(folder).min_depth(1).max_depth(1) {
            let entry = entry.context("cannot list the folder checks/")?;
            let path = entry.into_path();
            let Some(kind) = path.extension().and_then(|s| s.to_str()).filter(|kind| matches!(*kind, "py" | "nix"))
            else {
                continue;
            };
            let Some(name) = path.file_stem().and_then(|s| s.to_str()) else {
                return Err(fail::config(format!("{} has a name that is not UTF-8", path.display()))
                    .hint(format!("give it another one: git mv checks/*.{kind} checks/better-name.{kind}"))
                    .into());
            };
            if name.starts_with('.') {
                continue;
            }
            let check =
                checks.entry(name.to_owned()).or_insert_with(|| Check { name: name.to_owned(), ..Check::default() });
            if kind == "py" {
                check.script = Some(path);
            } else {
                check.nix = Some(path);
            }
        }
        Ok(checks.into_values().collect())
    }
}

/// Either: where one is missing, another project around this one is not what is meant.
fn is_root(dir: &Path) -> bool {
    dir.join("ioc.toml").is_file() || dir.join("tool").is_dir()
}

/// Cargo's target folder: what `CARGO_TARGET_DIR` says, else where cargo put this program.
fn target_dir(root: &Path) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        return std::path::absolute(dir).context("CARGO_TARGET_DIR");
    }
    let exe = std::env::current_exe().context("cannot tell where the running program lies")?;
    let profile = exe.ancestors().find(|dir| dir.join(".fingerprint").is_dir());
    Ok(profile.and_then(Path::parent).map_or_else(|| root.join("target"), Path::to_owned))
}
