//! Finding units: files, drop-ins, links, and the ones that every machine has.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::paths::Paths;
use super::words::Specifiers;
use super::{Dep, Kind, Load, Unit, directives, is_valid_name, limits, syntax, template};

/// Reads units from the folders of the machine.
#[derive(Debug, Clone)]
pub struct Loader {
    /// Where the folders are.
    pub(crate) paths: Paths,
    /// What `%H`, `%b` and `%m` stand for.
    pub spec: Specifiers,
}

/// Targets of every machine: name, description, units required, units wanted.
const TARGETS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "basic.target",
        "Basic System",
        &["sysinit.target"],
        &["sockets.target", "timers.target", "paths.target", "slices.target"],
    ),
    ("cryptsetup.target", "Local Encrypted Volumes", &[], &[]),
    ("emergency.target", "Emergency Mode", &[], &[]),
    ("exit.target", "Exit the Session", &[], &[]),
    ("final.target", "Late Shutdown Services", &[], &[]),
    ("getty.target", "Login Prompts", &[], &[]),
    ("graphical.target", "Graphical Interface", &["multi-user.target"], &[]),
    ("halt.target", "System Halt", &[], &[]),
    ("local-fs-pre.target", "Preparation for Local File Systems", &[], &[]),
    ("local-fs.target", "Local File Systems", &[], &[]),
    (
        "multi-user.target",
        "Multi-User System",
        &["basic.target"],
        &[
            "getty.target",
            "network-online.target",
            "network.target",
            "nss-lookup.target",
            "nss-user-lookup.target",
            "remote-fs.target",
            "backdoor.service",
        ],
    ),
    ("network-online.target", "Network is Online", &[], &["network.target"]),
    ("network-pre.target", "Preparation for Network", &[], &[]),
    ("network.target", "Network", &[], &[]),
    ("nss-lookup.target", "Host and Network Name Lookups", &[], &[]),
    ("nss-user-lookup.target", "User and Group Name Lookups", &[], &[]),
    ("paths.target", "Path Units", &[], &[]),
    ("poweroff.target", "System Power Off", &[], &[]),
    ("reboot.target", "System Reboot", &[], &[]),
    ("remote-fs-pre.target", "Preparation for Remote File Systems", &[], &[]),
    ("remote-fs.target", "Remote File Systems", &[], &[]),
    ("rescue.target", "Rescue Mode", &[], &[]),
    ("rpcbind.target", "RPC Port Mapper", &[], &[]),
    ("shutdown.target", "System Shutdown", &[], &[]),
    ("sleep.target", "Sleep", &[], &[]),
    ("slices.target", "Slice Units", &[], &["-.slice", "system.slice"]),
    ("sockets.target", "Socket Units", &[], &[]),
    ("swap.target", "Swaps", &[], &[]),
    ("sysinit.target", "System Initialization", &[], &["local-fs.target", "swap.target"]),
    ("time-set.target", "System Time Set", &[], &[]),
    ("time-sync.target", "System Time Synchronized", &[], &[]),
    ("timers.target", "Timer Units", &[], &[]),
    ("umount.target", "Unmount All Filesystems", &[], &[]),
];

/// Units that are up as long as the machine is: name, description, `SubState`.
const FIXED: &[(&str, &str, &str)] = &[
    ("-.mount", "Root Mount", "mounted"),
    ("-.slice", "Root Slice", "active"),
    ("backdoor.service", "Shell of the test driver", "running"),
    ("init.scope", "System and Service Manager", "running"),
    ("system.slice", "System Slice", "active"),
    ("systemd-journald-dev-log.socket", "Journal Socket (/dev/log)", "running"),
    ("systemd-journald.service", "Journal Service", "running"),
    ("systemd-journald.socket", "Journal Socket", "running"),
    ("user.slice", "User and Session Slice", "active"),
];

/// The target that `default.target` stands for unless a link says otherwise.
const DEFAULT: &str = "multi-user.target";

impl Loader {
    /// The unit called `name`, an alias resolved: the result may have another name.
    pub fn load(&self, name: &str) -> Unit {
        let mut unit = self.load_file(name);
        for (suffix, kind) in [("wants", Dep::Wants), ("requires", Dep::Requires)] {
            for dir in self.paths.unit_dirs() {
                for link in list(&dir.join(format!("{}.{suffix}", unit.name))) {
                    if is_valid_name(&link) {
                        unit.add_dep(kind, &link);
                    }
                }
            }
        }
        unit.add_default_deps();
        unit
    }

