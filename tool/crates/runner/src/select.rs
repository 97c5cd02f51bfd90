//! Which checks a command is about: by name, tag, change and the last run. Kinds of selection narrow each other.

mod changed;
mod last_run;

use std::path::Path;

use anyhow::Result;

use crate::Skipped;
use tool_base::fail::{Failure, Status};
use tool_base::{glob, ui};
use tool_project::{Check, Project, nearest};

/// Checks that were chosen, and why there is none if there is none.
#[derive(Debug)]
pub struct Chosen {
    /// In the order of their names.
    pub checks: Vec<Check>,
    why_none: Failure,
}

impl Chosen {
    /// The checks; an error where there is none.
    pub fn or_nothing(self) -> Result<Vec<Check>> {
        if self.checks.is_empty() { Err(self.why_none.into()) } else { Ok(self.checks) }
    }
}

fn nothing(why: impl Into<String>) -> Failure {
    Failure::new(Status::NothingSelected, why)
}

fn no_checks() -> Failure {
    nothing("there is no check in checks/").hint("make one: cargo xtask new-check first")
}

/// Which checks. One kind given several times widens it, different kinds narrow each other.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Checks, by name or glob; all of them where there is none.
    pub names: Vec<String>,
    /// Only checks with one of these tags.
    pub tag: Vec<String>,
    /// No checks with one of these tags.
    pub skip_tag: Vec<String>,
    /// Only checks that a change since this commit affects; empty: since the main branch was left.
    pub changed: Option<String>,
    /// Only checks that failed or did not run in the last run.
    pub rerun_failed: bool,
}

impl Selection {
    /// Whether it leaves nothing out.
    pub fn is_all(&self) -> bool {
        let Self { names, tag, skip_tag, changed, rerun_failed } = self;
        names.is_empty() && tag.is_empty() && skip_tag.is_empty() && changed.is_none() && !rerun_failed
    }
}

/// Chooses checks of the project. None may be left; a name, tag or Git base that does not exist is an error.
pub fn select(project: &Project, selection: &Selection) -> Result<Chosen> {
    let all = project.checks()?;
    if let (Some(""), [name]) = (selection.changed.as_deref(), &selection.names[..])
        && !all.iter().any(|check| glob::matches(name, &check.name))
    {
        let hint = format!("to compare with a commit, leave no blank: --changed={name}");
        return Err(nothing(format!("no check is called `{name}`")).hint(hint).into());
    }
    let mut checks = if selection.is_all() { all.clone() } else { by_names(&all, &selection.names)? };
    let mut why_none = no_checks();
    if !selection.tag.is_empty() || !selection.skip_tag.is_empty() {
        let tagged =
            all.iter().map(|c| Ok((c.name.clone(), c.settings()?.tags.clone()))).collect::<Result<Vec<_>>>()?;
        let names = by_tags(&tagged, &selection.tag, &selection.skip_tag)?;
        checks.retain(|check| names.contains(&check.name.as_str()));
        why_none = nothing("no check of this selection has the tags that were asked for")
            .hint("cargo xtask list --json shows the tags of all checks");
    }
    if let Some(base) = &selection.changed
        && !checks.is_empty()
    {
        let change = changed::read(&project.root, base)?;
        let affected = changed::affected(&change.paths, &all, changed::mentions);
        checks.retain(|check| affected.has(&check.name));
        let (files, since) = (change.paths.len(), &change.since);
        why_none = match files {
            0 => nothing(format!("nothing changed since {since}")),
            _ => nothing(format!(
                "{} changed since {since}, and nothing that these checks depend on",
                count(files, "file")
            )),
        }
        .hint("leave out --changed to take them all, or name another base: --changed=HEAD~1");
        if !checks.is_empty() {
            let because = affected.all_because().map_or_else(String::new, |path| format!(", {path} among them"));
            ui::remark(&format!(
                "{} changed since {since}{because}: {}",
                count(files, "file"),
                count(checks.len(), "check")
            ));
        }
    }
    if selection.rerun_failed && !checks.is_empty() {
        let last = last_run::read(&project.target.join("checks"))?;
        let gone: Vec<&str> =
            last.to_do.iter().map(String::as_str).filter(|n| all.iter().all(|c| c.name != *n)).collect();
        if !gone.is_empty() {
            ui::warn(&format!("no longer there, so not run again: {}", gone.join(", ")));
        }
        checks.retain(|check| last.to_do.contains(&check.name));
        why_none = nothing(format!("nothing of this selection failed in the last run, {}", last.name))
            .hint("leave out --rerun-failed to take them all");
        if !checks.is_empty() {
            ui::remark(&format!("failed or not run in {}: {}", last.name, count(checks.len(), "check")));
        }
    }
    Ok(Chosen { checks, why_none })
}

