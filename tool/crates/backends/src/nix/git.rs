//! Files that Git does not track: Nix does not see them.

use std::path::Path;

use anyhow::Result;

use tool_base::git::{git, untracked};
use tool_base::process::Cmd;
use tool_base::{fail, ui};
use tool_host::nix::READS;
use tool_project::Check;

/// Lets Git track files, without staging what is in them.
pub fn track(root: &Path, files: &[String]) -> Result<()> {
    git(root).args(["add", "--intent-to-add", "--"]).args(files).read().map(drop)
}

/// Names files that Nix cannot see, or lets Git track them.
///
/// # Errors
/// A chosen check is among them.
pub fn see_to(root: &Path, checks: &[Check], may_track: bool) -> Result<()> {
    // Outside of a repository, Nix takes the folder as it is.
    let files = untracked(root, READS).unwrap_or_default();
    if files.is_empty() {
        return Ok(());
    }
    if may_track {
        track(root, &files)?;
        ui::say(&format!("git tracks now: {}", files.join(" ")));
        return Ok(());
    }
    let command = Cmd::new("git").args(["add", "-N", "--"]).args(&files).to_string();
    let hint = format!("{command}, or give --track");
    let own = |name: &str| {
        checks.iter().any(|c| name == format!("checks/{}.nix", c.name) || name == format!("checks/{}.py", c.name))
    };
    if let Some(file) = files.iter().find(|name| own(name)) {
        return Err(fail::config(format!("{file} is not tracked by Git, so Nix cannot see it")).hint(hint).into());
    }
    ui::warn(&format!(
        "not tracked by Git, so Nix does not see: {}\n{} {hint}",
        files.join(" "),
        ui::paint(ui::HINT, "hint:")
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_nix_would_read_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a b");
        fs::create_dir_all(root.join("checks")).unwrap();
        fs::write(root.join("checks/new check.py"), "").unwrap();
        fs::write(root.join("notes.txt"), "").unwrap();
        assert!(untracked(&root, READS).unwrap_err().contains("not a git repository"));
        let chosen = [Check { name: "new check".into(), ..Check::default() }];
        see_to(&root, &chosen, false).unwrap();
        git(&root).args(["init", "-q"]).read().unwrap();
        assert_eq!(untracked(&root, READS).unwrap(), ["checks/new check.py"]);
        let error = see_to(&root, &chosen, false).unwrap_err();
        assert_eq!(
            fail::render(&error),
            "error: checks/new check.py is not tracked by Git, so Nix cannot see it\n\n\
             hint: git add -N -- 'checks/new check.py', or give --track"
        );
        see_to(&root, &[], false).unwrap();
        see_to(&root, &chosen, true).unwrap();
        assert_eq!(untracked(&root, READS).unwrap(), [""; 0]);
    }
}
