//! Files that Git does not track: Nix does not see them.

use std::path::Path;

use anyhow::Result;

use tool_base::process::Cmd;
use tool_base::{fail, ui};
use tool_project::Check;

/// What Nix reads.
const READ_BY_NIX: [&str; 7] = ["flake.nix", "flake.lock", "ioc.toml", "checks", "ioc", "nix", "simulators"];

/// Files below `root` that Nix would need and Git does not track; none where there is no Git repository, as Nix then
/// takes the folder as it is.
pub fn untracked(root: &Path) -> Result<Vec<String>> {
    let cmd = git(root).args(["ls-files", "--others", "--exclude-standard", "-z", "--"]).args(READ_BY_NIX);
    let output = match cmd.output() {
        Ok(output) if output.status.success() => output.stdout,
        _ => return Ok(Vec::new()),
    };
    let text = String::from_utf8_lossy(&output).into_owned();
    Ok(text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Lets Git track files, without staging what is in them.
pub fn track(root: &Path, files: &[String]) -> Result<()> {
    add(root, files).read().map(drop)
}

fn git(root: &Path) -> Cmd {
    Cmd::new("git").arg("-C").arg(root)
}

fn add(root: &Path, files: &[String]) -> Cmd {
    git(root).args(["add", "--intent-to-add", "--"]).args(files)
}

/// Names files that Nix cannot see, or lets Git track them.
///
/// # Errors
/// A chosen check is among them.
pub fn see_to(root: &Path, checks: &[Check], may_track: bool) -> Result<()> {
    let files = untracked(root)?;
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
        assert_eq!(untracked(&root).unwrap(), [""; 0], "no repository: Nix takes the folder as it is");
        git(&root).args(["init", "-q"]).read().unwrap();
        assert_eq!(untracked(&root).unwrap(), ["checks/new check.py"]);
        let chosen = [Check { name: "new check".into(), ..Check::default() }];
        let error = see_to(&root, &chosen, false).unwrap_err();
        assert_eq!(
            fail::render(&error),
            "error: checks/new check.py is not tracked by Git, so Nix cannot see it\n\n\
             hint: git add -N -- 'checks/new check.py', or give --track"
        );
        see_to(&root, &[], false).unwrap();
        see_to(&root, &chosen, true).unwrap();
        assert_eq!(untracked(&root).unwrap(), [""; 0]);
    }
}
