//! Tells the host's trouble from failed checks, by what Nix says. Texts of Nix 2.8 to 2.34, Lix and Determinate Nix.
//!
//! Texts change with each Nix, so they give reasons and hints. What failed is told by the .drv file that an error names;
//! an error that nobody knows is the host's.

use tool_base::fail::{Failure, Status};

/// One error of Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What Nix said, without colour.
    pub text: String,
    /// The derivation that it is about.
    pub drv: Option<String>,
    /// What it means.
    pub trouble: Trouble,
}

/// What one error of Nix means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A builder failed, with this exit status if it was not killed.
    BuildFailed(Option<u8>),
    /// A build ran into its limit, in seconds.
    TimedOut(u64),
    /// `--rebuild` worked, but gave other files than before.
    NotDeterministic,
    /// Something that it needs has failed, and has an error of its own.
    FollowUp,
    /// No builder has the features that are asked for.
    NoFeature(Vec<String>),
    /// No builder is of this system.
    NoSystem(String),
    /// Something could not be fetched: its address.
    Unreachable(String),
    /// No space left.
    DiskFull,
    /// The daemon does not run.
    NoDaemon(String),
    /// The daemon does not let us in.
    ShutOut(String),
    /// There is nobody to build as.
    NoBuildUsers,
    /// Nix's sandbox cannot be made.
    NoNamespaces,
    /// The store is another user's, and no daemon was asked.
    StoreShut,
    /// Git and Nix read no repository of another user.
    ForeignOwner,
    /// flake.lock does not fit flake.nix.
    LockOutdated,
    /// Old Nix cannot read a flake in a folder whose path has a space.
    OddPath(String),
    /// An option that Nix does not know.
    Usage,
    /// Ctrl-C.
    Interrupted,
    /// An error in the project's files.
    Project,
    /// Anything else.
    Unknown,
}

impl Told {
    /// Reads an error, without colour.
    pub fn read(text: &str) -> Self {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let trouble = classify(&flat);
        // `build of 'A', 'B' failed` says nothing of any one.
        let all = flat.starts_with("error: build of ");
        let drv = quoted(&flat).find(|word| word.contains(".drv")).map(clean_drv).filter(|_| !all);
        Self { text: text.to_owned(), drv, trouble }
    }
}

/// Says what an error means whose white space is single blanks.
fn classify(flat: &str) -> Trouble {
    let has = |words: &[&str]| words.iter().any(|word| flat.contains(word));
    // A failed builder first: the last lines of its log come with the error, and may say anything.
    if has(&["failed with exit code", "failed due to signal", "failed to produce output path"]) && has(&[".drv'"]) {
        return Trouble::BuildFailed(
            flat.split("failed with exit code ").nth(1).and_then(|rest| digits(rest).parse().ok()),
        );
    }
    if let Some((_, rest)) = flat.split_once("timed out after ")
        && (has(&[".drv"]) || flat.starts_with("error: timed out"))
    {
        return Trouble::TimedOut(digits(rest).parse().unwrap_or(0));
    }
    if has(&["may not be deterministic"]) {
        return Trouble::NotDeterministic;
    }
    if has(&["failed to build", "dependency failed", "dependencies failed"]) || flat.starts_with("error: build of ") {
        return Trouble::FollowUp;
    }
    if let Some(trouble) = refused(flat) {
        return trouble;
    }
    if has(&["is not a valid URL"])
        && let Some(path) = quoted(flat).find(|url| url.starts_with("file://"))
    {
        return Trouble::OddPath(path.to_owned());
    }
    let url = || quoted(flat).find(|word| word.contains("://")).unwrap_or("").to_owned();
    if has(&["unable to download", "unable to access", "Could not resolve host", "failed to fetch"]) {
        return Trouble::Unreachable(url());
    }
    if has(&["No space left on device", "database or disk is full", "lack of free disk space"]) {
        return Trouble::DiskFull;
    }
    if has(&["cannot connect to socket", "cannot connect to daemon", "cannot open connection to remote store"]) {
        let socket = quoted(flat).next().unwrap_or("the daemon's socket").to_owned();
        return if has(&["Permission denied"]) { Trouble::ShutOut(socket) } else { Trouble::NoDaemon(socket) };
    }
    if has(&["build-users-group", "the build users group"]) {
        return Trouble::NoBuildUsers;
    }
    if has(&["kernel namespaces", "cloning builder process", "unable to start build process"]) {
        return Trouble::NoNamespaces;
    }
    if has(&["big-lock", "readonly database", "read-only database", "read only database"]) {
        return Trouble::StoreShut;
    }
    if has(&["is not owned by current user", "dubious ownership"]) {
        return Trouble::ForeignOwner;
    }
    if has(&["requires lock file changes", "--no-update-lock-file"]) {
        return Trouble::LockOutdated;
    }
    if has(&["interrupted by the user"]) {
        return Trouble::Interrupted;
    }
    if has(&["unrecognised flag", "unrecognized flag"]) {
        return Trouble::Usage;
    }
    // A place in a .nix file; old Nix has none for `throw`, so what `tool/nix` throws is known by what it is about.
    let place = [".nix:", ".nix'", "does not provide attribute", "ioc.toml", "checks/", "Failed assertions"];
    let gone = has(&["-source/"]) && has(&["No such file or directory"]);
    if (has(&place) || gone) && !has(&["Permission denied"]) {
        return Trouble::Project;
    }
    Trouble::Unknown
}

