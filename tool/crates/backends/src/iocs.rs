//! Which build of the IOC a sandbox machine runs.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use walkdir::WalkDir;

use crate::options::IocChoice;
use tool_base::fail;
use tool_project::Project;

/// A build of the IOC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IocBuild {
    /// The soft IOC of `tool/embedded/`, on the files of `ioc/`.
    Embedded,
    /// Made by `make`: the executable below `ioc/bin/`.
    Make(PathBuf),
    /// Built by Nix: the folder that `result` points to, and the executable in it.
    Nix(PathBuf, PathBuf),
}

/// What was found of other builds than the embedded one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    nix: Option<(PathBuf, PathBuf)>,
    make: Option<PathBuf>,
}

/// Looks for builds of the IOC.
pub fn find(project: &Project) -> Found {
    let app = &project.config.ioc.app;
    let result = project.root.join("result").canonicalize().ok();
    Found {
        nix: result.and_then(|top| executable(&top, app).map(|exe| (top, exe))),
        make: executable(&project.ioc_dir(), app),
    }
}

/// Chooses among what was found.
pub fn choose(choice: IocChoice, found: Found) -> Result<IocBuild> {
    match (choice, found) {
        (IocChoice::Auto | IocChoice::Nix, Found { nix: Some((top, exe)), .. }) => Ok(IocBuild::Nix(top, exe)),
        (IocChoice::Auto | IocChoice::Make, Found { make: Some(exe), .. }) => Ok(IocBuild::Make(exe)),
        (IocChoice::Auto | IocChoice::Embedded, _) => Ok(IocBuild::Embedded),
        (IocChoice::Nix, _) => Err(fail::host("there is no IOC in result/").hint("build it: nix build").into()),
        (IocChoice::Make, _) => {
            Err(fail::host("there is no IOC in ioc/bin/").hint("build it: EPICS_BASE=/path/to/base make -C ioc").into())
        }
    }
}

/// `TOP/bin/ARCH/APP`, for whichever architecture it was built.
fn executable(top: &Path, app: &str) -> Option<PathBuf> {
    let entries = WalkDir::new(top.join("bin")).min_depth(2).max_depth(2).sort_by_file_name();
    entries.into_iter().flatten().find(|e| e.file_name() == app && e.path().is_file()).map(walkdir::DirEntry::into_path)
}

/// Folders of EPICS base and support modules that an IOC was made with: `make` writes them to `envPaths`.
pub fn release_paths(boot: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(boot.join("envPaths")).unwrap_or_default();
    let mut paths = absolute_values(&text);
    paths.retain(|path| path.is_dir());
    paths.sort();
    paths.dedup();
    paths
}

/// Values of `epicsEnvSet("NAME","/absolute/path")`.
fn absolute_values(text: &str) -> Vec<PathBuf> {
    let value = |line: &str| {
        let path = PathBuf::from(line.trim().strip_prefix("epicsEnvSet(")?.split('"').nth(3)?);
        path.is_absolute().then_some(path)
    };
    text.lines().filter_map(value).collect()
}

impl fmt::Display for IocBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("the embedded soft IOC"),
            Self::Make(_) => f.write_str("the IOC that make built in ioc/"),
            Self::Nix(..) => f.write_str("the IOC that Nix built in result/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_build_at_hand_is_chosen() {
        let made = PathBuf::from("/p/ioc/bin/linux-x86_64/example");
        let nix = (PathBuf::from("/nix/store/x"), PathBuf::from("/nix/store/x/bin/linux-x86_64/example"));
        let all = Found { nix: Some(nix.clone()), make: Some(made.clone()) };
        let auto = |found| choose(IocChoice::Auto, found).unwrap();
        assert_eq!(auto(all.clone()), IocBuild::Nix(nix.0, nix.1));
        assert_eq!(auto(Found { nix: None, ..all.clone() }), IocBuild::Make(made.clone()));
        assert_eq!(auto(Found::default()), IocBuild::Embedded);
        assert_eq!(choose(IocChoice::Make, all.clone()).unwrap(), IocBuild::Make(made));
        assert_eq!(choose(IocChoice::Embedded, all).unwrap(), IocBuild::Embedded);
        let error = choose(IocChoice::Nix, Found::default()).unwrap_err();
        assert_eq!(fail::render(&error), "error: there is no IOC in result/\n\nhint: build it: nix build");
    }

    #[test]
    fn paths_that_make_wrote_down() {
        let text = "epicsEnvSet(\"IOC\",\"iocExample\")\nepicsEnvSet(\"TOP\",\"/p/ioc\")\nepicsEnvSet(\"ASYN\",\"/opt/asyn\")\n";
        assert_eq!(absolute_values(text), [PathBuf::from("/p/ioc"), PathBuf::from("/opt/asyn")]);
    }

    #[test]
    fn executables_are_found_in_any_architecture() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(executable(dir.path(), "example"), None);
        let bin = dir.path().join("bin/linux-aarch64");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("example"), "").unwrap();
        assert_eq!(executable(dir.path(), "example"), Some(bin.join("example")));
    }
}