/// Those of the selection that changed files concern.
///
/// # Errors
/// As [`select`] where a name or a tag is no longer there.
pub fn concerned(project: &Project, selection: &Selection, paths: &[String]) -> Result<Vec<Check>> {
    let affected = changed::affected(paths, &project.checks()?, changed::mentions);
    let mut checks = select(project, selection)?.checks;
    checks.retain(|check| affected.has(&check.name));
    Ok(checks)
}

/// `1 file`, `2 files`.
fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Chooses checks by names and globs, in the order of their names. No pattern chooses all.
pub fn by_names(checks: &[Check], patterns: &[String]) -> Result<Vec<Check>> {
    let names: Vec<&str> = checks.iter().map(|c| c.name.as_str()).collect();
    for pattern in patterns {
        if !names.iter().any(|name| glob::matches(pattern, name)) {
            let failure = nothing(format!("no check is called `{pattern}`"));
            // A shell completes the name of the file.
            let plain = Path::new(pattern).file_stem().and_then(|stem| stem.to_str()).unwrap_or(pattern);
            return Err(match nearest(plain, &names) {
                Some(near) => failure.hint(format!("did you mean `cargo xtask test {near}`?")),
                None => failure.hint(format!("the checks are: {}", names.join(", "))),
            }
            .into());
        }
    }
    if checks.is_empty() {
        return Err(no_checks().into());
    }
    let wanted = |check: &&Check| patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, &check.name));
    Ok(checks.iter().filter(wanted).cloned().collect())
}

/// Names of the checks that have one of the tags `with`, if any are given, and none of `without`.
fn by_tags<'a>(tagged: &'a [(String, Vec<String>)], with: &[String], without: &[String]) -> Result<Vec<&'a str>> {
    let mut known: Vec<&str> = tagged.iter().flat_map(|(_, tags)| tags).map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    if let Some(tag) = with.iter().find(|tag| !known.contains(&tag.as_str())) {
        let failure = nothing(format!("no check has the tag `{tag}`"));
        return Err(match nearest(tag, &known) {
            Some(near) => failure.hint(format!("did you mean `--tag {near}`?")),
            None if known.is_empty() => failure.hint(format!("tags stand in checks/NAME.toml: tags = [\"{tag}\"]")),
            None => failure.hint(format!("the tags are: {}", known.join(", "))),
        }
        .into());
    }
    let has = |tags: &[String], some: &[String]| some.iter().any(|tag| tags.contains(tag));
    let wanted = |tags: &[String]| (with.is_empty() || has(tags, with)) && !has(tags, without);
    Ok(tagged.iter().filter(|(_, tags)| wanted(tags)).map(|(name, _)| name.as_str()).collect())
}

