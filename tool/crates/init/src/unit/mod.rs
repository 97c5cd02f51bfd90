//! Units as systemd describes them.

pub mod directives;
pub mod limits;
pub mod load;
pub mod protect;
pub mod rlimits;
pub mod service;
pub mod syntax;
pub mod values;
pub mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

pub use service::Service;

/// How far a unit's file could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// Read.
    Loaded,
    /// There is no such file.
    NotFound,
    /// The file is wrong: file, line, reason.
    BadSetting(String),
    /// The file is a link to `/dev/null`.
    Masked,
}

impl Load {
    /// The value of `LoadState`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::NotFound => "not-found",
            Self::BadSetting(_) => "bad-setting",
            Self::Masked => "masked",
        }
    }
}

/// Kinds of dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as in systemd.unit(5)")]
pub enum Dep {
    Requires,
    Requisite,
    Wants,
    BindsTo,
    PartOf,
    Upholds,
    Conflicts,
    Before,
    After,
    OnFailure,
    OnSuccess,
    PropagatesReloadTo,
    PropagatesStopTo,
}

/// A path condition or assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `ConditionPathExists` and the like.
    pub name: &'static str,
    /// The value as written, without `|` and `!`.
    pub value: String,
    /// `!`: must not hold.
    pub negate: bool,
    /// `|`: one of these is enough.
    pub trigger: bool,
}

/// `[Install]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// Units whose `.wants` folder gets a link.
    pub wanted_by: Vec<String>,
    /// Units whose `.requires` folder gets a link.
    pub required_by: Vec<String>,
    /// Further names.
    pub alias: Vec<String>,
    /// Units enabled with this one.
    pub also: Vec<String>,
    /// Instance that a template is enabled as.
    pub default_instance: Option<String>,
}

impl Install {
    /// Whether `systemctl enable` would do anything.
    pub fn is_empty(&self) -> bool {
        self.wanted_by.is_empty() && self.required_by.is_empty() && self.alias.is_empty() && self.also.is_empty()
    }
}

/// What a unit does when it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Runs processes.
    Service(Box<Service>),
    /// Groups other units.
    Target,
    /// Is there as long as the machine is up: slices, the root mount, the driver's shell.
    Fixed {
        /// `SubState`.
        sub: &'static str,
    },
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "systemd has that many switches")]
pub struct Unit {
    /// Name with suffix.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// How far the file could be read.
    pub load: Load,
    /// The unit's file.
    pub fragment: Option<PathBuf>,
    /// Files that add to it.
    pub drop_ins: Vec<PathBuf>,
    /// Folders that drop-ins are looked for in, as far as they were there.
    pub drop_in_folders: Vec<PathBuf>,
    /// When its file and its drop-ins were written.
    pub written: BTreeMap<PathBuf, SystemTime>,
    /// `Description`, else the name.
    pub description: String,
    /// `Documentation`.
    pub documentation: Vec<String>,
    /// Dependencies by kind, in the order written.
    pub deps: BTreeMap<Dep, Vec<String>>,
    /// Conditions: the start is skipped when they do not hold.
    pub conditions: Vec<Condition>,
    /// Assertions: the start fails when they do not hold.
    pub asserts: Vec<Condition>,
    /// Window of the start limit, µs.
    pub start_limit_interval: u64,
    /// Starts allowed within it.
    pub start_limit_burst: u32,
    /// `DefaultDependencies`.
    pub default_dependencies: bool,
    /// `RefuseManualStart`.
    pub refuse_manual_start: bool,
    /// `RefuseManualStop`.
    pub refuse_manual_stop: bool,
    /// `StopWhenUnneeded`.
    pub stop_when_unneeded: bool,
    /// `CollectMode=inactive-or-failed`: it is forgotten though it has failed.
    pub collect_failed: bool,
    /// `JobTimeoutSec`, µs.
    pub job_timeout: u64,
    /// What to say of limits that nothing here keeps.
    pub limits_word: Option<String>,
    /// `[Install]`.
    pub install: Install,
    /// What it does.
    pub kind: Kind,
}

