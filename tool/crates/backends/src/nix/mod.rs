//! Nix as a program: command lines as values, what it says, what went wrong.

pub mod classify;
pub mod git;
pub mod log;
pub mod plan;
pub mod run;
pub mod services;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::options::{Accel, NixOptions};
use tool_base::process::Cmd;
use tool_base::{fail, process};
use tool_host::nix::version::Version;
use tool_project::{Check, Project, valid_name};

/// The command lines of Nix for one project.
#[derive(Debug, Clone)]
pub struct Nix {
    root: PathBuf,
    target: PathBuf,
    options: NixOptions,
    version: Version,
}

impl Nix {
    /// Nix for a project, if there is a Nix.
    pub fn find(project: &Project, options: &NixOptions) -> Result<Self> {
        if process::which("nix").is_none() {
            return Err(fail::host("`nix` was not found")
                .hint("install Nix (https://nixos.org/download), or run checks without it: --backend sandbox")
                .into());
        }
        let version = Version::parse(&Cmd::new("nix").arg("--version").read()?);
        Ok(Self { root: project.root.clone(), target: project.target.clone(), options: options.clone(), version })
    }

    /// Nix's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// What was given on the command line.
    pub fn options(&self) -> &NixOptions {
        &self.options
    }

    /// The system that is built for.
    pub fn system(&self) -> String {
        self.options.system.clone().unwrap_or_else(|| format!("{}-linux", std::env::consts::ARCH))
    }

    /// The attribute of a check.
    pub fn check(&self, check: &Check) -> String {
        let (system, name) = (self.system(), &check.name);
        match self.options.accel {
            Some(Accel::Tcg) => format!("legacyPackages.{system}.tcg.{name}"),
            _ => format!("checks.{system}.{name}"),
        }
    }

    /// The attribute of what the sandbox runs of a check, see `tool/nix/sandbox.nix`.
    pub fn services(&self, check: &str) -> String {
        format!("legacyPackages.{}.sandbox.{check}", self.system())
    }

    /// The attribute of the IOC's package.
    pub fn package(&self) -> String {
        format!("packages.{}.default", self.system())
    }

    /// The attribute of what the unit tests of the IOC's code said, see `tool/nix/default.nix`.
    pub fn unit(&self) -> String {
        format!("legacyPackages.{}.unit", self.system())
    }

    /// `nix VERB` for attributes, with what was given on the command line, in the project's folder.
    fn nix(&self, verb: &str) -> Cmd {
        // A run must not change the lock file behind the user's back.
        let keep = if self.overrides_inputs() { "--no-write-lock-file" } else { "--no-update-lock-file" };
        self.plain(verb).arg(keep)
    }

    /// `nix VERB` where no flake is read.
    fn plain(&self, verb: &str) -> Cmd {
        let mut cmd =
            Cmd::new("nix").args([verb, "--extra-experimental-features", "nix-command flakes"]).cwd(&self.root);
        for (flag, value) in [("--builders", &self.options.builders), ("--store", &self.options.store)] {
            if let Some(value) = value {
                cmd = cmd.args([flag, value]);
            }
        }
        if self.options.offline {
            cmd = cmd.arg("--offline");
        }
        cmd
    }

    fn overrides_inputs(&self) -> bool {
        ["--override-input", "--update-input", "--recreate-lock-file"]
            .iter()
            .any(|f| self.options.args.iter().any(|a| a == f))
    }

    /// Evaluates attributes, and says as JSON what building them would build. Builds nothing.
    pub fn evaluate(&self, attributes: &[String]) -> Cmd {
        self.nix("build")
            .args(["--dry-run", "--json", "--no-link", "--log-format", "internal-json"])
            .args(&self.options.args)
            .args(installables(attributes))
    }

