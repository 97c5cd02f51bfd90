//! Chooses the backend where nothing names one: reads facts, cheapest first, and decides by a pure function.

use crate::cli::Accel;
use crate::nix::inputs::{self, Inputs};
use crate::nix::{Nix, settings};
use crate::process;
use crate::project::Project;

/// What decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Nix, or why there is none that works.
    pub nix: Result<(), String>,
    /// Where the flake's inputs can be had.
    pub inputs: Inputs,
    /// Nothing, or why KVM cannot be used by the caller.
    pub kvm_user: Result<(), String>,
    /// Nothing, or why KVM cannot be used by Nix's builders.
    pub kvm_builders: Result<(), String>,
}

/// A backend to run checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// NixOS test in a build.
    Nixos,
    /// NixOS test as the user.
    Driver,
    /// Namespaces.
    Sandbox,
}

/// The best backend that the facts allow, and why it is that one.
pub fn decide(facts: &Facts) -> (Choice, String) {
    if let Err(why) = &facts.nix {
        return (Choice::Sandbox, why.clone());
    }
    match &facts.inputs {
        Inputs::Missing(input, host) => {
            return (
                Choice::Sandbox,
                format!("the flake's input {input} is not in the store, and {host} does not answer"),
            );
        }
        Inputs::Unknown(why) => return (Choice::Sandbox, format!("Nix cannot be used: {why}")),
        Inputs::InStore | Inputs::Reachable => {}
    }
    match (&facts.kvm_builders, &facts.kvm_user) {
        (Ok(()), _) => (Choice::Nixos, "Nix is here and its builders can use KVM".to_owned()),
        (Err(why), Ok(())) => (Choice::Driver, format!("you can use KVM, but Nix's builders cannot: {why}")),
        (Err(_), Err(why)) => (Choice::Sandbox, format!("KVM cannot be used: {why}")),
    }
}

/// Reads the facts. What cannot change the decision any more is not read.
pub fn read(project: &Project, nix: Option<&Nix>, accel: Option<Accel>) -> Facts {
    let unread = || Err("not looked at".to_owned());
    let mut facts = Facts {
        nix: Ok(()),
        inputs: Inputs::Unknown("not looked at".to_owned()),
        kvm_user: unread(),
        kvm_builders: unread(),
    };
    let Some(nix) = nix else {
        facts.nix = Err("Nix is not here".to_owned());
        return facts;
    };
    if accel == Some(Accel::Tcg) {
        // Emulation was asked for: then KVM decides nothing.
        (facts.kvm_user, facts.kvm_builders) = (Ok(()), Ok(()));
    } else {
        (facts.kvm_user, facts.kvm_builders) = (kvm_usable_for_user(), kvm_usable_for_builders(nix));
    }
    if facts.kvm_user.is_err() && facts.kvm_builders.is_err() {
        // No need to ask the network; the reason is KVM's.
        facts.inputs = Inputs::InStore;
    } else {
        facts.inputs = inputs::look(&project.root);
    }
    facts
}

const KVM: &str = "/dev/kvm";

// TO BE REPLACED by the module `kvm` when it is merged: these two look at the device, they do not use it.

/// Whether this user can use KVM, or why not.
fn kvm_usable_for_user() -> Result<(), String> {
    let open = std::fs::File::options().read(true).write(true).open(KVM);
    open.map(drop).map_err(|e| format!("{KVM}: {e}"))
}

/// Whether Nix's builders can use KVM, or why not. Builds run as users without any group but their own.
fn kvm_usable_for_builders(nix: &Nix) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let settings = settings::read(nix.version()).map_err(|e| format!("{e:#}"))?;
    for feature in ["kvm", "nixos-test"] {
        if !settings.system_features.iter().any(|f| f == feature) {
            return Err(format!("the feature `{feature}` is not in system-features of nix.conf"));
        }
    }
    if settings.build_users_group.is_empty() {
        return kvm_usable_for_user();
    }
    let mode = std::fs::metadata(KVM).map_err(|e| format!("{KVM}: {e}"))?.permissions().mode();
    if mode & 0o006 == 0o006 { Ok(()) } else { Err(format!("{KVM} has mode {:03o}", mode & 0o777)) }
}

/// Nix, where there is one that starts.
pub fn nix(project: &Project, options: &crate::cli::NixOptions) -> Option<Nix> {
    process::which("nix").and_then(|_| Nix::find(project, options).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { nix: Ok(()), inputs: Inputs::InStore, kvm_user: Ok(()), kvm_builders: Ok(()) }
    }

    fn no(why: &str) -> Result<(), String> {
        Err(why.to_owned())
    }

    #[test]
    fn the_best_that_works_is_taken() {
        assert_eq!(decide(&facts()).0, Choice::Nixos);
        assert_eq!(decide(&Facts { inputs: Inputs::Reachable, ..facts() }).0, Choice::Nixos);
        let user_only = Facts { kvm_builders: no("/dev/kvm has mode 660"), ..facts() };
        assert_eq!(
            decide(&user_only),
            (Choice::Driver, "you can use KVM, but Nix's builders cannot: /dev/kvm has mode 660".to_owned())
        );
        let none = Facts { kvm_user: no("/dev/kvm is not there"), ..user_only };
        assert_eq!(decide(&none), (Choice::Sandbox, "KVM cannot be used: /dev/kvm is not there".to_owned()));
    }

    #[test]
    fn a_remote_or_daemons_kvm_is_enough() {
        assert_eq!(decide(&Facts { kvm_user: no("EACCES"), ..facts() }).0, Choice::Nixos);
    }

    #[test]
    fn nothing_of_nix_is_taken_without_its_inputs() {
        for kvm in [Ok(()), no("x")] {
            for inputs in [Inputs::Missing("epnix".into(), "github.com".into()), Inputs::Unknown("daemon".into())] {
                let facts = Facts { inputs, kvm_user: kvm.clone(), ..facts() };
                assert_eq!(decide(&facts).0, Choice::Sandbox, "{facts:?}");
            }
            assert_eq!(decide(&Facts { nix: no("Nix is not here"), kvm_user: kvm, ..facts() }).0, Choice::Sandbox);
        }
        let missing = Facts { inputs: Inputs::Missing("epnix".into(), "github.com".into()), ..facts() };
        assert_eq!(decide(&missing).1, "the flake's input epnix is not in the store, and github.com does not answer");
    }
}
