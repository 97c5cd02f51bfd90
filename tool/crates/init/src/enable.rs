//! Links that `systemctl enable` makes, and what they say about a unit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::unit::load::Loader;
use super::unit::{Load, Unit};

/// Where links are made: for good, or until the machine goes down (`--runtime`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dir {
    /// `/etc/systemd/system`.
    Etc,
    /// `/run/systemd/system`.
    Run,
}

impl Dir {
    fn path(self, loader: &Loader) -> PathBuf {
        match self {
            Self::Etc => loader.paths.etc_units(),
            Self::Run => loader.paths.run_units(),
        }
    }
}

/// The links of a unit: where, to what.
fn links(loader: &Loader, unit: &Unit, dir: Dir) -> Vec<(PathBuf, PathBuf)> {
    let Some(fragment) = &unit.fragment else { return Vec::new() };
    let etc = dir.path(loader);
    let mut name = unit.name.clone();
    if let (Some((prefix, rest)), Some(instance)) = (name.split_once("@."), &unit.install.default_instance) {
        name = format!("{prefix}@{instance}.{rest}");
    }
    let spec = super::unit::words::Specifiers { unit: name.clone(), ..loader.spec.clone() };
    let expand = |text: &String| spec.expand(text).unwrap_or_else(|_| text.clone());
    let mut all: Vec<(PathBuf, PathBuf)> =
        unit.install.alias.iter().map(|alias| (etc.join(expand(alias)), fragment.clone())).collect();
    for (list, suffix) in [(&unit.install.wanted_by, "wants"), (&unit.install.required_by, "requires")] {
        all.extend(
            list.iter().map(|target| (etc.join(format!("{}.{suffix}", expand(target))).join(&name), fragment.clone())),
        );
    }
    all
}

fn is_folder_of_links(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "wants" | "requires")))
}

/// `UnitFileState` of a unit that is asked for by this name.
pub(super) fn state_of(loader: &Loader, name: &str, unit: &Unit) -> &'static str {
    if name != unit.name && loader.is_link(name) { "alias" } else { state(loader, unit) }
}

/// `UnitFileState` of a unit.
pub(super) fn state(loader: &Loader, unit: &Unit) -> &'static str {
    let Some(fragment) = &unit.fragment else {
        let builtin = unit.load == Load::Loaded && unit.name.ends_with(".target");
        return if builtin { "static" } else { "" };
    };
    let in_run = |path: &std::path::Path| path.starts_with(loader.paths.run_units());
    let links = links_to(loader, unit);
    let declared = |alias: &String| unit.install.alias.contains(alias);
    match &unit.load {
        Load::Masked if in_run(fragment) => "masked-runtime",
        Load::Masked => "masked",
        _ if fragment.starts_with("/run/systemd/transient") => "transient",
        Load::BadSetting(_) => "bad",
        _ if links.iter().any(|link| !in_run(link)) || unit.aliases.iter().any(declared) => "enabled",
        _ if !links.is_empty() => "enabled-runtime",
        _ if !unit.aliases.is_empty() && !unit.aliases.iter().all(|a| a == "default.target") => "indirect",
        _ if unit.install.is_empty() => "static",
        _ if !unit.install.also.is_empty() && self::links(loader, unit, Dir::Etc).is_empty() => "indirect",
        _ => "disabled",
    }
}

/// Links to a unit in folders of `.wants` and `.requires`.
pub(super) fn links_to(loader: &Loader, unit: &Unit) -> Vec<PathBuf> {
    let folders =
        loader.paths.unit_dirs().into_iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let folders = folders.filter(|f| f.file_name().to_str().is_some_and(is_folder_of_links));
    let is_template = unit.name.contains("@.");
    // A template is enabled where its default instance is.
    let instance = unit.install.default_instance.as_ref().filter(|_| is_template);
    let name = instance.map_or_else(|| unit.name.clone(), |i| unit.name.replacen("@.", &format!("@{i}."), 1));
    let mut links: Vec<PathBuf> =
        folders.map(|f| f.path().join(&name)).filter(|link| link.symlink_metadata().is_ok()).collect();
    links.sort();
    links
}

/// Makes the links of a unit and of those that it names in `Also=`. Returns lines for the user.
pub(super) fn enable(loader: &Loader, name: &str, dir: Dir) -> Result<Vec<String>, String> {
    let mut said = Vec::new();
    let mut todo = vec![name.to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = todo.pop().filter(|n| !seen.contains(n)) {
        seen.push(name.clone());
        let unit = load_for(loader, &name)?;
        todo.extend(unit.install.also.iter().cloned());
        for (link, target) in links(loader, &unit, dir) {
            if fs::read_link(&link).is_ok_and(|t| t == target) {
                continue;
            }
            let made = link.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
                let _ = fs::remove_file(&link);
                symlink(&target, &link)
            });
            made.map_err(|e| format!("Failed to enable unit: {}: {e}", link.display()))?;
            said.push(format!("Created symlink {} → {}.", link.display(), target.display()));
        }
    }
    Ok(said)
}

