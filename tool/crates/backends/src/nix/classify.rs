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
    if has(&["is not a valid URL"]) && quoted(flat).any(|url| url.contains(' ')) {
        return Trouble::OddPath(quoted(flat).next().unwrap_or_default().to_owned());
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
                format!("this old Nix cannot read a flake in a folder with a space in its path: {path}"),
                "move the checkout, or use a newer Nix",
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tool_base::fail;

    const OLD_FEATURE: &str = "error: a 'x86_64-linux' with features {kvm, nixos-test} is required to build '/nix/store/y-vm-test-run-a.drv', but I am a 'x86_64-linux' with features {nixos-test}";
    const MIDDLE_FEATURE: &str = "error: Cannot build '/nix/store/y-vm-test-run-a.drv'.\n       Reason: required system or feature not available\n       Required system: 'x86_64-linux' with features {kvm, nixos-test}\n       Current system: 'x86_64-linux' with features {benchmark, nixos-test}";
    const NEW_FEATURE: &str = "error: Cannot build '/nix/store/y-vm-test-run-a.drv'.\n       Reason: missing system features\n       Required features: {kvm, nixos-test}\n       Available features: {nixos-test}";

    fn told(text: &str) -> (Trouble, Option<&'static str>) {
        let told = Told::read(text);
        (told.trouble, told.drv.map(|drv| &*drv.leak()))
    }

    fn trouble(text: &str) -> Trouble {
        Told::read(text).trouble
    }

    fn rendered(texts: &[&str]) -> (u8, String) {
        let error = anyhow::Error::from(explain(&texts.iter().map(|text| Told::read(text)).collect::<Vec<_>>()));
        (fail::status(&error).code(), fail::render(&error))
    }

    #[test]
    fn a_missing_feature_old_and_new() {
        for text in [OLD_FEATURE, MIDDLE_FEATURE, NEW_FEATURE] {
            let want = (Trouble::NoFeature(vec!["kvm".into()]), Some("/nix/store/y-vm-test-run-a.drv"));
            assert_eq!(told(text), want);
            let (status, text) = rendered(&[text]);
            assert_eq!(status, 5);
            for word in ["check-kvm", "configure-nix", "--backend driver", "--backend sandbox"] {
                assert!(text.contains(word), "{text}");
            }
        }
    }

    #[test]
    fn a_missing_system_old_and_new() {
        let old = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/y-a.drv', but I am a 'x86_64-linux' with features {kvm}";
        let new = "error: Cannot build '/nix/store/y-a.drv'.\n       Reason: platform mismatch\n       Required system: 'aarch64-linux'\n       Current system: 'x86_64-linux'";
        for text in [old, new] {
            assert_eq!(trouble(text), Trouble::NoSystem("aarch64-linux".into()));
        }
    }

    #[test]
    fn a_failed_builder_old_and_new() {
        let drv = Some("/nix/store/p-bad.drv");
        let old = "error: builder for '/nix/store/p-bad.drv' failed with exit code 1;\n       last 2 log lines:\n       > No space left on device\n       > cleanup\n       For full logs, run 'nix log /nix/store/p-bad.drv'.";
        assert_eq!(told(old), (Trouble::BuildFailed(Some(1)), drv));
        let new = "error: Cannot build '/nix/store/p-bad.drv'.\n       Reason: builder failed with exit code 3.\n       Output paths:\n         /nix/store/i-bad";
        assert_eq!(told(new), (Trouble::BuildFailed(Some(3)), drv));
        let killed = "error: builder for '/nix/store/p-bad.drv' failed due to signal 9 (Killed)";
        assert_eq!(told(killed), (Trouble::BuildFailed(None), drv));
        let nothing = "error: builder for '/nix/store/p-bad.drv' failed to produce output path for output 'out' at '/nix/store/i-bad'";
        assert_eq!(told(nothing), (Trouble::BuildFailed(None), drv));
    }

    #[test]
    fn what_follows_from_a_failure_is_no_failure_of_its_own() {
        let old = "error: 1 dependencies of derivation '/nix/store/q-a.drv' failed to build";
        assert_eq!(told(old), (Trouble::FollowUp, Some("/nix/store/q-a.drv")));
        let new =
            "error: Cannot build '/nix/store/q-a.drv'.\n       Reason: 1 dependency failed.\n       Output paths: …";
        assert_eq!(told(new), (Trouble::FollowUp, Some("/nix/store/q-a.drv")));
        let all = "error: build of '/nix/store/q-a.drv^out', '/nix/store/r-b.drv^out' failed";
        assert_eq!(told(all), (Trouble::FollowUp, None));
    }

    #[test]
    fn a_time_limit_old_and_new() {
        let drv = Some("/nix/store/k-slow.drv");
        let old = "error: building of '/nix/store/k-slow.drv!out' from .drv file timed out after 7 seconds";
        assert_eq!(told(old), (Trouble::TimedOut(7), drv));
        let middle = "error: Cannot build '/nix/store/k-slow.drv'.\n       Reason: timed out after 7 seconds";
        assert_eq!(told(middle), (Trouble::TimedOut(7), drv));
        assert_eq!(told("error: timed out after 7 seconds"), (Trouble::TimedOut(7), None));
    }

    #[test]
    fn other_files_by_a_rebuild() {
        let text = "error: derivation '/nix/store/k-a.drv' may not be deterministic: output '/nix/store/o-a' differs";
        assert_eq!(told(text), (Trouble::NotDeterministic, Some("/nix/store/k-a.drv")));
    }

    #[test]
    fn an_input_out_of_reach_is_named() {
        let url = "https://api.github.com/repos/epics-extensions/epnix/tarball/da6f";
        let old = format!(
            "error: unable to download '{url}': Couldn't resolve host name (6)\n(use '--show-trace' to show detailed location information)"
        );
        assert_eq!(trouble(&old), Trouble::Unreachable(url.into()));
        let new = format!(
            "error:\n       … while fetching the input 'github:a/b'\n\n       error: unable to download '{url}': Could not resolve hostname (6) Could not resolve host: api.github.com"
        );
        assert_eq!(trouble(&new), Trouble::Unreachable(url.into()));
        assert!(rendered(&[&old]).1.starts_with(&format!("error: Nix could not fetch {url}\n")));
    }

    #[test]
    fn the_rest_of_the_hosts_trouble() {
        let socket = "/nix/var/nix/daemon-socket/socket";
        for (text, want) in [
            ("error: writing to file: No space left on device", Trouble::DiskFull),
            (
                "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
                Trouble::NoDaemon(socket.into()),
            ),
            (
                "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Permission denied",
                Trouble::ShutOut(socket.into()),
            ),
            ("error: the group 'nixbld' specified in 'build-users-group' does not exist", Trouble::NoBuildUsers),
            ("error: the build users group 'nixbld' has no members", Trouble::NoBuildUsers),
            ("error: cloning builder process: Operation not permitted", Trouble::NoNamespaces),
            (
                "error: this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' to disable sandboxing",
                Trouble::NoNamespaces,
            ),
            ("error: opening lock file '/nix/var/nix/db/big-lock': Permission denied", Trouble::StoreShut),
            (
                "error: executing SQLite statement 'x': attempt to write a readonly database (in '/nix/var/nix/db/db.sqlite')",
                Trouble::StoreShut,
            ),
            (
                "error:\n … while fetching the input 'git+file:///p'\n error: opening Git repository \"/p\": repository path '/p' is not owned by current user",
                Trouble::ForeignOwner,
            ),
            ("fatal: detected dubious ownership in repository at '/p'", Trouble::ForeignOwner),
            (
                "error: flake 'git+file:///p' requires lock file changes but they're not allowed due to '--no-update-lock-file'",
                Trouble::LockOutdated,
            ),
            ("error: 'file:///tmp/sp ace/p' is not a valid URL", Trouble::OddPath("file:///tmp/sp ace/p".into())),
        ] {
            assert_eq!(trouble(text), want);
            assert_eq!(rendered(&[text]).0, 5, "{text}");
            assert!(rendered(&[text]).1.contains("\n\nhint: "), "{text}");
        }
        assert_eq!(trouble("error: interrupted by the user"), Trouble::Interrupted);
        assert_eq!(rendered(&["error: unrecognised flag '--no-such'"]).0, 2);
    }

    #[test]
    fn an_error_with_a_place_is_the_projects_and_any_other_the_hosts() {
        let text = "error: undefined variable 'nixosTset'\n\n       at /p/checks/simple.nix:3:1:";
        let (status, shown) = rendered(&[text]);
        assert_eq!((status, shown.matches("undefined variable").count()), (3, 1));
        for (text, want) in [
            ("error: getting status of '/nix/store/x-source/checks/new.nix': No such file or directory", 3),
            ("error: getting status of '/nix/store/x-source/gone.py': No such file or directory", 3),
            ("error: flake 'git+file:///p' does not provide attribute 'checks.x86_64-linux.a'", 3),
            ("error: ioc.toml: support names \"StreamDevise\", which EPNix does not have", 3),
            ("error: getting status of '/nix/var/x': Permission denied", 5),
            ("error: something that nobody has ever heard of", 5),
            ("error: unexpected EOF reading a line", 5),
            ("", 5),
        ] {
            assert_eq!(rendered(&[text]).0, want, "{text}");
        }
        assert_eq!(rendered(&[]), (5, "error: Nix failed\n\nIt said nothing.".to_owned()));
    }

    #[test]
    fn the_hosts_trouble_comes_first_and_what_nobody_knows_last() {
        let failed = "error: builder for '/s/a.drv' failed with exit code 1";
        assert_eq!(rendered(&[failed, OLD_FEATURE]).0, 5);
        assert_eq!(rendered(&["error: odd", failed]).0, 1);
    }

    proptest! {
        #[test]
        fn any_text_is_classified_without_a_panic(text in "\\PC*|[a-z' {}.drv:/]{0,80}") {
            let _ = Told::read(&text);
        }
    }
}
