//! Whether a build of the IOC can run here, and is one of the files as they are.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use walkdir::{DirEntry, WalkDir};

use super::{IocBuild, Programs};
use tool_project::Project;

/// How a build stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is not there: why.
    Missing(String),
    /// It runs what the files say.
    Current(IocBuild),
    /// It is there, and not whole, or not of the files as they are: why.
    Stale(String),
}

/// Folders of an EPICS top that `make` fills. Others that a site adds count as sources, which does no harm: see [`keep`].
const INSTALLED: [&str; 10] = ["bin", "lib", "db", "dbd", "include", "html", "templates", "javalib", "cfg", "perl"];
/// What the template's ioc/Makefile writes at each start.
const RELEASE: &str = "RELEASE.environment.local";

/// The build that `make` left in ioc/.
pub fn made(project: &Project) -> State {
    let top = project.ioc_dir();
    let programs = match executables(&top, project, "ioc/bin/") {
        Ok(programs) => programs,
        Err(state) => return state,
    };
    for (ioc, boot) in project.config.iocs.values().zip(boots(project, &top)) {
        let says = |file: &str| fs::read_to_string(boot.join(file)).is_ok_and(|text| text.contains("envPaths"));
        let folder = below(&project.root, &boot);
        if !boot.join("envPaths").exists() && (says("Makefile") || says(&ioc.script)) {
            return State::Stale(format!("{folder}/envPaths is not there, as after `make clean`"));
        }
        if let Some(elsewhere) = moved(&top, &boot) {
            return State::Stale(format!("{folder}/envPaths is of {elsewhere}"));
        }
    }
    let built = IocBuild::Make(programs.clone());
    if mark(project, &top).is_some_and(|mark| mark.exists()) {
        return State::Current(built);
    }
    match differing(&top, &top).or_else(|| newer(&top, &boots(project, &top), &programs)) {
        Some(why) => State::Stale(why),
        None => State::Current(built),
    }
}

/// The top that `envPaths` names, where the project was made in another folder: the IOC would load that one's files.
fn moved(top: &Path, boot: &Path) -> Option<String> {
    let text = fs::read_to_string(boot.join("envPaths")).ok()?;
    let named = text.lines().find_map(|line| line.split_once("(\"TOP\",\"")?.1.split('"').next())?;
    let same = matches!((Path::new(named).canonicalize(), top.canonicalize()), (Ok(named), Ok(top)) if named == top);
    (Path::new(named).is_absolute() && !same).then(|| named.to_owned())
}

/// Drops what `make` would not make anew in a folder that was moved.
pub fn forget_moved(project: &Project) {
    let top = project.ioc_dir();
    for boot in boots(project, &top).iter().filter(|boot| moved(&top, boot).is_some()) {
        let _ = fs::remove_file(boot.join("envPaths"));
    }
}

/// The build that `result` points to.
pub fn nix(project: &Project) -> State {
    let link = project.root.join("result");
    let Ok(top) = link.canonicalize() else { return State::Missing("there is no IOC in result/".to_owned()) };
    let programs = match executables(&top, project, "result/bin/") {
        Ok(programs) => programs,
        Err(state) => return state,
    };
    if mark(project, &top).is_some_and(|mark| mark.exists()) {
        return State::Current(IocBuild::Nix(top, programs));
    }
    // Times in the store say nothing; the link is as old as the build.
    let since = link.symlink_metadata().and_then(|link| link.modified());
    let newer = || {
        let since = since.ok()?;
        let all = sources(&project.ioc_dir()).find(|file| modified(file).is_some_and(|time| time > since))?;
        Some(format!("{} is newer than result", below(&project.root, &all)))
    };
    let scripts = || {
        let mut pairs = boots(project, &project.ioc_dir()).into_iter().zip(boots(project, &top));
        pairs.find_map(|(here, there)| other_scripts(&here, &there))
    };
    match differing(&project.ioc_dir(), &top).or_else(scripts).or_else(newer) {
        Some(why) => State::Stale(why),
        None => State::Current(IocBuild::Nix(top, programs)),
    }
}

/// Notes that a build has just been made: as long as no file changes, neither source nor product, it is current. What built
/// it knows best, so this outweighs any difference that we see.
///
/// # Errors
/// If the note cannot be written.
pub fn keep(project: &Project, top: &Path) -> Result<()> {
    let mark = mark(project, top).context("cannot read ioc/")?;
    let write = || fs::create_dir_all(mark.parent().unwrap_or(Path::new("."))).and_then(|()| fs::write(&mark, ""));
    write().with_context(|| format!("cannot write {}", mark.display()))
}

