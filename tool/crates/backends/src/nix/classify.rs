//! Tells the host's trouble from failed checks, by what Nix says. Texts of Nix 2.8 to 2.32, Lix and Determinate Nix.

use tool_base::fail::{Failure, Status};

/// What one error of Nix means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A builder failed: a check, or what it needs.
    BuildFailed {
        /// The .drv file.
        drv: String,
        /// The builder's exit status, if it was not killed.
        code: Option<u8>,
    },
    /// A build ran into its limit.
    TimedOut {
        /// The .drv file.
        drv: String,
        /// The limit.
        seconds: u64,
    },
    /// `--rebuild` worked, but gave other files than before.
    NotDeterministic {
        /// The .drv file.
        drv: String,
    },
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
    /// The daemon does not run, or does not let us in.
    NoDaemon(String),
    /// flake.lock does not fit flake.nix.
    LockOutdated,
    /// Old Nix cannot read a flake in a folder whose path has a space.
    OddPath(String),
    /// Ctrl-C.
    Interrupted,
    /// Anything else: mostly errors in .nix files.
    Other,
}

/// Says what an error of Nix, without colour, means.
pub fn classify(text: &str) -> Trouble {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |words: &[&str]| words.iter().any(|word| flat.contains(word));
    let drv = || quoted(&flat).find(|word| word.contains(".drv")).map(clean_drv).unwrap_or_default();
    // A failed builder first: the last lines of its log come with the error, and may say anything.
    if has(&["failed with exit code", "failed due to signal", "failed to produce output path"]) && has(&[".drv'"]) {
        let code = flat.split("failed with exit code ").nth(1).and_then(|rest| digits(rest).parse().ok());
        return Trouble::BuildFailed { drv: drv(), code };
    }
    if let Some((_, rest)) = flat.split_once("timed out after ")
        && has(&[".drv"])
    {
        return Trouble::TimedOut { drv: drv(), seconds: digits(rest).parse().unwrap_or(0) };
    }
    if has(&["may not be deterministic"]) {
        return Trouble::NotDeterministic { drv: drv() };
    }
    if has(&["failed to build", "dependency failed", "dependencies failed"]) || flat.starts_with("error: build of ") {
        return Trouble::FollowUp;
    }
    if let Some(trouble) = refused(&flat) {
        return trouble;
    }
    let url = || quoted(&flat).find(|word| word.contains("://")).unwrap_or("").to_owned();
    if has(&["unable to download", "unable to access", "Could not resolve host", "failed to fetch"]) {
        return Trouble::Unreachable(url());
    }
    if has(&["No space left on device", "database or disk is full", "lack of free disk space"]) {
        return Trouble::DiskFull;
    }
    if has(&["cannot connect to socket", "cannot connect to daemon", "cannot open connection to remote store"]) {
        return Trouble::NoDaemon(quoted(&flat).next().unwrap_or("the daemon's socket").to_owned());
    }
    if has(&["requires lock file changes", "--no-update-lock-file"]) {
        return Trouble::LockOutdated;
    }
    if has(&["is not a valid URL"]) && quoted(&flat).any(|url| url.contains(' ')) {
        return Trouble::OddPath(quoted(&flat).next().unwrap_or_default().to_owned());
    }
    if has(&["interrupted by the user"]) {
        return Trouble::Interrupted;
    }
    Trouble::Other
}

