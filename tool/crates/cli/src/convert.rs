//! From what the command line says to what the crates below take.

use tool_backends::options;
use tool_host::kvm;
use tool_project::{Choice, Project};
use tool_runner::select;

use crate::cli;

/// The same names on both sides.
macro_rules! same {
    ($($from:path => $to:path { $($name:ident)* })*) => {
        $(impl From<$from> for $to {
            fn from(value: $from) -> Self {
                match value {
                    $(<$from>::$name => Self::$name,)*
                }
            }
        })*
    };
}

same! {
    cli::IocChoice => options::IocChoice { Auto Nix Make Embedded }
    cli::Accel => options::Accel { Kvm Tcg }
    cli::For => kvm::For { User Builders }
}

impl From<&cli::NixOptions> for options::NixOptions {
    fn from(given: &cli::NixOptions) -> Self {
        let cli::NixOptions { track, accel, system, builders, store, offline, args } = given.clone();
        Self { track, accel: accel.map(Into::into), system, builders, store, offline, args }
    }
}

impl From<cli::BackendChoice> for Option<Choice> {
    fn from(given: cli::BackendChoice) -> Self {
        match given {
            cli::BackendChoice::Auto => None,
            cli::BackendChoice::Sandbox => Some(Choice::Sandbox),
            cli::BackendChoice::Nixos => Some(Choice::Nixos),
            cli::BackendChoice::Driver => Some(Choice::Driver),
        }
    }
}

/// The backend that is wanted: command line or variable, else ioc.toml.
pub(crate) fn backend(project: &Project, given: Option<cli::BackendChoice>) -> Option<Choice> {
    given.map_or(project.config.backend, Into::into)
}

impl cli::MachineOptions {
    /// What is wanted here, or else in ioc.toml.
    pub(crate) fn wanted(&self, project: &Project) -> options::MachineOptions {
        let Self { backend: given, ioc, nix } = self;
        options::MachineOptions { backend: backend(project, *given), ioc: (*ioc).into(), nix: nix.into() }
    }
}

impl From<&cli::Selection> for select::Selection {
    fn from(given: &cli::Selection) -> Self {
        let cli::Selection { names, tag, skip_tag, changed, rerun_failed } = given.clone();
        Self { names, tag, skip_tag, changed, rerun_failed }
    }
}

impl From<&cli::Test> for options::RunOptions {
    fn from(given: &cli::Test) -> Self {
        Self {
            timeout: given.timeout,
            jobs: given.jobs,
            show_output: given.show_output,
            rebuild: given.rebuild,
            debug: given.debug,
            record: !given.no_record,
            coverage: given.coverage,
            strict: given.strict,
            lint: !given.no_lint,
        }
    }
}