/// Removes every link to a unit and to those that it names in `Also=`. Returns lines for the user.
pub(super) fn disable(loader: &Loader, name: &str, dir: Dir) -> Result<Vec<String>, String> {
    let mut said = Vec::new();
    let mut todo = vec![name.to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = todo.pop().filter(|n| !seen.contains(n)) {
        seen.push(name.clone());
        let unit = load_for(loader, &name).map_err(|e| e.replace("enable", "disable"))?;
        todo.extend(unit.install.also.iter().cloned());
        let mut paths: Vec<PathBuf> = links(loader, &unit, dir).into_iter().map(|(link, _)| link).collect();
        let folders = fs::read_dir(dir.path(loader)).into_iter().flatten().flatten().map(|f| f.path());
        for folder in folders.filter(|f| f.to_str().is_some_and(is_folder_of_links)) {
            let instances = list_instances(&folder, &unit.name);
            paths.extend(instances.into_iter().map(|name| folder.join(name)));
        }
        paths.sort();
        paths.dedup();
        for path in paths.into_iter().filter(|p| p.is_symlink()) {
            fs::remove_file(&path).map_err(|e| format!("Failed to disable unit: {}: {e}", path.display()))?;
            said.push(format!("Removed \"{}\".", path.display()));
        }
    }
    Ok(said)
}

/// Links of a unit in a folder; of a template, those of all its instances.
fn list_instances(folder: &std::path::Path, name: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    names.filter(|n| n == name || super::unit::template(n).is_some_and(|t| t == name)).collect()
}

/// Links `default.target` to a target. Returns lines for the user.
pub(super) fn set_default(loader: &Loader, name: &str) -> Result<Vec<String>, String> {
    let unit = loader.load(name);
    let known = unit.load == Load::Loaded && unit.name == name && name.ends_with(".target");
    if !known {
        return Err(format!("Unit file {name} does not exist."));
    }
    let (link, mut said) = (loader.paths.etc_units().join("default.target"), Vec::new());
    // A target of the machine's own has no file; where systemd's would lie serves as well.
    let target = unit.fragment.unwrap_or_else(|| PathBuf::from("/lib/systemd/system").join(name));
    if fs::remove_file(&link).is_ok() {
        said.push(format!("Removed \"{}\".", link.display()));
    }
    symlink(&target, &link).map_err(|e| format!("{}: {e}", link.display()))?;
    said.push(format!("Created symlink {} → {}.", link.display(), target.display()));
    Ok(said)
}

/// Masks a unit or undoes that. Returns lines for the user.
pub(super) fn mask(loader: &Loader, name: &str, on: bool, dir: Dir) -> Result<Vec<String>, String> {
    let path = dir.path(loader).join(name);
    let masked = fs::read_link(&path).is_ok_and(|t| t == std::path::Path::new("/dev/null"));
    let mut said = Vec::new();
    if loader.load(name).load == Load::NotFound {
        said.push(format!("Unit {name} does not exist, proceeding anyway."));
    }
    if on == masked {
        return Ok(said);
    }
    if !on {
        fs::remove_file(&path).map_err(|e| format!("Failed to unmask unit: {}: {e}", path.display()))?;
        return Ok(vec![format!("Removed \"{}\".", path.display())]);
    }
    if path.symlink_metadata().is_ok() {
        return Err(format!("Failed to mask unit: File {} already exists.", path.display()));
    }
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink("/dev/null", &path));
    made.map_err(|e| format!("Failed to mask unit: {}: {e}", path.display()))?;
    said.push(format!("Created symlink {} → /dev/null.", path.display()));
    Ok(said)
}

fn load_for(loader: &Loader, name: &str) -> Result<Unit, String> {
    let unit = loader.load(name);
    match &unit.load {
        Load::Masked => Err(format!("Failed to enable unit: Unit file {name} is masked.")),
        Load::BadSetting(reason) => Err(format!("Failed to enable unit: {reason}")),
        _ if unit.fragment.is_none() => Err(format!("Failed to enable unit: Unit file {name} does not exist.")),
        _ => Ok(unit),
    }
}

/// Follows the `[Install]` sections of all unit files, once in the life of a machine, as systemd does on a first boot.
pub(super) fn preset_all(loader: &Loader) {
    let done = loader.paths.preset_done();
    if done.exists() {
        return;
    }
    for name in loader.names() {
        let is_link = loader.paths.etc_units().join(&name).is_symlink();
        let bare_template = name.contains("@.") && loader.load(&name).install.default_instance.is_none();
        if !is_link && !bare_template {
            let _ = enable(loader, &name, Dir::Etc);
        }
    }
    let _ = done.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(done, ""));
}
