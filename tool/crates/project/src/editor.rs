//! What editors know of test scripts: `checks/__builtins__.pyi`, where pyright and ty look for names that nobody imports.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;

use crate::{Check, Project};
use tool_base::files;

/// The file.
pub const FILE: &str = "checks/__builtins__.pyi";

/// Brings the machines of all checks into the file. A project without it wants none.
///
/// # Errors
/// If the settings of a check are wrong. That the file cannot be written is none: a checkout may be read-only.
pub fn keep_names(project: &Project) -> Result<()> {
    let path = project.root.join(FILE);
    let Ok(old) = std::fs::read_to_string(&path) else { return Ok(()) };
    let text = names(&project.checks()?)?;
    if text != old {
        let _ = files::replace(&path, &text);
    }
    Ok(())
}

/// The text of the file for some checks.
///
/// # Errors
/// If the settings of a check are wrong.
pub fn names(checks: &[Check]) -> Result<String> {
    let (mut machines, mut vlans) = (BTreeSet::from(["machine".to_owned()]), BTreeSet::new());
    for check in checks {
        for (name, node) in check.settings()?.machines() {
            machines.insert(variable(&name));
            vlans.extend(node.vlans);
        }
    }
    let mut text = "# The names that test scripts have, for editors. `cargo xtask lint` keeps it.\n\
                    from script_names import *\nfrom script_names import _Vlan\n\n"
        .to_owned();
    for name in machines {
        let _ = writeln!(text, "{name}: QemuMachine");
    }
    for number in vlans {
        let _ = writeln!(text, "vlan{number}: _Vlan");
    }
    Ok(text)
}

/// The variable of a machine, as the test driver makes it (`pythonize_name`).
fn variable(name: &str) -> String {
    let fits = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    name.chars().enumerate().map(|one| if fits(one) { one.1 } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_what_python_allows() {
        assert_eq!(["client", "my-ioc", "2nd", "b2"].map(variable), ["client", "my_ioc", "_nd", "b2"]);
    }
}
