//! Opens the device to Nix's builders by a udev rule, which is written whole or not at all.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;

use super::advice;
use crate::finding::Finding;
use crate::nixconf::apply::Edit;
use tool_base::fail;
use tool_base::host::Host;
use tool_base::process::Cmd;

/// What can be done about findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy<'a> {
    /// The rule mends this.
    Rule(&'a Finding),
    /// The rule would mend this, but not on this machine: NixOS, containers.
    Elsewhere(&'a Finding),
    /// The rule mends none of it.
    None,
}

/// What the rule does for findings.
pub fn remedy(findings: &[Finding]) -> Remedy<'_> {
    let mended = [&advice::BUILDERS, &advice::MODE, &advice::GROUP].map(|e| e.id);
    match findings.iter().find(|f| mended.contains(&f.id)) {
        Some(finding) if finding.commands().iter().any(|c| c.contains(advice::RULE_FILE)) => Remedy::Rule(finding),
        Some(finding) => Remedy::Elsewhere(finding),
        None => Remedy::None,
    }
}

/// Writes the rule and returns its file.
///
/// # Errors
/// If a file is there that says something else, or none can be written.
pub fn write_rule(host: &Host) -> Result<PathBuf> {
    let text = format!("# Nix's builders may use KVM. Written by `cargo xtask check-kvm --fix`.\n{}\n", advice::RULE);
    let mut edit = Edit::start(&host.path(advice::RULE_FILE))?;
    match &edit.before {
        Some(found) if found == text.as_bytes() => {}
        Some(_) => {
            let message = format!("{} is there already and says something else", edit.path.display());
            return Err(fail::host(message).hint("look at it, and add the rule by hand or remove the file").into());
        }
        None => {
            edit.after = Some(text.into_bytes());
            edit.make(SystemTime::now(), &mut |_| {})?;
        }
    }
    Ok(edit.path)
}

/// The commands that let udev read the rule and use it on the device that is there.
pub fn udev() -> [Cmd; 2] {
    [
        Cmd::new("udevadm").args(["control", "--reload-rules"]),
        Cmd::new("udevadm").args(["trigger", "--settle", "--name-match=kvm"]),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_pasted_is_what_fix_does() {
        let finding = Finding::new(&advice::MODE, "x");
        let commands = finding.commands();
        assert!(commands[0].contains(advice::RULE) && commands[0].ends_with(advice::RULE_FILE), "{commands:?}");
        assert_eq!(commands[1..], udev().map(|cmd| format!("sudo {cmd}")));
    }

    #[test]
    fn a_rule_of_someone_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::made_up(dir.path(), &[], 0, &[]);
        let file = write_rule(&host).unwrap();
        assert_eq!(file, write_rule(&host).unwrap());
        for theirs in [b"KERNEL==\"kvm\"\n".as_slice(), b"\xff\xfe"] {
            std::fs::write(&file, theirs).unwrap();
            assert!(write_rule(&host).unwrap_err().to_string().contains("says something else"));
            assert_eq!(std::fs::read(&file).unwrap(), theirs);
        }
        let names = std::fs::read_dir(file.parent().unwrap_or(Path::new("/"))).unwrap().count();
        assert_eq!(names, 1, "nothing is left beside it");
    }
}