    fn load_file(&self, name: &str) -> Unit {
        if let Some((_, description, sub)) = FIXED.iter().find(|(n, ..)| *n == name) {
            let mut unit = Unit::new(name, Load::Loaded);
            (*description).clone_into(&mut unit.description);
            unit.kind = Kind::Fixed { sub };
            return unit;
        }
        let real = self.resolve(name);
        let mut unit = Unit::new(&real, Load::NotFound);
        unit.aliases = self.aliases(&real);
        let Some(fragment) = self.find(&real).or_else(|| self.find(&template(&real)?)) else {
            return builtin(unit);
        };
        if fs::canonicalize(&fragment).is_ok_and(|p| p == Path::new("/dev/null")) {
            unit.load = Load::Masked;
            unit.fragment = Some(fragment);
            return unit;
        }
        (unit.drop_ins, unit.drop_in_folders) = self.drop_ins(&real);
        unit.fragment = Some(fragment.clone());
        unit.written = unit
            .drop_ins
            .iter()
            .chain([&fragment])
            .filter_map(|file| Some((file.clone(), file.metadata().ok()?.modified().ok()?)))
            .collect();
        let kind = real.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        if !matches!(kind, "service" | "target") {
            let reason = kind_refused(&fragment.display().to_string(), &real);
            unit.load = Load::BadSetting(format!("{reason}; backend nixos has them"));
            return unit;
        }
        let unread = unit.clone();
        match self.build(unit, &fragment) {
            Ok(unit) => unit,
            Err(reason) => Unit { load: Load::BadSetting(reason), ..unread },
        }
    }

    fn build(&self, unit: Unit, fragment: &Path) -> Result<Unit, String> {
        let spec = Specifiers { unit: unit.name.clone(), fragment: fragment.to_owned(), ..self.spec.clone() };
        let mut files = Vec::new();
        for path in std::iter::once(fragment).chain(unit.drop_ins.iter().map(PathBuf::as_path)) {
            let name = path.display().to_string();
            let bytes = fs::read(path).map_err(|e| format!("{name}: {e}"))?;
            let text = String::from_utf8(bytes).map_err(|_| format!("{name}: is not UTF-8"))?;
            files.push((name.clone(), syntax::parse(&text).map_err(|e| format!("{name}, {e}"))?));
        }
        let mut unit = directives::build(unit, &spec, &files)?;
        unit.limits_word = limits::without_effect(&unit.name, files.iter().flat_map(|(_, entries)| entries));
        Ok(unit)
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        self.paths.unit_dirs().into_iter().map(|dir| dir.join(name)).find(|p| p.symlink_metadata().is_ok())
    }

    /// The real name behind an alias: a link in a folder of units to a unit of another name.
    fn resolve(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for _ in 0..8 {
            let target = self.find(&name).and_then(|p| fs::read_link(p).ok());
            let target = target.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
            match target.filter(|t| is_valid_name(t) && *t != name && Some(t) != template(&name).as_ref()) {
                Some(target) => name = target,
                None => break,
            }
        }
        if name == "default.target" && self.find(&name).is_none() { DEFAULT.to_owned() } else { name }
    }

    fn aliases(&self, real: &str) -> Vec<String> {
        let mut names: Vec<String> = self.links();
        names.retain(|n| n != real && self.resolve(n) == real);
        if self.resolve("default.target") == real && real != "default.target" {
            names.push("default.target".to_owned());
        }
        names.sort();
        names.dedup();
        names
    }

    /// Names that are links.
    fn links(&self) -> Vec<String> {
        let is_link = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_symlink());
        let entries = self.paths.unit_dirs().into_iter().flat_map(|d| fs::read_dir(d).into_iter().flatten().flatten());
        entries.filter(is_link).filter_map(|e| e.file_name().into_string().ok()).filter(|n| is_valid_name(n)).collect()
    }

    /// The drop-ins of a unit, and the folders that may hold some.
    fn drop_ins(&self, name: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut folders = vec![name.to_owned()];
        folders.extend(template(name));
        // `a-b-c.service` takes what `a-b-.service.d` and `a-.service.d` say, too.
        let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
        folders.extend(stem.rmatch_indices('-').map(|(at, _)| format!("{}.{suffix}", &stem[..=at])));
        folders.push(suffix.to_owned());
        let (mut found, mut there) = (Vec::<PathBuf>::new(), Vec::new());
        for dir in self.paths.unit_dirs() {
            for folder in &folders {
                let folder = dir.join(format!("{folder}.d"));
                there.extend(folder.is_dir().then(|| folder.clone()));
                for file in list(&folder).into_iter().filter(|f| Path::new(f).extension().is_some_and(|e| e == "conf"))
                {
                    if !found.iter().any(|p| p.ends_with(&file)) {
                        found.push(folder.join(file));
                    }
                }
            }
        }
        found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        (found, there)
    }

    /// Whether a name is that of a link in a folder of units.
    pub fn is_link(&self, name: &str) -> bool {
        name == "default.target" || self.find(name).is_some_and(|path| path.is_symlink())
    }

    /// What `default.target` stands for.
    pub fn default_target(&self) -> String {
        self.resolve("default.target")
    }

    /// Names that stand in the folders of units, links and templates too, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.paths.unit_dirs().iter().flat_map(|d| list(d)).collect();
        names.retain(|n| n.rsplit_once('.').is_some_and(|(_, suffix)| super::SUFFIXES.contains(&suffix)));
        names.sort();
        names.dedup();
        names
    }
}

