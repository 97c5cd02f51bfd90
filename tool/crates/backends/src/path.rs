//! Programs of the project's own on machines: what lies in the folders of `path`, of ioc.toml and `checks/NAME.toml`.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::WalkDir;

use crate::{embedded, faults};
use tool_base::process::quote;
use tool_base::{fail, git};
use tool_project::{Check, Project};
use tool_sandbox::rootfs::APPLETS;
use tool_sandbox::spec::Program;

/// The interpreters that NixOS has where other systems have them.
const INTERPRETERS: [&str; 2] = ["/bin/sh", "/usr/bin/env"];

/// All that lies there, folders too; of several with one name the first.
///
/// # Errors
/// A folder cannot be read, or holds a program that a machine cannot have, here or on NixOS.
pub fn programs(project: &Project, check: Option<&Check>) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    add(project, "ioc.toml", &project.config.path, &mut programs)?;
    if let Some(check) = check {
        add(project, &format!("checks/{}.toml", check.name), &check.settings()?.path, &mut programs)?;
    }
    Ok(programs)
}

fn add(project: &Project, file: &str, folders: &[String], programs: &mut Vec<Program>) -> Result<()> {
    for folder in folders {
        let missing = || {
            fail::config(format!("{file}: `path` names the folder {folder}, which cannot be read"))
                .hint(format!("mkdir -p {folder}"))
        };
        let entries = fs::read_dir(project.root.join(folder)).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.with_context(missing)?;
        entries.sort_by_key(DirEntry::file_name);
        stays(project, folder)?;
        for entry in entries {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if path.exists() && !programs.iter().any(|own| own.name == name) {
                let shown = Path::new(folder).join(&name);
                let taken = APPLETS.contains(&name.as_str()) || name == faults::PROGRAM;
                if taken || embedded::all_of(&project.config).any(|(_, own)| own == name) {
                    let what =
                        format!("{}: a machine of the sandbox has a program of this name itself", shown.display());
                    let [from, to] =
                        [shown, Path::new(folder).join(format!("my-{name}"))].map(|path| quote(path.as_os_str()));
                    return Err(fail::config(what).hint(format!("mv {from} {to}")).into());
                }
                if let Some((program, argument)) = interpreter(&path).filter(|(own, _)| !on_nixos(own)) {
                    let what =
                        format!("{}: its first line names {program}, which NixOS does not have", shown.display());
                    let word = program.rsplit('/').next().unwrap_or_default();
                    let word = if argument.is_empty() { word.to_owned() } else { format!("-S {word} {argument}") };
                    return Err(fail::config(what).hint(format!("#!/usr/bin/env {word}")).into());
                }
                programs.push(Program { name, path, searches: false });
            }
        }
    }
    Ok(())
}

/// An error where a link leads out of a folder: NixOS has a copy of the folder alone, with its links as they are.
pub fn stays(project: &Project, folder: &str) -> Result<()> {
    // Without a slash at its end.
    let whole: PathBuf = project.root.join(folder).components().collect();
    if let (Ok(target), Ok(end)) = (whole.read_link(), whole.canonicalize()) {
        let target = target.display();
        let what = format!(
            "{folder}: a link to {target}, which leads nowhere on NixOS: a machine there has a copy of the link"
        );
        let hint = copy(project, &end, &whole, Path::new(folder));
        return Err(fail::config(what).hint(hint.unwrap_or_else(|| format!("rm {folder} && mkdir {folder}"))).into());
    }
    let entries = WalkDir::new(&whole).min_depth(1).sort_by_file_name().into_iter().flatten();
    let links: Vec<_> = entries.filter(walkdir::DirEntry::path_is_symlink).map(walkdir::DirEntry::into_path).collect();
    let shown = |link: &Path| Path::new(folder).join(link.strip_prefix(&whole).unwrap_or(link));
    let names: Vec<String> = links.iter().map(|link| shown(link).to_string_lossy().into_owned()).collect();
    // What Git ignores is in no flake.
    let ignored =
        if names.is_empty() { Vec::new() } else { git::ignored(&project.root, &names.iter().collect::<Vec<_>>()) };
    for (link, _) in links.iter().zip(&names).filter(|(_, name)| !ignored.contains(name)) {
        // One that leads nowhere does so here, too.
        let (Ok(real), Ok(target), Ok(end)) = (whole.canonicalize(), link.read_link(), link.canonicalize()) else {
            continue;
        };
        if !leaves(&real, link, &target) {
            continue;
        }
        let shown = shown(link);
        let what = format!(
            "{}: a link to {}, which leads nowhere on NixOS: a machine there has a copy of {folder} alone",
            shown.display(),
            target.display()
        );
        let hint = copy(project, &end, link, &shown)
            .unwrap_or_else(|| format!("if machines do not need it: echo {} >> .gitignore", quote(shown.as_os_str())));
        return Err(fail::config(what).hint(hint).into());
    }
    Ok(())
}

