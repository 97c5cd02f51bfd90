//! Python packages for the programs on a machine, as `python` in ioc.toml names them: a venv of the Python that machines
//! see, kept in the target folder. Scripts run outside of machines, and have none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::path;
use tool_base::process::{Cmd, quote};
use tool_base::{fail, ui};
use tool_project::{Check, Project};
use tool_sandbox::spec::{Bind, Program};

/// Folders of the host's programs that a machine has.
const FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// What a venv has for its own use.
const OF_THE_VENV: [&str; 4] = ["activate", "Activate", "pip", "easy_install"];

/// The packages that a machine has.
#[derive(Debug, Clone)]
pub struct Packages {
    venv: PathBuf,
}

impl Packages {
    /// Those of a project, and of a check beside them, installed where they are not yet; `None` where none is named.
    pub fn provide(project: &Project, more: &[String]) -> Result<Option<Self>> {
        let names: BTreeSet<&str> = project.config.python.iter().chain(more).map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        if names.is_empty() {
            return Ok(None);
        }
        let python = FOLDERS.iter().map(|folder| Path::new(folder).join("python3")).find(|path| path.exists());
        let python = python.ok_or_else(|| {
            fail::host(format!("there is no python3 that machines see, for what `python` names: {}", names.join(", ")))
                .hint("sudo apt-get install python3 python3-venv")
        })?;
        let version =
            Cmd::new(&python).args(["-S", "-c", "import platform; print(platform.python_version())"]).read()?;
        // Another set of packages or another Python is another folder.
        let folder = project.target.join("python").join(version.trim()).join(names.join("/"));
        let packages = Self { venv: folder.join("=venv") };
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // Another run may be at it. Another user is not to be: who may read a file may lock it, for ever.
        let lock =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(folder.join("=lock"))?;
        lock.set_permissions(fs::Permissions::from_mode(0o600))?;
        lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
        // Its programs name their folder: a project that was moved needs another one.
        if fs::read(packages.done()).ok().as_deref() != Some(packages.venv.as_os_str().as_bytes()) {
            ui::remark(&format!("Python packages for machines: {}", names.join(", ")));
            packages.install(&python, &names)?;
        }
        Ok(Some(packages))
    }

    /// A folder whose `bin` is for a machine.
    pub fn tools(&self) -> PathBuf {
        self.venv.join("tools")
    }

    /// What a machine must see of the host.
    pub fn bind(&self) -> Bind {
        Bind { source: self.venv.clone(), target: self.venv.clone() }
    }

    /// There once all is.
    fn done(&self) -> PathBuf {
        self.venv.join("done")
    }

    fn install(&self, python: &Path, names: &[&str]) -> Result<()> {
        let _ = fs::remove_dir_all(&self.venv);
        let venv = Cmd::new(python).args(["-m", "venv"]).arg(&self.venv);
        ran(&venv, "Python cannot make a venv for what `python` names", "sudo apt-get install python3-venv")?;
        let pip = Cmd::new(self.venv.join("bin/python3"))
            .args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"])
            .args(names);
        let what = format!("pip cannot install what `python` names: {}", names.join(", "));
        ran(&pip, &what, "see that the names are those of PyPI, and that pip reaches it or what PIP_INDEX_URL names")?;
        let bin = self.tools().join("bin");
        fs::create_dir_all(&bin)?;
        for entry in fs::read_dir(self.venv.join("bin"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if OF_THE_VENV.iter().any(|own| name.starts_with(own)) {
                continue;
            }
            if name.starts_with("python") {
                // A link to it would be the Python of the host, without the packages.
                let program = bin.join(&name);
                fs::write(&program, format!("#!/bin/sh\nexec {} \"$@\"\n", quote(entry.path().as_os_str())))?;
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
            } else {
                symlink(entry.path(), bin.join(&name))?;
            }
        }
        fs::write(self.done(), self.venv.as_os_str().as_bytes())?;
        Ok(())
    }
}

/// Runs a command that must succeed; the error has what it said last.
fn ran(command: &Cmd, what: &str, hint: &str) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join("\n  ");
    Err(fail::host(format!("{what}\n  {last}")).hint(hint).into())
}

/// What programs have on the machines of a check: `python` and `path` of ioc.toml and checks/NAME.toml.
#[derive(Debug, Clone, Default)]
pub struct Provided {
    pub packages: Option<Packages>,
    pub programs: Vec<Program>,
}

/// Provides it for some checks, by name.
pub fn provide<'a>(project: &Project, checks: impl Iterator<Item = &'a Check>) -> Result<BTreeMap<String, Provided>> {
    let of_check = |check: &Check| {
        let programs = path::programs(project, Some(check))?;
        let packages = Packages::provide(project, &check.settings()?.python)?;
        Ok((check.name.clone(), Provided { packages, programs }))
    };
    checks.map(of_check).collect()
}
