//! How checks are run: chooses a backend; each has a file of its own.

pub mod sandbox;

use anyhow::Result;

use crate::cli::{BackendChoice, MachineOptions};
use crate::fail;
use crate::project::{Project, nearest};
use crate::runner::Backend;

/// Names of the backends, as `ioc.toml` and `--backend` spell them.
const NAMES: [(&str, BackendChoice); 2] = [("auto", BackendChoice::Auto), ("sandbox", BackendChoice::Sandbox)];

/// Settles the backend: command line or variable, then `ioc.toml`, then what the host can do.
pub fn choose(project: &Project, options: &MachineOptions) -> Result<BackendChoice> {
    let Some(name) = &project.config.backend else {
        return Ok(options.backend.unwrap_or(BackendChoice::Auto));
    };
    let known = NAMES.map(|(name, _)| name);
    match (options.backend, NAMES.iter().find(|(known, _)| known == name)) {
        (Some(choice), Some(_)) | (None, Some(&(_, choice))) => Ok(choice),
        (_, None) => {
            let failure = fail::config(format!("ioc.toml: unknown backend `{name}`"));
            Err(failure.hint(format!("did you mean `{}`?", nearest(name, &known).unwrap_or("auto"))).into())
        }
    }
}

/// Makes the backend of a `test` command ready, and says on one line what will run.
pub fn prepare(project: &Project, options: &MachineOptions, timeout: Option<u64>) -> Result<Box<dyn Backend>> {
    match choose(project, options)? {
        BackendChoice::Auto | BackendChoice::Sandbox => {
            Ok(Box::new(sandbox::Sandbox::prepare(project, options, timeout)?))
        }
    }
}