/// `a 'S' with features {F} is required to build 'D', but I am a 'T' with features {G}`, or the newer
/// `Required system: 'S' with features {F} Current system: 'T' with features {G}`.
fn refused(flat: &str) -> Option<Trouble> {
    let (required, present) = flat
        .split_once(" is required to build ")
        .and_then(|(required, rest)| Some((required, rest.split_once("but I am a ")?.1)))
        .or_else(|| flat.split_once("Required system: ")?.1.split_once("Current system: "))?;
    let system = |text: &str| quoted(text).next().unwrap_or_default().to_owned();
    let (wanted, here) = (system(required), system(present));
    let features = |text: &str| -> Vec<String> {
        let list = text.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(list, _)| list);
        list.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    if wanted != here {
        return Some(Trouble::NoSystem(wanted));
    }
    let present = features(present);
    Some(Trouble::NoFeature(features(required).into_iter().filter(|f| !present.contains(f)).collect()))
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
    /// Whether it is no check's fault.
    pub fn is_host(&self) -> bool {
        !matches!(
            self,
            Self::BuildFailed { .. }
                | Self::TimedOut { .. }
                | Self::NotDeterministic { .. }
                | Self::FollowUp
                | Self::Other
        )
    }

    /// The error to end with; `text` is all that Nix said about it.
    pub fn failure(&self, text: &str) -> Failure {
        let (status, what, hint) = match self {
            Self::NoFeature(features) if features.iter().any(|f| f == "kvm") => (
                Status::HostNotReady,
                "no builder of Nix has the feature `kvm`".to_owned(),
                "cargo xtask check-kvm says why and cargo xtask configure-nix changes it; \
                 neither is needed for --backend driver and --backend sandbox",
            ),
            Self::NoFeature(features) => (
                Status::HostNotReady,
                format!("no builder of Nix has the feature `{}`", features.join("`, `")),
                "add it to `extra-system-features` in nix.conf, or to the line of a remote builder; \
                 it is not needed for --backend driver and --backend sandbox",
            ),
            Self::NoSystem(system) => (
                Status::HostNotReady,
                format!("no builder of Nix is of the system `{system}`"),
                "name one by --builders 'ssh-ng://HOST SYSTEM', see tool/docs/nix.md",
            ),
            Self::Unreachable(url) => (
                Status::HostNotReady,
                if url.is_empty() {
                    "Nix could not fetch an input".to_owned()
                } else {
                    format!("Nix could not fetch {url}")
                },
                "look at the network or the proxy (https_proxy), or run checks that need none: --backend sandbox",
            ),
            Self::DiskFull => (Status::HostNotReady, "the disk is full".to_owned(), "nix-collect-garbage"),
            Self::NoDaemon(socket) => (
                Status::HostNotReady,
                format!("the daemon of Nix does not answer at {socket}"),
                "sudo systemctl start nix-daemon.socket",
            ),
            Self::LockOutdated => (
                Status::HostNotReady,
                "flake.lock does not fit flake.nix".to_owned(),
                "nix --extra-experimental-features 'nix-command flakes' flake lock",
            ),
            Self::OddPath(path) => (
                Status::HostNotReady,
                format!("this old Nix cannot read a flake in a folder with a space in its path: {path}"),
                "move the checkout, or use a newer Nix",
            ),
            Self::Interrupted => return Failure::new(Status::Interrupted, "interrupted"),
            Self::BuildFailed { .. } | Self::TimedOut { .. } | Self::NotDeterministic { .. } | Self::FollowUp => {
                return Failure::new(Status::CheckFailed, format!("Nix could not build it\n\n{}", text.trim()));
            }
            Self::Other => {
                return Failure::new(Status::Config, format!("Nix could not evaluate it\n\n{}", text.trim()));
            }
        };
        Failure::new(status, format!("{what}\n\n{}", text.trim())).hint(hint)
    }
}

