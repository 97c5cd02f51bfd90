//! From what the command line says to what the crates below take.

use tool_backends::options;
use tool_host::kvm;
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
    cli::BackendChoice => options::BackendChoice { Auto Sandbox Nixos Driver }
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

impl From<&cli::MachineOptions> for options::MachineOptions {
    fn from(given: &cli::MachineOptions) -> Self {
        let cli::MachineOptions { backend, ioc, nix } = given;
        Self { backend: backend.map(Into::into), ioc: (*ioc).into(), nix: nix.into() }
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
            strict: given.strict,
            lint: !given.no_lint,
        }
    }
}