    /// Builds derivations, all of them even if some fail.
    pub fn build(&self, derivations: &[&str], how: Build) -> Cmd {
        // Nix before 2.15 builds what a .drv file describes; later it must be said that this is meant.
        let suffix = if self.version.at_least(2, 15) { "^*" } else { "" };
        let mut cmd = self.nix("build").args(["-L", "--keep-going", "--log-format", "internal-json"]);
        cmd = match how.out_link {
            Some(link) => cmd.arg("--out-link").arg(link),
            None => cmd.arg("--no-link"),
        };
        if how.rebuild {
            cmd = cmd.arg("--rebuild");
        }
        if let Some(seconds) = how.timeout {
            cmd = cmd.args(["--timeout", &seconds.to_string()]);
        }
        if let Some(jobs) = how.jobs {
            cmd = cmd.args(["--max-jobs", &jobs.to_string()]);
        }
        cmd.args(&self.options.args).args(derivations.iter().map(|drv| format!("{drv}{suffix}")))
    }

    /// Prints the settings of Nix as JSON.
    pub fn settings(&self) -> Cmd {
        let options = self.options.args.windows(3).filter(|words| words[0] == "--option").flatten();
        self.plain("show-config").arg("--json").args(options)
    }

    /// Prints what .drv files say as JSON.
    pub fn derivations(&self, derivations: &[&str]) -> Cmd {
        self.plain("show-derivation").args(derivations)
    }

    /// Prints which of some store paths are not there.
    pub fn missing(&self, paths: &[&str]) -> Cmd {
        let mut cmd = Cmd::new("nix-store").args(["--check-validity", "--print-invalid"]);
        if let Some(store) = &self.options.store {
            cmd = cmd.args(["--store", store]);
        }
        cmd.args(paths)
    }

    /// Prints all that a store path needs, itself included.
    pub fn requisites(&self, path: &str) -> Cmd {
        let mut cmd = Cmd::new("nix-store").args(["--query", "--requisites"]);
        if let Some(store) = &self.options.store {
            cmd = cmd.args(["--store", store]);
        }
        cmd.arg(path)
    }

    /// Runs the program of an attribute on the terminal.
    pub fn run(&self, attribute: &str) -> Cmd {
        let cmd = self.nix("run").arg("-L").args(&self.options.args).arg(format!(".#{attribute}"));
        self.accelerated(cmd)
    }

    /// Adds what makes QEMU emulate, where that is wanted.
    pub fn accelerated(&self, cmd: Cmd) -> Cmd {
        if self.options.accel != Some(Accel::Tcg) {
            return cmd;
        }
        // A later `-machine accel=` wins over that of NixOS; `-accel tcg` would be an error beside it.
        let options = std::env::var("QEMU_OPTS").unwrap_or_default();
        cmd.env("QEMU_OPTS", format!("{options} -machine accel=tcg").trim_start())
    }

    /// The command that a person would type to build attributes.
    pub fn by_hand(&self, attributes: &[String]) -> String {
        let mut cmd = Cmd::new("nix").args(["build", "-L"]);
        if let Some(store) = &self.options.store {
            cmd = cmd.args(["--store", store]);
        }
        cmd.args(installables(attributes)).to_string()
    }
}

/// How to build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Build<'a> {
    /// Build again what is there already.
    pub rebuild: bool,
    /// Limit of each build, in seconds.
    pub timeout: Option<u64>,
    /// Builds at once; where nothing is said, nix.conf decides.
    pub jobs: Option<usize>,
    /// Link to the result.
    pub out_link: Option<&'a Path>,
}

fn installables(attributes: &[String]) -> impl Iterator<Item = String> {
    attributes.iter().map(|attribute| format!(".#{attribute}"))
}

/// What the chosen checks must have to be run by Nix.
pub fn require_nix_files(checks: &[Check]) -> Result<()> {
    for Check { name, nix, .. } in checks {
        if nix.is_none() {
            return Err(fail::config(format!(
                "check `{name}` has checks/{name}.py but no checks/{name}.nix, so there is no NixOS machine to run it on"
            ))
            .hint(format!("sed 's/simple/{name}/' checks/simple.nix > checks/{name}.nix && git add -N checks/{name}.nix"))
            .into());
        }
        if let Err(problem) = valid_name(name) {
            return Err(fail::config(format!("checks/{name}.nix: `{name}` cannot be the name of a check: {problem}"))
                .hint(format!("git mv 'checks/{name}.nix' checks/better-name.nix, and the .py beside it"))
                .into());
        }
    }
    Ok(())
}

