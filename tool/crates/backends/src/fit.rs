//! Whether what the checks ask for can be there: a look at the files that needs no machine, and no Nix.

use anyhow::Result;

use crate::{faults, path};
use tool_project::settings::Services;
use tool_project::{Check, Project};

/// An error where a check asks for what ioc.toml does not have, or for what a machine cannot have, here or on NixOS.
pub fn all(project: &Project, checks: &[Check]) -> Result<()> {
    path::stays(project, "checks/lib")?;
    checks.iter().try_for_each(|check| one(project, check))
}

fn one(project: &Project, check: &Check) -> Result<()> {
    let settings = check.settings()?;
    settings.fit(&check.name, &project.config)?;
    faults::fit(&check.name, settings, &project.config)?;
    if settings.services == Services::IocToml {
        path::programs(project, Some(check))?;
    }
    Ok(())
}
