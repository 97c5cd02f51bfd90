//! Links that `systemctl enable` makes, and what they say about a unit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::unit::load::Loader;
use super::unit::{Load, Unit};

/// The links of a unit: where, to what.
fn links(loader: &Loader, unit: &Unit) -> Vec<(PathBuf, PathBuf)> {
    let Some(fragment) = &unit.fragment else { return Vec::new() };
    let etc = loader.paths.etc_units();
    let mut name = unit.name.clone();
    if let (Some((prefix, rest)), Some(instance)) = (name.split_once("@."), &unit.install.default_instance) {
        name = format!("{prefix}@{instance}.{rest}");
    }
    let spec = super::unit::words::Specifiers { unit: name.clone(), ..loader.spec.clone() };
    let expand = |text: &String| spec.expand(text).unwrap_or_else(|_| text.clone());
    let mut all = Vec::new();
    for (list, suffix) in [(&unit.install.wanted_by, "wants"), (&unit.install.required_by, "requires")] {
        all.extend(
            list.iter().map(|target| (etc.join(format!("{}.{suffix}", expand(target))).join(&name), fragment.clone())),
        );
    }
    all.extend(unit.install.alias.iter().map(|alias| (etc.join(expand(alias)), fragment.clone())));
    all
}

fn is_folder_of_links(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "wants" | "requires")))
}

/// `UnitFileState` of a unit.
pub(super) fn state(loader: &Loader, unit: &Unit) -> &'static str {
    match (&unit.load, &unit.fragment) {
        (Load::Masked, _) => "masked",
        (_, None) => "",
        (Load::BadSetting(_), _) => "bad",
        _ => {
            let wanted = loader.paths.unit_dirs().iter().any(|dir| {
                let folders = fs::read_dir(dir).into_iter().flatten().flatten();
                folders
                    .filter(|f| f.file_name().to_str().is_some_and(is_folder_of_links))
                    .any(|f| f.path().join(&unit.name).symlink_metadata().is_ok())
            });
            if wanted || !unit.aliases.is_empty() {
                "enabled"
            } else if unit.install.is_empty() {
                "static"
            } else if !unit.install.also.is_empty() && links(loader, unit).is_empty() {
                "indirect"
            } else {
                "disabled"
            }
        }
    }
}

/// Makes the links of a unit and of those that it names in `Also=`. Returns lines for the user.
pub(super) fn enable(loader: &Loader, name: &str) -> Result<Vec<String>, String> {
    let mut said = Vec::new();
    let mut todo = vec![name.to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = todo.pop().filter(|n| !seen.contains(n)) {
        seen.push(name.clone());
        let unit = load_for(loader, &name)?;
        todo.extend(unit.install.also.iter().cloned());
        for (link, target) in links(loader, &unit) {
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

/// Removes every link to a unit. Returns lines for the user.
pub(super) fn disable(loader: &Loader, name: &str) -> Result<Vec<String>, String> {
    let unit = load_for(loader, name).map_err(|e| e.replace("enable", "disable"))?;
    let mut said = Vec::new();
    let mut paths: Vec<PathBuf> = links(loader, &unit).into_iter().map(|(link, _)| link).collect();
    let folders = fs::read_dir(loader.paths.etc_units()).into_iter().flatten().flatten().map(|f| f.path());
    paths.extend(folders.filter(|f| f.to_str().is_some_and(is_folder_of_links)).map(|f| f.join(&unit.name)));
    paths.sort();
    paths.dedup();
    for path in paths.into_iter().filter(|p| p.is_symlink()) {
        fs::remove_file(&path).map_err(|e| format!("Failed to disable unit: {}: {e}", path.display()))?;
        said.push(format!("Removed \"{}\".", path.display()));
    }
    Ok(said)
}

/// Masks a unit or undoes that. Returns lines for the user.
pub(super) fn mask(loader: &Loader, name: &str, on: bool) -> Result<Vec<String>, String> {
    let path = loader.paths.etc_units().join(name);
    let masked = fs::read_link(&path).is_ok_and(|t| t == std::path::Path::new("/dev/null"));
    if on == masked {
        return Ok(Vec::new());
    }
    if !on {
        fs::remove_file(&path).map_err(|e| format!("Failed to unmask unit: {}: {e}", path.display()))?;
        return Ok(vec![format!("Removed \"{}\".", path.display())]);
    }
    if path.symlink_metadata().is_ok() {
        return Err(format!("Failed to mask unit: File {} already exists.", path.display()));
    }
    symlink("/dev/null", &path).map_err(|e| format!("Failed to mask unit: {}: {e}", path.display()))?;
    Ok(vec![format!("Created symlink {} → /dev/null.", path.display())])
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
            let _ = enable(loader, &name);
        }
    }
    let _ = done.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(done, ""));
}