impl Unit {
    /// A unit of which nothing but the name is known.
    pub fn new(name: &str, load: Load) -> Self {
        let kind = match name.rsplit_once('.') {
            Some((_, "target")) => Kind::Target,
            _ => Kind::Service(Box::default()),
        };
        Self {
            name: name.to_owned(),
            aliases: Vec::new(),
            load,
            fragment: None,
            drop_ins: Vec::new(),
            drop_in_folders: Vec::new(),
            written: BTreeMap::new(),
            description: name.to_owned(),
            documentation: Vec::new(),
            deps: BTreeMap::new(),
            conditions: Vec::new(),
            asserts: Vec::new(),
            start_limit_interval: 10_000_000,
            start_limit_burst: 5,
            default_dependencies: true,
            refuse_manual_start: false,
            refuse_manual_stop: false,
            stop_when_unneeded: false,
            collect_failed: false,
            job_timeout: values::INFINITY,
            limits_word: None,
            install: Install::default(),
            kind,
        }
    }

    /// The service, if it is one.
    pub fn service(&self) -> Option<&Service> {
        match &self.kind {
            Kind::Service(service) => Some(service),
            _ => None,
        }
    }

    /// Units that it depends on in this way.
    pub fn dep(&self, kind: Dep) -> &[String] {
        self.deps.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Adds a dependency once.
    pub fn add_dep(&mut self, kind: Dep, name: &str) {
        let names = self.deps.entry(kind).or_default();
        if name != self.name && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }

    /// `name - description`, as systemd names a unit in messages.
    pub fn title(&self) -> String {
        if self.description == self.name { self.name.clone() } else { format!("{} - {}", self.name, self.description) }
    }

    /// Adds what every unit of its kind depends on.
    pub fn add_default_deps(&mut self) {
        let required = [Dep::Requires, Dep::Wants, Dep::BindsTo, Dep::Requisite];
        if self.default_dependencies && self.load == Load::Loaded {
            match &self.kind {
                Kind::Service(_) => {
                    self.add_dep(Dep::Requires, "sysinit.target");
                    self.add_dep(Dep::Requires, "system.slice");
                    self.add_dep(Dep::After, "system.slice");
                    self.add_dep(Dep::After, "sysinit.target");
                    self.add_dep(Dep::After, "basic.target");
                    self.add_dep(Dep::Conflicts, "shutdown.target");
                    self.add_dep(Dep::Before, "shutdown.target");
                }
                Kind::Target => {
                    let members: Vec<String> = required.iter().flat_map(|d| self.dep(*d).to_vec()).collect();
                    for member in members.iter().filter(|m| !self.dep(Dep::Before).contains(m)).collect::<Vec<_>>() {
                        self.add_dep(Dep::After, member);
                    }
                    if self.name != "shutdown.target" {
                        self.add_dep(Dep::Conflicts, "shutdown.target");
                        self.add_dep(Dep::Before, "shutdown.target");
                    }
                }
                Kind::Fixed { .. } => {}
            }
        }
    }
}

/// Template of an instance: `inst@a.service` comes from `inst@.service`.
pub fn template(name: &str) -> Option<String> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}

/// Suffixes of units.
pub const SUFFIXES: [&str; 11] =
    ["service", "target", "socket", "timer", "path", "mount", "automount", "swap", "slice", "scope", "device"];

/// Whether it is a full name of a unit.
pub fn is_valid_name(name: &str) -> bool {
    let Some((stem, suffix)) = name.rsplit_once('.') else { return false };
    !stem.is_empty()
        && !stem.starts_with('@')
        && name.len() < 256
        && SUFFIXES.contains(&suffix)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
}

/// A name as typed, made a full name as `systemctl` does: `.service` is added, odd characters are escaped.
pub fn mangle(typed: &str) -> Option<String> {
    if typed.is_empty() {
        return None;
    }
    if is_valid_name(typed) {
        return Some(typed.to_owned());
    }
    if typed.starts_with("/dev/") {
        return Some(format!("{}.device", typed[1..].replace('-', "\\x2d").replace('/', "-")));
    }
    let mut name = String::new();
    for byte in typed.bytes() {
        match byte {
            b'/' => name.push('-'),
            b if b.is_ascii_alphanumeric() || b":-_.\\@*?[]".contains(&b) => name.push(b.into()),
            b => {
                let _ = write!(name, "\\x{b:02x}");
            }
        }
    }
    let known = name.rsplit_once('.').is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix));
    Some(if known { name } else { name + ".service" })
}
