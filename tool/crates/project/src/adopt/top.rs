//! The files of an EPICS top, and where its IOCs start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tool_base::git::git;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it holds.
    pub text: Vec<u8>,
    /// Whether it may be run.
    pub runs: bool,
}

/// A top, as far as it can be taken.
#[derive(Debug, Clone, Default)]
pub struct Top {
    /// Files by their path in the top.
    pub files: BTreeMap<String, Source>,
    /// Links to what is outside, and what is no file: they cannot be taken.
    pub strange: Vec<String>,
}

/// A boot folder, and the scripts in it that start an IOC, the likeliest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Its name below `iocBoot/`.
    pub name: String,
    /// Names of files in it.
    pub scripts: Vec<String>,
}

impl Top {
    /// Reads a top: what Git does not ignore there, or else all that is there.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let mut top = Self::default();
        for path in tracked(&root).map_or_else(|| all(&root), Ok)? {
            let full = root.join(&path);
            let name = path.to_string_lossy().into_owned();
            match full.canonicalize() {
                Ok(real) if real.is_file() && real.starts_with(&root) => {
                    let runs = real.metadata()?.permissions().mode() & 0o111 != 0;
                    let text =
                        fs::read(&real).map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
                    top.files.insert(name, Source { text, runs });
                }
                // Deleted, and Git does not know yet.
                Err(_) if full.symlink_metadata().is_err() => {}
                _ => top.strange.push(name),
            }
        }
        Ok(top)
    }

    /// Where its IOCs start.
    pub fn boots(&self) -> Vec<Boot> {
        let mut boots: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (path, source) in &self.files {
            let Some((boot, name)) = path.strip_prefix("iocBoot/").and_then(|rest| rest.split_once('/')) else {
                continue;
            };
            let named = name.starts_with("st") || Path::new(name).extension().is_some_and(|own| own == "cmd");
            let starts =
                || String::from_utf8_lossy(&source.text).lines().any(|line| line.trim_start().starts_with("iocInit"));
            if named && !name.contains('/') && (name == "st.cmd" || starts()) {
                boots.entry(boot).or_default().push(name.to_owned());
            }
        }
        let boot = |(name, mut scripts): (&str, Vec<String>)| {
            scripts.sort_by_key(|script| script != "st.cmd");
            Boot { name: name.to_owned(), scripts }
        };
        boots.into_iter().map(boot).collect()
    }

    /// The application that a script is most likely for: that of its first line, else the only one there is.
    pub fn application(&self, boot: &Boot) -> Option<String> {
        let script = &self.files.get(&format!("iocBoot/{}/{}", boot.name, boot.scripts.first()?))?.text;
        let first = String::from_utf8_lossy(script.split(|byte| *byte == b'\n').next()?).trim_end().to_owned();
        let program =
            first.strip_prefix("#!").filter(|line| line.contains("/bin/")).and_then(|line| line.rsplit('/').next());
        let shell = |name: &&str| ["sh", "bash", "env"].iter().any(|own| name.split(' ').next() == Some(own));
        let apps: BTreeSet<&str> =
            self.files.keys().filter_map(|path| path.split_once('/')?.0.strip_suffix("App")).collect();
        let only = apps.first().filter(|_| apps.len() == 1).copied();
        program.filter(|name| !shell(name)).or(only).or(apps.first().copied()).map(str::to_owned)
    }

    /// What `make` has left in the top, which it would make anew: by folder, how many files.
    pub fn take_built(&mut self) -> BTreeMap<String, usize> {
        let sources: BTreeSet<String> =
            self.files.keys().filter(|path| !installed(path)).map(|path| name(path)).collect();
        let makefiles: BTreeSet<String> =
            self.files.keys().filter_map(|path| Some(path.strip_suffix("/Makefile")?.to_owned())).collect();
        let dbds = self.dbds();
        let has_source = |name: &str| {
            let stem = name.strip_suffix(".db").unwrap_or(name);
            [name.to_owned(), format!("{stem}.substitutions"), format!("{stem}.template")]
                .iter()
                .any(|own| sources.contains(own))
        };
        let mut gone = BTreeMap::new();
        self.files.retain(|path, _| {
            let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
            let name = name(path);
            let made = match folder {
                _ if path.split('/').any(|part| part.starts_with("O.")) || name == "envPaths" => true,
                // Below the name of a platform: linux-x86_64.
                "bin" | "lib" => rest.split_once('/').is_some_and(|(platform, _)| platform.contains('-')),
                // Not what somebody keeps there by hand, with a Makefile or as the only copy.
                _ => installed(path) && !makefiles.contains(folder) && (has_source(&name) || dbds.contains(&name)),
            };
            if made {
                let what = if name == "envPaths" { path } else { folder };
                *gone.entry(what.to_owned()).or_default() += 1;
            }
            !made
        });
        gone
    }

    /// The .dbd files that Makefiles make of others.
    fn dbds(&self) -> BTreeSet<String> {
        let makefiles = self.files.iter().filter(|(path, _)| name(path) == "Makefile");
        let lines = makefiles.flat_map(|(_, source)| {
            let text = String::from_utf8_lossy(&source.text).into_owned();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        let names = lines.filter_map(|line| {
            let (variable, names) = line.split_once('=')?;
            let own = variable.trim_end_matches(['+', ' ', '\t']).trim() == "DBD";
            own.then(|| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        });
        names.flatten().collect()
    }
}

/// The last part of a path.
fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Whether it lies where `make` installs to.
fn installed(path: &str) -> bool {
    let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
    let made = ["bin", "lib", "include", "db", "dbd", "html", "cfg"].contains(&folder);
    made && !rest.is_empty() && rest != "Makefile"
}

/// The files that Git tracks, and those that it would.
fn tracked(root: &Path) -> Option<Vec<PathBuf>> {
    let output = git(root).args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let files: Vec<PathBuf> = text.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    (!files.is_empty()).then_some(files)
}

/// All files.
fn all(root: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = walkdir::WalkDir::new(root).into_iter().filter_entry(|entry| entry.file_name() != ".git");
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io::Error::from)?;
        if !entry.file_type().is_dir() {
            found.extend(entry.path().strip_prefix(root).map(Path::to_owned));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn top(files: &[(&str, &str)]) -> Top {
        let one = |(path, text): &(&str, &str)| {
            ((*path).to_owned(), Source { text: text.as_bytes().to_vec(), runs: path.ends_with("st.cmd") })
        };
        Top { files: files.iter().map(one).collect(), strange: Vec::new() }
    }

    #[test]
    fn the_scripts_of_boot_folders() {
        let top = top(&[
            ("iocBoot/iocA/st.cmd", ""),
            ("iocBoot/iocA/stTCP.cmd", "iocInit()\n"),
            ("iocBoot/iocA/common.cmd", "dbLoadRecords(\"a.db\")\n"),
            ("iocBoot/iocB/st.cmd.sh", "#!../../bin/linux-x86_64/b\n  iocInit\n"),
            ("iocBoot/iocC/Makefile", ""),
            ("iocBoot/iocB/st.sh", "exec ../../bin/linux-x86_64/b st.cmd.sh\n"),
        ]);
        let boot = |name: &str, scripts: &[&str]| Boot {
            name: name.into(),
            scripts: scripts.iter().map(|own| (*own).to_owned()).collect(),
        };
        assert_eq!(top.boots(), [boot("iocA", &["st.cmd", "stTCP.cmd"]), boot("iocB", &["st.cmd.sh"])]);
        assert_eq!(top.application(&top.boots()[1]).as_deref(), Some("b"));
    }

    #[test]
    fn what_make_has_made_is_left_out_and_what_somebody_keeps_there_is_not() {
        let mut top = top(&[
            ("bin/linux-x86_64/a", ""),
            ("lib/linux-x86_64/a.so", ""),
            ("db/a.db", ""),
            ("db/only-here.db", ""),
            ("db/by-make.db", ""),
            ("dbd/a.dbd", ""),
            ("dbd/kept.dbd", ""),
            ("cfg/settings.cmd", ""),
            ("bin/start.sh", ""),
            ("aApp/src/Makefile", "PROD_IOC = a\nDBD += a.dbd\na_DBD += base.dbd kept.dbd\n"),
            ("aApp/Db/a.substitutions", ""),
            ("aApp/Db/by-make.template", ""),
            ("aApp/src/O.linux-x86_64/a.o", ""),
            ("iocBoot/iocA/envPaths", ""),
        ]);
        let gone: Vec<String> = top.take_built().into_keys().collect();
        assert_eq!(gone, ["aApp", "bin", "db", "dbd", "iocBoot/iocA/envPaths", "lib"]);
        let kept = [
            "aApp/Db/a.substitutions",
            "aApp/Db/by-make.template",
            "aApp/src/Makefile",
            "bin/start.sh",
            "cfg/settings.cmd",
            "db/only-here.db",
            "dbd/kept.dbd",
        ];
        assert_eq!(top.files.keys().collect::<Vec<_>>(), kept);
    }
}