/// The note for the files of ioc/ as they are, and the build at `top`.
fn mark(project: &Project, top: &Path) -> Option<PathBuf> {
    let ioc = project.ioc_dir();
    // Its keys are fixed, so it is the same tomorrow.
    let mut hasher = DefaultHasher::new();
    top.hash(&mut hasher);
    for file in sources(&ioc) {
        file.strip_prefix(&ioc).ok()?.hash(&mut hasher);
        fs::read(&file).ok()?.hash(&mut hasher);
    }
    if top == ioc {
        // Programs are large: their size and time will do.
        for file in INSTALLED.iter().flat_map(|folder| files(&ioc.join(folder))) {
            let metadata = file.metadata().ok()?;
            (&file, metadata.len(), metadata.modified().ok()?).hash(&mut hasher);
        }
        for boot in boots(project, top) {
            fs::read(boot.join("envPaths")).ok().hash(&mut hasher);
        }
    }
    Some(project.target.join("ioc-builds").join(format!("{:016x}", hasher.finish())))
}

/// The boot folders of the IOCs.
fn boots(project: &Project, top: &Path) -> Vec<PathBuf> {
    project.config.iocs.values().map(|ioc| ioc.boot(top)).collect()
}

/// The executable of each application. Where only some are there, the build is of an earlier ioc.toml.
fn executables(top: &Path, project: &Project, folder: &str) -> Result<Programs, State> {
    let (mut there, mut missing) = (Programs::new(), None);
    for app in project.config.apps() {
        match executable(top, app) {
            Ok(program) => drop(there.insert(app.to_owned(), program)),
            Err(why) => missing = missing.or(Some(format!("there is no `{app}` in {folder}{why}"))),
        }
    }
    match missing {
        None => Ok(there),
        Some(why) if there.is_empty() => Err(State::Missing(why)),
        Some(why) => Err(State::Stale(why)),
    }
}

/// `TOP/bin/ARCH/APP` that this machine can run: of several that for EPICS_HOST_ARCH, else the newest. The error lists the
/// others.
fn executable(top: &Path, app: &str) -> Result<PathBuf, String> {
    let entries = WalkDir::new(top.join("bin")).min_depth(2).max_depth(2).sort_by_file_name();
    let all: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_name() == app && entry.path().is_file())
        .map(DirEntry::into_path)
        .collect();
    let arch = |exe: &Path| exe.parent().and_then(Path::file_name).map(ToOwned::to_owned).unwrap_or_default();
    let wanted = std::env::var_os("EPICS_HOST_ARCH");
    let own = machine(Path::new("/proc/self/exe"));
    let fit = |exe: &&PathBuf| machine(exe).is_none_or(|machine| Some(machine) == own);
    let best = all.iter().filter(fit).max_by_key(|exe| (Some(arch(exe)) == wanted, modified(exe)));
    best.cloned().ok_or_else(|| {
        let others: Vec<_> = all.iter().map(|exe| arch(exe).to_string_lossy().into_owned()).collect();
        if others.is_empty() { String::new() } else { format!(" for this computer, only for {}", others.join(", ")) }
    })
}

/// The processor that a program is for: class, byte order and machine of an ELF file. None for others, such as scripts.
fn machine(exe: &Path) -> Option<[u8; 4]> {
    let mut head = [0; 20];
    fs::File::open(exe).and_then(|mut file| file.read_exact(&mut head)).ok()?;
    head.starts_with(b"\x7fELF").then_some([head[4], head[5], head[18], head[19]])
}

/// A file that is installed as it is and differs from its source. One with another one's name is told by no source being equal.
fn differing(ioc: &Path, top: &Path) -> Option<String> {
    let all: Vec<PathBuf> = sources(ioc).collect();
    files(&top.join("db")).into_iter().find_map(|installed| {
        let text = fs::read(&installed).ok()?;
        let mut same_name = all.iter().filter(|source| source.file_name() == installed.file_name());
        let first = same_name.clone().next()?;
        let equal = same_name.any(|source| fs::read(source).is_ok_and(|source| source == text));
        (!equal).then(|| format!("{} is not the one that is installed", below(ioc.parent().unwrap_or(ioc), first)))
    })
}