/// The command that makes a link a copy, where it leads to what is the project's and does not hold the link itself.
fn copy(project: &Project, end: &Path, link: &Path, shown: &Path) -> Option<String> {
    let from = end.strip_prefix(project.root.canonicalize().ok()?).ok()?;
    let (source, to) = (quote(from.as_os_str()), quote(shown.as_os_str()));
    if end.is_dir() {
        (!link.starts_with(project.root.join(from))).then(|| format!("rm {to} && cp -r {source} {to}"))
    } else {
        end.is_file().then(|| format!("cp --remove-destination {source} {to}"))
    }
}

/// Whether the way of a link leaves a folder, be it to come back: its copy has another name.
fn leaves(folder: &Path, link: &Path, target: &Path) -> bool {
    let mut at = link.parent().unwrap_or(folder).canonicalize().unwrap_or_default();
    target.components().any(|part| match part {
        Component::CurDir => false,
        Component::ParentDir => at == folder || !at.pop(),
        Component::Normal(name) => {
            at = at.join(name).canonicalize().unwrap_or_default();
            !at.starts_with(folder)
        }
        Component::RootDir | Component::Prefix(_) => true,
    })
}

fn on_nixos(interpreter: &str) -> bool {
    INTERPRETERS.contains(&interpreter) || ["/nix/", "/run/"].iter().any(|folder| interpreter.starts_with(folder))
}

/// What the first line of a program says that runs it, and with which arguments.
fn interpreter(path: &Path) -> Option<(String, String)> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let (program, argument) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
    (!program.is_empty()).then(|| (program.to_owned(), argument.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_that_leaves_its_folder_is_none_on_nixos() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("p");
        for folder in ["tools/data", "scripts/words"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("scripts/hello.sh"), "#!/bin/sh\n").unwrap();
        fs::write(root.join("tools/own"), "#!/bin/sh\n").unwrap();
        let config = tool_project::parse("path = [\"tools\"]\n[ioc]\napp = \"a\"\nioc = \"iocA\"\n").unwrap();
        let project = Project { target: root.join("target"), root: root.clone(), config };
        let told = |link: &str, target: &str| {
            symlink(target, root.join(link)).unwrap();
            let told = programs(&project, None).map_err(|error| fail::render(&error));
            fs::remove_file(root.join(link)).unwrap();
            told.map(|programs| programs.len())
        };
        // Within the folder, and to what is nowhere: as on NixOS.
        assert_eq!(told("tools/other", "own"), Ok(3));
        assert_eq!(told("tools/data/own", "../own"), Ok(2));
        assert_eq!(told("tools/other", "../scripts/gone"), Ok(2));
        let leaves = |link: &str, target: &str, hint: &str| {
            let why = "which leads nowhere on NixOS: a machine there has a copy of tools alone";
            format!("error: {link}: a link to {target}, {why}\n\nhint: {hint}")
        };
        assert_eq!(
            told("tools/hello", "../scripts/hello.sh"),
            Err(leaves("tools/hello", "../scripts/hello.sh", "cp --remove-destination scripts/hello.sh tools/hello"))
        );
        assert_eq!(
            told("tools/data/hello", "../../scripts/hello.sh"),
            Err(leaves(
                "tools/data/hello",
                "../../scripts/hello.sh",
                "cp --remove-destination scripts/hello.sh tools/data/hello"
            ))
        );
        assert_eq!(
            told("tools/words", "../scripts/words"),
            Err(leaves("tools/words", "../scripts/words", "rm tools/words && cp -r scripts/words tools/words"))
        );
        // Out and back: the copy is in another folder.
        assert_eq!(
            told("tools/back", "../tools/own"),
            Err(leaves("tools/back", "../tools/own", "cp --remove-destination tools/own tools/back"))
        );
        // Nobody shall copy what is not the project's, nor a folder into itself.
        for target in ["/bin/sh", ".."] {
            let hint = "if machines do not need it: echo tools/up >> .gitignore";
            assert_eq!(told("tools/up", target), Err(leaves("tools/up", target, hint)));
        }
        fs::write(root.join(".gitignore"), "up\n").unwrap();
        git::git(&root).args(["init", "-q"]).read().unwrap();
        assert_eq!(told("tools/up", "/bin/sh"), Ok(3));
        let own = root.join("tools/own");
        let own = own.to_str().unwrap();
        assert_eq!(
            told("tools/hello", own),
            Err(leaves("tools/hello", own, "cp --remove-destination tools/own tools/hello"))
        );
        // A copy of a link is a link.
        fs::rename(root.join("tools"), root.join("own")).unwrap();
        assert_eq!(
            told("tools", "own"),
            Err(
                "error: tools: a link to own, which leads nowhere on NixOS: a machine there has a copy of the link\n\n\
                 hint: rm tools && cp -r own tools"
                    .to_owned()
            )
        );
    }
}