/// `a 'S' with features {F} is required to build 'D', but I am a 'T' with features {G}`, or the newer
/// `Required system: 'S' with features {F} Current system: 'T' with features {G}`, where since 2.34 the features have
/// lines of their own and what fits is left out: `Required features: {F} Available features: {G}`.
fn refused(flat: &str) -> Option<Trouble> {
    let after = |key: &str| flat.split_once(key).map(|(_, rest)| rest);
    let (system, features) = if let Some((required, rest)) = flat.split_once(" is required to build ") {
        let present = rest.split_once("but I am a ")?.1;
        (Some((required, present)), Some((required, present)))
    } else {
        let system = after("Required system: ").zip(after("Current system: "));
        (system, after("Required features: ").zip(after("Available features: ")).or(system))
    };
    let name = |text: &str| quoted(text).next().unwrap_or_default().to_owned();
    if let Some(wanted) =
        system.map(|(wanted, here)| (name(wanted), name(here))).filter(|(wanted, here)| wanted != here)
    {
        return Some(Trouble::NoSystem(wanted.0));
    }
    let list = |text: &str| -> Vec<String> {
        let list = text.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(list, _)| list);
        list.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    let (wanted, present) = features.map(|(wanted, present)| (list(wanted), list(present)))?;
    Some(Trouble::NoFeature(wanted.into_iter().filter(|f| !present.contains(f)).collect()))
}

/// Words in single quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('\'').skip(1).step_by(2)
}

/// `/nix/store/x.drv!out` and `/nix/store/x.drv^*` as `/nix/store/x.drv`.
fn clean_drv(word: &str) -> String {
    word.split_once(".drv").map_or(word.to_owned(), |(path, _)| format!("{path}.drv"))
}

fn digits(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default()
}

impl Trouble {
    /// Whether it is known to be no check's fault.
    pub fn is_host(&self) -> bool {
        !matches!(
            self,
            Self::BuildFailed(_)
                | Self::TimedOut(_)
                | Self::NotDeterministic
                | Self::FollowUp
                | Self::Project
                | Self::Unknown
        )
    }