/// A start-up script or the like that differs from the one in the store, beyond its first line, which names programs.
fn other_scripts(here: &Path, there: &Path) -> Option<String> {
    let body = |path: PathBuf| -> Option<String> {
        let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
        Some(if text.starts_with("#!") { text.split_once('\n').map(|(_, rest)| rest.to_owned())? } else { text })
    };
    let names = files(here).into_iter().filter_map(|file| Some(file.strip_prefix(here).ok()?.to_owned()));
    names.filter(|name| name != Path::new("envPaths")).find_map(|name| {
        let (here, there) = (body(here.join(&name))?, body(there.join(&name))?);
        (here != there).then(|| format!("{} is not the one in result", name.display()))
    })
}

/// A source that is newer than what is made of it: code than the executable, the rest than everything installed.
fn newer(top: &Path, boots: &[PathBuf], programs: &Programs) -> Option<String> {
    let paths = boots.iter().map(|boot| boot.join("envPaths"));
    let installed = INSTALLED.iter().flat_map(|folder| files(&top.join(folder))).chain(paths);
    let linked = programs.values().filter_map(|program| modified(program)).min()?;
    let last = installed.filter_map(|file| modified(&file)).max()?;
    let code = |file: &Path| {
        let end = file.extension().and_then(|end| end.to_str()).unwrap_or_default();
        matches!(end, "c" | "cc" | "cpp" | "cxx" | "C" | "h" | "hh" | "hpp" | "st" | "stt")
    };
    let late = |file: &PathBuf| modified(file).is_some_and(|time| time > if code(file) { linked } else { last });
    let source = sources(top).find(|file| late(file) && file.file_name() != Some(RELEASE.as_ref()))?;
    Some(format!("{} is newer than what make built", below(top.parent().unwrap_or(top), &source)))
}

