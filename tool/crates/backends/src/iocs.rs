//! Which build of the IOC a sandbox machine runs.

pub mod build;
pub mod release;
pub mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::Result;

use crate::options::IocChoice;
use build::Base;
use state::State;
use tool_base::{fail, ui};
use tool_project::Project;

/// A build of the IOC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IocBuild {
    /// The soft IOC of `tool/embedded/`, on the files of `ioc/`.
    Embedded,
    /// Made by `make`: the executables below `ioc/bin/`.
    Make(Programs),
    /// Built by Nix: the folder that `result` points to, and the executables in it.
    Nix(PathBuf, Programs),
}

/// Executables of IOCs by application.
pub type Programs = BTreeMap<String, PathBuf>;

/// Chooses the build that runs: the one that was asked for, else the best at hand. What `make` built of other sources is built
/// again first.
///
/// # Errors
/// A build that is not there was asked for; one that is there is not of the files as they are, and cannot be built again.
pub fn choose(project: &Project, choice: IocChoice) -> Result<IocBuild> {
    if matches!(choice, IocChoice::Auto | IocChoice::Nix) {
        match state::nix(project) {
            State::Current(built) => return Ok(built),
            State::Stale(why) => return Err(stale("result/", &why, "cargo xtask build")),
            State::Missing(why) if choice == IocChoice::Nix => return Err(absent(&why, "nix build")),
            State::Missing(_) => {}
        }
    }
    if matches!(choice, IocChoice::Auto | IocChoice::Make) {
        const BY_HAND: &str = "EPICS_BASE=/path/to/base make -C ioc";
        match (state::made(project), Base::find(project)) {
            (State::Current(built), _) => return Ok(built),
            (State::Stale(why), Some(base)) => {
                ui::say(&format!("{} the IOC by make again ({why})", ui::paint(ui::STRONG, "Building")));
                return Ok(IocBuild::Make(build::by_make(project, &base, false)?));
            }
            (State::Stale(why), None) => return Err(stale("ioc/bin/", &why, BY_HAND)),
            (State::Missing(why), _) if choice == IocChoice::Make => return Err(absent(&why, BY_HAND)),
            (State::Missing(_), _) => {}
        }
    }
    Ok(IocBuild::Embedded)
}

fn stale(place: &str, why: &str, again: &str) -> anyhow::Error {
    fail::host(format!("the IOC in {place} is not of the files as they are: {why}"))
        .hint(format!("build it again: {again}; or run another one: --ioc embedded"))
        .into()
}

fn absent(why: &str, command: &str) -> anyhow::Error {
    fail::host(why).hint(format!("build it: {command}")).into()
}

/// How the builds stand that are there, for people.
pub fn tell(project: &Project) -> Vec<Result<String, String>> {
    let tell = |state| match state {
        State::Missing(_) => None,
        State::Current(built) => Some(Ok(built.to_string())),
        State::Stale(why) => Some(Err(why)),
    };
    [state::nix(project), state::made(project)].into_iter().filter_map(tell).collect()
}

/// Folders of EPICS base and support modules that IOCs were made with: `make` writes them to `envPaths` in boot folders.
pub fn release_paths(boots: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let text = |boot: PathBuf| std::fs::read_to_string(boot.join("envPaths")).unwrap_or_default();
    let mut paths: Vec<PathBuf> = boots.flat_map(|boot| absolute_values(&text(boot))).collect();
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
    fn paths_that_make_wrote_down() {
        let text = "epicsEnvSet(\"IOC\",\"iocExample\")\nepicsEnvSet(\"TOP\",\"/p/ioc\")\nepicsEnvSet(\"ASYN\",\"/opt/asyn\")\n";
        assert_eq!(absolute_values(text), [PathBuf::from("/p/ioc"), PathBuf::from("/opt/asyn")]);
    }
}