/// Which checks a backend runs, for every command: leaves out what is not meant for it, and what has no NixOS test where it
/// needs one, and says why. It is an error if a check was named that is not meant for it; whether a named one has what it needs
/// is the backend's to say.
pub fn fit(checks: Vec<Check>, backend: &str, named: &[String]) -> Result<(Vec<Check>, Vec<Skipped>)> {
    let (mut fitting, mut skipped) = (Vec::new(), Vec::new());
    for check in checks {
        let others = check.settings()?.backends.iter().flatten().map(|choice| choice.name()).collect::<Vec<_>>();
        if others.is_empty() || others.contains(&backend) {
            if backend != "sandbox" && check.nix.is_none() && !named.contains(&check.name) {
                let reason = format!("there is no checks/{}.nix", check.name);
                skipped.push(Skipped { check: check.name, reason });
            } else {
                fitting.push(check);
            }
            continue;
        }
        let name = check.name;
        if named.contains(&name) {
            let (list, first) = (others.join(", "), others[0]);
            let message =
                format!("check `{name}` is not meant for the backend {backend}: checks/{name}.toml names {list}");
            let failure = Failure::new(Status::Usage, message);
            return Err(failure.hint(format!("cargo xtask test {name} --backend {first}")).into());
        }
        skipped
            .push(Skipped { check: name, reason: format!("not meant for {backend}, only for {}", others.join(", ")) });
    }
    Ok((fitting, skipped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tool_base::fail;

    fn checks(names: &[&str]) -> Vec<Check> {
        names.iter().map(|n| Check { name: (*n).to_owned(), ..Check::default() }).collect()
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn selection_by_name_and_glob() {
        let all = checks(&["ramp", "reconnect", "simple"]);
        let names = |patterns: &[&str]| {
            by_names(&all, &strings(patterns)).map(|v| v.into_iter().map(|c| c.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["ramp", "reconnect", "simple"]);
        assert_eq!(names(&["r*", "simple"]).unwrap(), ["ramp", "reconnect", "simple"]);
        assert_eq!(names(&["?amp"]).unwrap(), ["ramp"]);
        let error = names(&["simpel"]).unwrap_err();
        assert_eq!(fail::status(&error).code(), 4);
        assert_eq!(
            fail::render(&error),
            "error: no check is called `simpel`\n\nhint: did you mean `cargo xtask test simple`?"
        );
    }

    #[test]
    fn what_no_nixos_machine_can_run_is_left_out_unless_it_is_named() {
        let mut all = checks(&["both", "lone"]);
        all[0].nix = Some("both.nix".into());
        for backend in ["nixos", "driver"] {
            let (fitting, skipped) = fit(all.clone(), backend, &strings(&["l*"])).unwrap();
            assert_eq!((fitting.len(), fitting[0].name.as_str()), (1, "both"));
            assert_eq!(skipped, [Skipped { check: "lone".into(), reason: "there is no checks/lone.nix".into() }]);
            assert_eq!(fit(all.clone(), backend, &strings(&["lone"])).unwrap().0.len(), 2);
        }
        assert_eq!(fit(all, "sandbox", &[]).unwrap().0.len(), 2);
    }

    #[test]
    fn selection_by_tags() {
        let tagged = [("a", &["slow", "vm"][..]), ("b", &["slow"]), ("c", &[])]
            .map(|(name, tags)| (name.to_owned(), strings(tags)));
        let names = |with: &[&str], without: &[&str]| by_tags(&tagged, &strings(with), &strings(without));
        assert_eq!(names(&["slow"], &[]).unwrap(), ["a", "b"]);
        assert_eq!(names(&["slow"], &["vm"]).unwrap(), ["b"]);
        assert_eq!(names(&[], &["slow"]).unwrap(), ["c"]);
        assert_eq!(names(&["vm", "slow"], &[]).unwrap(), ["a", "b"]);
        let error = names(&["slwo"], &[]).unwrap_err();
        assert_eq!(fail::render(&error), "error: no check has the tag `slwo`\n\nhint: did you mean `--tag slow`?");
        assert_eq!(fail::status(&error).code(), 4);
    }

    proptest! {
        #[test]
        fn a_glob_of_stars_matches_what_it_was_made_from(name in "[a-z]{0,12}", cut in 0usize..12) {
            let cut = cut.min(name.len());
            let starred = format!("{}*{}", &name[..cut], &name[cut..]);
            prop_assert!(glob::matches(&starred, &name));
            let longer = name.clone() + "x";
            prop_assert!(!glob::matches(&longer, &name));
        }
    }
}