    /// The error to end with; `text` is all that Nix said about it.
    fn failure(&self, text: &str) -> Failure {
        let (what, hint) = match self {
            Self::NoFeature(features) if features.iter().any(|f| f == "kvm") => (
                "no builder of Nix has the feature `kvm`".to_owned(),
                "cargo xtask check-kvm says why and cargo xtask configure-nix changes it; \
                 neither is needed for --backend driver and --backend sandbox",
            ),
            Self::NoFeature(features) => (
                format!("no builder of Nix has the feature `{}`", features.join("`, `")),
                "add it to `extra-system-features` in nix.conf, or to the line of a remote builder; \
                 it is not needed for --backend driver and --backend sandbox",
            ),
            Self::NoSystem(system) => (
                format!("no builder of Nix is of the system `{system}`"),
                "name one by --builders 'ssh-ng://HOST SYSTEM', see tool/docs/nix.md",
            ),
            Self::Unreachable(url) => (
                if url.is_empty() {
                    "Nix could not fetch an input".to_owned()
                } else {
                    format!("Nix could not fetch {url}")
                },
                "look at the network or the proxy (https_proxy), or run checks that need none: --backend sandbox",
            ),
            Self::DiskFull => ("the disk is full".to_owned(), "nix-collect-garbage"),
            Self::NoDaemon(socket) => {
                (format!("the daemon of Nix does not answer at {socket}"), "sudo systemctl start nix-daemon.socket")
            }
            Self::ShutOut(socket) => (
                format!("you may not ask the daemon of Nix at {socket}"),
                "sudo usermod -aG nix-users \"$USER\"    # then log out and in again",
            ),
            Self::NoBuildUsers => (
                "Nix has no build users, so it refuses every build".to_owned(),
                "cargo xtask doctor --backend nixos says what is missing; --backend sandbox needs no Nix",
            ),
            Self::NoNamespaces => (
                "Nix cannot make the namespaces of its build sandbox here".to_owned(),
                "cargo xtask doctor says why; a container must be allowed to make them",
            ),
            Self::StoreShut => (
                "the store of Nix belongs to another user, and Nix asks no daemon".to_owned(),
                "sudo systemctl enable --now nix-daemon.socket, then unset NIX_REMOTE",
            ),
            Self::ForeignOwner => (
                "the repository belongs to another user, so Git and Nix do not read it".to_owned(),
                "git config --global --add safe.directory \"$PWD\", or sudo chown -R \"$USER\" .",
            ),
            Self::LockOutdated => (
                "flake.lock does not fit flake.nix".to_owned(),
                "nix --extra-experimental-features 'nix-command flakes' flake lock",
            ),
            Self::OddPath(path) => (
                format!("this Nix cannot read a flake in a folder whose path has such characters: {path}"),
                "give the folder a plain name, or use a newer Nix; --backend sandbox takes any",
            ),
            Self::Usage => return Failure::new(Status::Usage, format!("Nix refuses an option\n\n{}", text.trim())),
            Self::Interrupted => return Failure::new(Status::Interrupted, "interrupted"),
            Self::BuildFailed(_) | Self::TimedOut(_) | Self::NotDeterministic | Self::FollowUp => {
                return Failure::new(Status::CheckFailed, format!("Nix could not build it\n\n{}", text.trim()));
            }
            Self::Project => {
                return Failure::new(Status::Config, format!("Nix could not evaluate it\n\n{}", text.trim()));
            }
            Self::Unknown => {
                return Failure::new(Status::HostNotReady, format!("Nix failed\n\n{}", text.trim()));
            }
        };
        Failure::new(Status::HostNotReady, format!("{what}\n\n{}", text.trim())).hint(hint)
    }
}

/// The error that explains a run of Nix that failed, out of all that it gave: host's trouble first, what nobody knows last.
pub fn explain(errors: &[Told]) -> Failure {
    let rank = |trouble: &Trouble| match trouble {
        Trouble::Unknown => 3,
        Trouble::FollowUp => 2,
        known => u8::from(!known.is_host()),
    };
    let trouble = errors.iter().map(|e| &e.trouble).min_by_key(|trouble| rank(trouble)).unwrap_or(&Trouble::Unknown);
    let text = errors.iter().map(|e| e.text.as_str()).collect::<Vec<_>>().join("\n");
    trouble.failure(if text.trim().is_empty() { "It said nothing." } else { &text })
}

#[cfg(test)]
mod tests;