/// The name in a store path: without folder, hash and `.drv`.
pub fn store_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split_once('-').map_or(file, |(_, name)| name);
    name.strip_suffix(".drv").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nix(version: &str, options: NixOptions) -> Nix {
        Nix { root: "/p".into(), target: "/p/target".into(), options, version: Version::parse(version) }
    }

    fn check(name: &str) -> Check {
        Check { name: name.to_owned(), nix: Some("x".into()), ..Check::default() }
    }

    #[test]
    fn evaluation_is_one_command_for_all_checks() {
        let nix = nix("nix (Nix) 2.31.2", NixOptions { system: Some("x86_64-linux".into()), ..NixOptions::default() });
        let attributes = [nix.check(&check("a")), nix.check(&check("b"))];
        assert_eq!(
            nix.evaluate(&attributes).to_string(),
            "nix build --extra-experimental-features 'nix-command flakes' --no-update-lock-file --dry-run --json \
             --no-link --log-format internal-json .#checks.x86_64-linux.a .#checks.x86_64-linux.b"
        );
        assert_eq!(nix.by_hand(&attributes), "nix build -L .#checks.x86_64-linux.a .#checks.x86_64-linux.b");
    }

    #[test]
    fn derivations_are_spelled_as_each_nix_wants_it() {
        let how = Build { timeout: Some(60), rebuild: true, ..Build::default() };
        let last = |version| nix(version, NixOptions::default()).build(&["/nix/store/x-a.drv"], how).to_string();
        assert_eq!(
            last("nix (Nix) 2.8.0"),
            "nix build --extra-experimental-features 'nix-command flakes' --no-update-lock-file -L --keep-going \
             --log-format internal-json --no-link --rebuild --timeout 60 /nix/store/x-a.drv"
        );
        assert!(last("nix (Nix) 2.31.2").ends_with("'/nix/store/x-a.drv^*'"));
        assert!(last("nix (Lix, like Nix) 2.91.1").ends_with("'/nix/store/x-a.drv^*'"));
    }

    #[test]
    fn options_go_through_to_nix() {
        let options = NixOptions {
            system: Some("aarch64-linux".into()),
            builders: Some("ssh-ng://farm aarch64-linux".into()),
            store: Some("ssh-ng://farm".into()),
            offline: true,
            accel: Some(Accel::Tcg),
            args: vec!["--override-input".into(), "epnix".into(), "/e p".into()],
            track: false,
        };
        let nix = nix("nix (Nix) 2.31.2", options);
        assert_eq!(
            nix.evaluate(&[nix.check(&check("a"))]).to_string(),
            "nix build --extra-experimental-features 'nix-command flakes' --builders 'ssh-ng://farm aarch64-linux' \
             --store ssh-ng://farm --offline --no-write-lock-file --dry-run --json --no-link --log-format internal-json \
             --override-input epnix '/e p' .#legacyPackages.aarch64-linux.tcg.a"
        );
        assert_eq!(
            nix.missing(&["/s/a"]).to_string(),
            "nix-store --check-validity --print-invalid --store ssh-ng://farm /s/a"
        );
        assert!(nix.run("x").to_string().starts_with("QEMU_OPTS='-machine accel=tcg' nix run "), "{}", nix.run("x"));
    }

    #[test]
    fn checks_that_nix_cannot_see_are_named() {
        let text = |check| fail::render(&require_nix_files(&[check]).unwrap_err());
        let lone = Check { name: "lone".into(), script: Some("x".into()), ..Check::default() };
        assert!(text(lone).starts_with("error: check `lone` has checks/lone.py but no checks/lone.nix"));
        for bad in ["my check", "-x", "a.b", "ü"] {
            assert!(text(check(bad)).contains("cannot be the name of a check"), "{bad}");
        }
        assert!(require_nix_files(&[check("good_1-x")]).is_ok());
    }

    #[test]
    fn names_of_store_paths() {
        assert_eq!(store_name("/nix/store/y77pj1brzp4i6spp2anhfpkq3crvwz68-vm-test-run-feat.drv"), "vm-test-run-feat");
        assert_eq!(store_name("/nix/store/y77pj1brzp4i6spp2anhfpkq3crvwz68-epics-base-7.0.8"), "epics-base-7.0.8");
        assert_eq!(store_name("odd"), "odd");
    }
}
