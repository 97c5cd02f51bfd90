//! Programs of the project's own on machines: what lies in the folders of `path`, of ioc.toml and `checks/NAME.toml`.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{embedded, faults};
use tool_base::fail;
use tool_base::process::quote;
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
                    return Err(fail::config(what).hint(format!("git mv {from} {to}")).into());
                }
                if let Some(program) = interpreter(&path).filter(|own| !on_nixos(own)) {
                    let what =
                        format!("{}: its first line names {program}, which NixOS does not have", shown.display());
                    let word = program.rsplit('/').next().unwrap_or_default();
                    return Err(fail::config(what).hint(format!("#!/usr/bin/env {word}")).into());
                }
                programs.push(Program { name, path, searches: false });
            }
        }
    }
    Ok(())
}

fn on_nixos(interpreter: &str) -> bool {
    INTERPRETERS.contains(&interpreter) || ["/nix/", "/run/"].iter().any(|folder| interpreter.starts_with(folder))
}

/// What the first line of a program says that runs it.
fn interpreter(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
}