/// Files of an EPICS top that `make` reads, by name. Those of boot folders are read by the IOC itself, as they are.
fn sources(top: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let (top, boot) = (top.to_owned(), top.join("iocBoot"));
    let wanted = move |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let installed = entry.depth() == 1 && INSTALLED.contains(&&*name);
        let made = entry.file_type().is_dir() && name.starts_with("O.");
        let editors = entry.depth() > 0 && (name.starts_with('.') || name.ends_with('~'));
        let read_in_place = entry.depth() == 3 && entry.path().starts_with(&boot) && name != "Makefile";
        !(installed || made || editors || read_in_place)
    };
    let entries = WalkDir::new(top).sort_by_file_name().into_iter().filter_entry(wanted);
    entries.flatten().map(DirEntry::into_path).filter(|path| path.is_file())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    entries.map(DirEntry::into_path).filter(|path| path.is_file()).collect()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    /// A project whose IOC has been made: sources, then products.
    fn project() -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("p");
        let config = tool_project::parse("[ioc]\napp = \"tank\"\nioc = \"iocTank\"\n").unwrap();
        let project = Project { target: root.join("target"), root, config };
        for path in ["tankApp/Db/tank.proto", "tankApp/src/tank.c", "iocBoot/iocTank/st.cmd"] {
            write(&project, &format!("ioc/{path}"), path);
        }
        write(&project, "ioc/iocBoot/iocTank/Makefile", "TARGETS = envPaths\n");
        make(&project);
        (dir, project)
    }

    fn programs(top: &Path) -> Programs {
        Programs::from([("tank".to_owned(), top.join("bin/linux-own/tank"))])
    }

    /// Writes a file that is newer than all others.
    fn write(project: &Project, path: &str, text: &str) {
        let path = project.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let newest = files(&project.root).iter().filter_map(|file| modified(file)).max().unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(newest + Duration::from_secs(1)).unwrap();
    }

    fn make(project: &Project) {
        write(project, "ioc/bin/linux-own/tank", "#!/bin/sh\n");
        write(
            project,
            "ioc/db/tank.proto",
            &fs::read_to_string(project.root.join("ioc/tankApp/Db/tank.proto")).unwrap(),
        );
        let top = project.root.join("ioc");
        write(project, "ioc/iocBoot/iocTank/envPaths", &format!("epicsEnvSet(\"TOP\",\"{}\")\n", top.display()));
    }

    #[track_caller]
    fn stale(project: &Project, part: &str) {
        let state = made(project);
        assert!(matches!(&state, State::Stale(why) if why.contains(part)), "{state:?}");
    }

    #[track_caller]
    fn current(project: &Project) {
        assert_eq!(made(project), State::Current(IocBuild::Make(programs(&project.root.join("ioc")))));
    }

    #[test]
    fn what_make_built_by_hand_is_current_until_a_source_changes() {
        let (_dir, project) = project();
        current(&project);
        write(&project, "ioc/iocBoot/iocTank/st.cmd", "read in place");
        write(&project, "ioc/tankApp/src/O.linux-own/x.d", "made");
        write(&project, "ioc/tankApp/Db/.tank.proto.swp", "an editor's");
        current(&project);
        write(&project, "ioc/tankApp/Db/tank.db", "new");
        stale(&project, "ioc/tankApp/Db/tank.db is newer");
        make(&project);
        current(&project);
        write(&project, "ioc/tankApp/src/tank.c", "new");
        write(&project, "ioc/db/other.db", "installed later than that");
        stale(&project, "ioc/tankApp/src/tank.c is newer");
    }

    #[test]
    fn a_file_with_an_old_date_is_told_by_its_text() {
        let (_dir, project) = project();
        let source = project.root.join("ioc/tankApp/Db/tank.proto");
        let time = modified(&source).unwrap();
        fs::write(&source, "broken").unwrap();
        fs::File::options().write(true).open(&source).unwrap().set_modified(time).unwrap();
        stale(&project, "ioc/tankApp/Db/tank.proto is not the one that is installed");
    }

    #[test]
    fn what_we_had_built_is_current_as_long_as_no_file_changes() {
        let (_dir, project) = project();
        // `make` would not install it: nothing asks for it.
        write(&project, "ioc/tankApp/Db/draft.proto", "1");
        stale(&project, "draft.proto");
        keep(&project, &project.ioc_dir()).unwrap();
        current(&project);
        write(&project, "ioc/tankApp/Db/draft.proto", "2");
        stale(&project, "draft.proto");
        write(&project, "ioc/tankApp/Db/draft.proto", "1");
        current(&project);
        write(&project, "ioc/db/tank.proto", "by hand");
        stale(&project, "tank.proto");
    }

    #[test]
    fn a_build_that_is_not_whole_or_of_another_folder_is_stale() {
        let (dir, project) = project();
        fs::rename(&project.root, dir.path().join("q")).unwrap();
        let moved = Project { root: dir.path().join("q"), ..project };
        stale(&moved, "ioc/iocBoot/iocTank/envPaths is of ");
        forget_moved(&moved);
        stale(&moved, "ioc/iocBoot/iocTank/envPaths is not there, as after `make clean`");
    }

    #[test]
    fn programs_of_other_computers_are_not_taken() {
        let (_dir, project) = project();
        let mut foreign = fs::read("/proc/self/exe").unwrap()[..64].to_vec();
        foreign[18] ^= 0xff;
        fs::create_dir_all(project.root.join("ioc/bin/linux-arm")).unwrap();
        fs::write(project.root.join("ioc/bin/linux-arm/tank"), foreign).unwrap();
        current(&project);
        fs::remove_dir_all(project.root.join("ioc/bin/linux-own")).unwrap();
        let why = "there is no `tank` in ioc/bin/ for this computer, only for linux-arm";
        assert_eq!(made(&project), State::Missing(why.to_owned()));
    }

    #[test]
    fn what_nix_built_is_told_by_its_files() {
        let (dir, project) = project();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        for folder in ["bin", "db"] {
            fs::rename(project.root.join("ioc").join(folder), store.join(folder)).unwrap();
        }
        assert_eq!(nix(&project), State::Missing("there is no IOC in result/".to_owned()));
        fs::create_dir_all(store.join("iocBoot/iocTank")).unwrap();
        fs::write(store.join("iocBoot/iocTank/st.cmd"), "#!other\niocInit\n").unwrap();
        fs::write(project.root.join("ioc/iocBoot/iocTank/st.cmd"), "#!one\niocInit\n").unwrap();
        symlink(&store, project.root.join("result")).unwrap();
        // The link is of now, the sources are dated later.
        assert!(matches!(nix(&project), State::Stale(why) if why.ends_with("is newer than result")));
        keep(&project, &store).unwrap();
        assert_eq!(nix(&project), State::Current(IocBuild::Nix(store.clone(), programs(&store))));
        fs::write(store.join("iocBoot/iocTank/st.cmd"), "#!other\nexit\n").unwrap();
        write(&project, "ioc/tankApp/Db/tank.db", "new");
        assert_eq!(nix(&project), State::Stale("st.cmd is not the one in result".to_owned()));
        fs::write(project.root.join("ioc/tankApp/Db/tank.proto"), "broken").unwrap();
        assert!(matches!(nix(&project), State::Stale(why) if why.contains("tank.proto")));
    }
}