/// Looks at the text of a unit file, with those of its drop-ins, before any machine has it. The error names file, line
/// and directive.
pub fn check_text(name: &str, text: &str, drop_ins: &[(&str, &str)]) -> Result<(), String> {
    if !is_valid_name(name) {
        return Err(format!("{name}: is no name of a unit"));
    }
    if !matches!(name.rsplit_once('.'), Some((_, "service" | "target"))) {
        return Err(kind_refused(name, name));
    }
    let spec = Specifiers { unit: name.to_owned(), ..Specifiers::default() };
    let mut files = Vec::new();
    for (file, text) in std::iter::once(&(name, text)).chain(drop_ins) {
        files.push(((*file).to_owned(), syntax::parse(text).map_err(|e| format!("{file}, {e}"))?));
    }
    directives::build(Unit::new(name, Load::NotFound), &spec, &files).map(|_| ())
}

fn kind_refused(place: &str, name: &str) -> String {
    let kind = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    format!("{place}: units of kind .{kind} are not offered by the sandbox (.service and .target are)")
}

fn list(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Fills in a unit that has no file: one of the machine's own, or a device that is there.
fn builtin(mut unit: Unit) -> Unit {
    let name = unit.name.clone();
    if let Some((_, description, requires, wants)) = TARGETS.iter().find(|(n, ..)| *n == name) {
        (*description).clone_into(&mut unit.description);
        unit.load = Load::Loaded;
        requires.iter().for_each(|n| unit.add_dep(Dep::Requires, n));
        wants.iter().for_each(|n| unit.add_dep(Dep::Wants, n));
        unit.refuse_manual_start = matches!(name.as_str(), "shutdown.target" | "final.target" | "umount.target");
    } else if let Some(stem) = name.strip_suffix(".device") {
        let path = format!("/{}", super::words::unescape_name(stem));
        if Path::new(&path).exists() {
            unit.load = Load::Loaded;
            unit.description = path;
            unit.kind = Kind::Fixed { sub: "plugged" };
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loader(files: &[(&str, &str)]) -> (tempfile::TempDir, Loader) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::below(dir.path());
        for (name, text) in files {
            let path = paths.etc_units().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        (dir, Loader { paths, spec: Specifiers::default() })
    }

    #[test]
    fn templates_drop_ins_and_links() {
        let (_dir, loader) = loader(&[
            ("inst@.service", "[Unit]\nDescription=of %i\n[Service]\nExecStart=/bin/true\n"),
            ("inst@.service.d/10.conf", "[Service]\nRestart=always\n"),
            ("inst@a.service.d/20.conf", "[Unit]\nDescription=mine\n"),
            ("also.service", "-> inst@a.service"),
            ("multi-user.target.wants/inst@a.service", "-> ../inst@.service"),
        ]);
        let unit = loader.load("also.service");
        assert_eq!((unit.name.as_str(), unit.description.as_str()), ("inst@a.service", "mine"));
        assert_eq!(unit.drop_ins.len(), 2);
        assert!(loader.load("default.target").dep(Dep::Wants).contains(&"inst@a.service".to_owned()));
        assert_eq!(loader.load("inst@b.service").description, "of b");
    }

    #[test]
    fn default_target_is_an_alias() {
        let (_dir, loader) = loader(&[("off.service", "-> /dev/null")]);
        let unit = loader.load("default.target");
        assert_eq!((unit.name.as_str(), &unit.aliases[..]), ("multi-user.target", &["default.target".to_owned()][..]));
        assert_eq!(loader.load("off.service").load, Load::Masked);
        assert_eq!(loader.load("none.service").load, Load::NotFound);
    }

    #[test]
    fn a_text_can_be_checked_beforehand() {
        assert_eq!(check_text("a.service", "[Service]\nExecStart=/x\n", &[]), Ok(()));
        let error = check_text("a.service", "[Service]\nExecStrat=/x\n", &[]).unwrap_err();
        assert!(error.contains("a.service:2:") && error.contains("did you mean `ExecStart`?"), "{error}");
        assert!(check_text("a.timer", "", &[]).is_err());
        let more = [("a.service.d/x.conf", "[Service]\nFoo=1\n")];
        let error = check_text("a.service", "[Service]\nExecStart=/x\n", &more).unwrap_err();
        assert!(error.starts_with("a.service.d/x.conf:2: directive `Foo`"), "{error}");
    }

    #[test]
    fn an_error_names_file_and_line() {
        let (_dir, loader) =
            loader(&[("a.service", "[Service]\nExecStart=/bin/true\nFoo=1\n"), ("b.timer", "[Timer]\n")]);
        let Load::BadSetting(reason) = loader.load("a.service").load else { panic!("loaded") };
        assert!(reason.ends_with("a.service:3: directive `Foo` of [Service] is not known to the sandbox"), "{reason}");
        let Load::BadSetting(reason) = loader.load("b.timer").load else { panic!("loaded") };
        assert!(reason.contains("units of kind .timer are not offered"), "{reason}");
    }
}
