//! Chooses the backend where nothing names one: reads facts, cheapest first, and decides by a pure function.

use std::path::Path;

use crate::nix::Nix;
use crate::options::{Accel, NixOptions};
use tool_base::host::Host;
use tool_base::process;
use tool_host::kvm;
use tool_host::kvm::diagnose::Answer;
use tool_host::kvm::{For, Known};
use tool_host::nix::inputs;
use tool_host::nix::inputs::Inputs;
use tool_project::{Choice, Project};

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

/// The best backend that the facts allow, and why it is that one.
pub fn best(facts: &Facts) -> (Choice, String) {
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
pub fn read(project: &Project, nix: Option<&Nix>) -> Facts {
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
    if nix.options().accel == Some(Accel::Tcg) {
        // Emulation was asked for: then KVM decides nothing.
        (facts.kvm_user, facts.kvm_builders) = (Ok(()), Ok(()));
    } else {
        (facts.kvm_user, facts.kvm_builders) = kvm();
    }
    let NixOptions { builders, store, .. } = nix.options();
    if builders.is_some() || store.is_some() {
        // They are other machines, and whoever names them knows what they can do.
        facts.kvm_builders = Ok(());
    }
    if facts.kvm_user.is_err() && facts.kvm_builders.is_err() {
        // No need to ask the network; the reason is KVM's.
        facts.inputs = Inputs::InStore;
    } else {
        facts.inputs = inputs::look(project);
    }
    facts
}

/// Who can use KVM, and why the others cannot: user, builders.
fn kvm() -> (Result<(), String>, Result<(), String>) {
    let report = kvm::report(&kvm::read::facts(&Host::new(Path::new("/"))));
    let judge = |whom, answers: &[&Answer]| match answers.iter().find(|answer| answer.answer != Known::Yes) {
        Some(no) if !report.ready(whom) => Err(no.why.clone()),
        _ => Ok(()),
    };
    (judge(For::User, &[&report.user]), judge(For::Builders, &[&report.builders, &report.advertised]))
}

/// Nix, where there is one that starts.
pub fn nix(project: &Project, options: &NixOptions) -> Option<Nix> {
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
        assert_eq!(best(&facts()).0, Choice::Nixos);
        assert_eq!(best(&Facts { inputs: Inputs::Reachable, ..facts() }).0, Choice::Nixos);
        let user_only = Facts { kvm_builders: no("/dev/kvm has mode 660"), ..facts() };
        assert_eq!(
            best(&user_only),
            (Choice::Driver, "you can use KVM, but Nix's builders cannot: /dev/kvm has mode 660".to_owned())
        );
        let none = Facts { kvm_user: no("/dev/kvm is not there"), ..user_only };
        assert_eq!(best(&none), (Choice::Sandbox, "KVM cannot be used: /dev/kvm is not there".to_owned()));
    }

    #[test]
    fn a_remote_or_daemons_kvm_is_enough() {
        assert_eq!(best(&Facts { kvm_user: no("EACCES"), ..facts() }).0, Choice::Nixos);
    }

    #[test]
    fn nothing_of_nix_is_taken_without_its_inputs() {
        for kvm in [Ok(()), no("x")] {
            for inputs in [Inputs::Missing("epnix".into(), "github.com".into()), Inputs::Unknown("daemon".into())] {
                let facts = Facts { inputs, kvm_user: kvm.clone(), ..facts() };
                assert_eq!(best(&facts).0, Choice::Sandbox, "{facts:?}");
            }
            assert_eq!(best(&Facts { nix: no("Nix is not here"), kvm_user: kvm, ..facts() }).0, Choice::Sandbox);
        }
        let missing = Facts { inputs: Inputs::Missing("epnix".into(), "github.com".into()), ..facts() };
        assert_eq!(best(&missing).1, "the flake's input epnix is not in the store, and github.com does not answer");
    }
}