/// The error that explains a run of Nix that failed, out of all that it gave: host's trouble first.
pub fn explain(errors: &[String]) -> (Trouble, Failure) {
    let troubles: Vec<Trouble> = errors.iter().map(|e| classify(e)).collect();
    let trouble = troubles.iter().find(|t| t.is_host()).or(troubles.first()).cloned().unwrap_or(Trouble::Other);
    let failure = trouble.failure(&errors.join("\n"));
    (trouble, failure)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tool_base::fail;

    const OLD_FEATURE: &str = "error: a 'x86_64-linux' with features {kvm, nixos-test} is required to build '/nix/store/y-vm-test-run-a.drv', but I am a 'x86_64-linux' with features {nixos-test}";
    const NEW_FEATURE: &str = "error: Cannot build '/nix/store/y-vm-test-run-a.drv'.\n       Reason: required system or feature not available\n       Required system: 'x86_64-linux' with features {kvm, nixos-test}\n       Current system: 'x86_64-linux' with features {benchmark, nixos-test}";

    fn failed(drv: &str, code: Option<u8>) -> Trouble {
        Trouble::BuildFailed { drv: drv.to_owned(), code }
    }

    #[test]
    fn a_missing_feature_old_and_new() {
        assert_eq!(classify(OLD_FEATURE), Trouble::NoFeature(vec!["kvm".into()]));
        assert_eq!(classify(NEW_FEATURE), Trouble::NoFeature(vec!["kvm".into()]));
        let failure = anyhow::Error::from(classify(OLD_FEATURE).failure(OLD_FEATURE));
        assert_eq!(fail::status(&failure).code(), 5);
        let text = fail::render(&failure);
        for word in ["check-kvm", "configure-nix", "--backend driver", "--backend sandbox"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn a_missing_system() {
        let text = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/y-a.drv', but I am a 'x86_64-linux' with features {kvm}";
        assert_eq!(classify(text), Trouble::NoSystem("aarch64-linux".into()));
    }

    #[test]
    fn a_failed_builder_old_and_new() {
        let old = "error: builder for '/nix/store/p-vm-test-run-bad.drv' failed with exit code 1;\n       last 2 log lines:\n       > No space left on device\n       > cleanup\n       For full logs, run 'nix log /nix/store/p-vm-test-run-bad.drv'.";
        assert_eq!(classify(old), failed("/nix/store/p-vm-test-run-bad.drv", Some(1)));
        let new = "error: Cannot build '/nix/store/p-bad.drv'.\n       Reason: builder failed with exit code 3.\n       Output paths:\n         /nix/store/i-bad";
        assert_eq!(classify(new), failed("/nix/store/p-bad.drv", Some(3)));
        let killed = "error: builder for '/nix/store/p-bad.drv' failed due to signal 9 (Killed)";
        assert_eq!(classify(killed), failed("/nix/store/p-bad.drv", None));
        let nothing = "error: builder for '/nix/store/p-bad.drv' failed to produce output path for output 'out' at '/nix/store/i-bad'";
        assert_eq!(classify(nothing), failed("/nix/store/p-bad.drv", None));
    }

    #[test]
    fn what_follows_from_a_failure_is_no_failure_of_its_own() {
        assert_eq!(
            classify("error: 1 dependencies of derivation '/nix/store/q-a.drv' failed to build"),
            Trouble::FollowUp
        );
        assert_eq!(classify("error: build of '/nix/store/q-a.drv', '/nix/store/r-b.drv' failed"), Trouble::FollowUp);
        assert_eq!(
            classify(
                "error: Cannot build '/nix/store/q-a.drv'.\n       Reason: 1 dependency failed.\n       Output paths: …"
            ),
            Trouble::FollowUp
        );
    }

    #[test]
    fn a_time_limit_old_and_new() {
        let want = Trouble::TimedOut { drv: "/nix/store/k-slow.drv".into(), seconds: 7 };
        assert_eq!(
            classify("error: building of '/nix/store/k-slow.drv!out' from .drv file timed out after 7 seconds"),
            want
        );
        assert_eq!(
            classify("error: Cannot build '/nix/store/k-slow.drv'.\n       Reason: timed out after 7 seconds"),
            want
        );
    }

    #[test]
    fn other_files_by_a_rebuild() {
        let text = "error: derivation '/nix/store/k-a.drv' may not be deterministic: output '/nix/store/o-a' differs";
        assert_eq!(classify(text), Trouble::NotDeterministic { drv: "/nix/store/k-a.drv".into() });
    }

    #[test]
    fn an_input_out_of_reach_is_named() {
        let url = "https://api.github.com/repos/epics-extensions/epnix/tarball/da6f";
        let old = format!(
            "error: unable to download '{url}': Couldn't resolve host name (6)\n(use '--show-trace' to show detailed location information)"
        );
        assert_eq!(classify(&old), Trouble::Unreachable(url.into()));
        let new = format!(
            "error:\n       … while fetching the input 'github:a/b'\n\n       error: unable to download '{url}': Could not resolve hostname (6) Could not resolve host: api.github.com"
        );
        assert_eq!(classify(&new), Trouble::Unreachable(url.into()));
        assert!(
            fail::render(&classify(&old).failure(&old).into())
                .starts_with(&format!("error: Nix could not fetch {url}\n"))
        );
    }

    #[test]
    fn the_rest_of_the_hosts_trouble() {
        assert_eq!(classify("error: writing to file: No space left on device"), Trouble::DiskFull);
        assert_eq!(
            classify("error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused"),
            Trouble::NoDaemon("/nix/var/nix/daemon-socket/socket".into())
        );
        assert_eq!(
            classify(
                "error: flake 'git+file:///p' requires lock file changes but they're not allowed due to '--no-update-lock-file'"
            ),
            Trouble::LockOutdated
        );
        assert_eq!(
            classify("error: 'file:///tmp/sp ace/p' is not a valid URL"),
            Trouble::OddPath("file:///tmp/sp ace/p".into())
        );
        assert_eq!(classify("error: interrupted by the user"), Trouble::Interrupted);
    }

    #[test]
    fn an_error_in_a_nix_file_is_the_projects_and_shown_once() {
        let text = "error: undefined variable 'nixosTset'\n\n       at /p/checks/simple.nix:3:1:";
        let (trouble, failure) = explain(&[text.to_owned()]);
        assert_eq!(trouble, Trouble::Other);
        let error = anyhow::Error::from(failure);
        assert_eq!(fail::status(&error).code(), 3);
        assert_eq!(fail::render(&error).matches("undefined variable").count(), 1);
    }

    #[test]
    fn the_hosts_trouble_comes_first() {
        let errors = ["error: builder for '/s/a.drv' failed with exit code 1".to_owned(), OLD_FEATURE.to_owned()];
        assert_eq!(explain(&errors).0, Trouble::NoFeature(vec!["kvm".into()]));
    }

    proptest! {
        #[test]
        fn any_text_is_classified_without_a_panic(text in "\\PC*|[a-z' {}.drv:/]{0,80}") {
            let _ = classify(&text);
        }
    }
}
