//! Adds the line to the file that counts, or takes it out: plan, write, ask Nix.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::kvm::{self, Known};
use crate::nix::facts::{Builders, Daemon, Nix};
use crate::nixconf::apply::Edit;
use crate::nixconf::plan::{self, Target, Undone};
use crate::nixconf::{ConfValues, place, system_settings, user_confs, user_settings};
use tool_base::fail;
use tool_base::host::Host;
use tool_base::process::{Cmd, Limited, quote};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To see what would be done.
    Plan,
    /// To have the line.
    Apply,
    /// To be rid of it.
    Undo,
}

/// What was done or found. The names are part of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The change is shown, not made.
    Planned,
    /// The change was made.
    Done,
    /// Nix advertises kvm already, or there is nothing of ours to undo.
    NothingToDo,
    /// The file is generated: the user puts the line into its source.
    ByHand,
}

/// The form of `--json`; `tool/docs/kvm.md` describes it.
#[derive(Debug, Serialize)]
pub struct Configured {
    schema: u32,
    /// Whether undoing was asked for.
    pub undo: bool,
    /// What was done or found.
    pub state: State,
    /// The reason for that.
    pub why: Option<String>,
    /// The file.
    pub file: Option<PathBuf>,
    /// Its change.
    pub diff: Option<String>,
    /// The copy of the old file.
    pub backup: Option<PathBuf>,
    /// Whether only root may write the file.
    pub needs_root: bool,
    /// Whether Nix lets builds in now that require kvm.
    pub verified: Option<bool>,
    /// The line for a generated configuration.
    pub snippet: Option<&'static str>,
    /// How the daemon learns of the change.
    pub restart: Option<&'static str>,
    /// Whether the file is the user's own.
    #[serde(skip)]
    pub own: bool,
}

impl Configured {
    fn new(wish: Wish, state: State) -> Self {
        Self {
            schema: 1,
            undo: wish == Wish::Undo,
            state,
            why: None,
            file: None,
            diff: None,
            backup: None,
            needs_root: false,
            verified: None,
            snippet: None,
            restart: None,
            own: false,
        }
    }
}

/// Does what is wanted.
pub fn configure(host: &Host, wish: Wish) -> Result<Configured> {
    let facts = kvm::read::without_use(host);
    let Some(nix) = facts.nix.as_ref() else {
        return Err(fail::host("`nix` was not found: there is nothing to configure")
            .hint("run the checks without Nix: cargo xtask test --backend sandbox")
            .into());
    };
    let target = plan::target(&place(host, nix.builders == Builders::Caller));
    let outcome = if wish == Wish::Undo { undo(host, nix, &target)? } else { add(host, &facts, nix, &target, wish)? };
    Ok(Configured { own: matches!(target, Target::Own(_)), ..outcome })
}

fn add(host: &Host, facts: &kvm::Facts, nix: &Nix, target: &Target, wish: Wish) -> Result<Configured> {
    let (path, settings): (&PathBuf, fn(&Host) -> Result<ConfValues>) = match target {
        Target::Generated { by, snippet } => {
            let why = format!("nix.conf is made by {by}: put this line into its configuration and rebuild");
            return Ok(Configured { why: Some(why), snippet: Some(snippet), ..Configured::new(wish, State::ByHand) });
        }
        Target::System(path) => (path, system_settings),
        Target::Own(path) => (path, user_settings),
    };
    let has = settings(host)?.features().has("kvm");
    let advertised = kvm::diagnose::advertised(facts, nix);
    if has == Some(true) {
        let verified = let_in(host, nix)?;
        // The daemon reads its file when it starts: that the line is there does not say that it knows.
        let restart = restart(host, target).filter(|_| verified != Some(true));
        let why = Some(format!("{} says so", path.display()));
        return Ok(Configured { why, verified, restart, ..Configured::new(wish, State::NothingToDo) });
    }
    if has.is_none() && advertised.answer == Known::Yes {
        return Ok(Configured { why: Some(advertised.why), ..Configured::new(wish, State::NothingToDo) });
    }
    let mut edit = Edit::start(&host.path(path))?;
    edit.after = Some(plan::added(edit.before.as_deref()));
    let mut outcome = describe(host, &edit, Configured::new(wish, State::Planned));
    outcome.restart = restart(host, target);
    if wish != Wish::Apply {
        return Ok(outcome);
    }
    write(&edit, "--apply", &mut outcome)?;
    // Read back as Nix will: a later line of another file may cancel ours.
    let counts = settings(host)?.features().has("kvm") == Some(true);
    outcome.verified = if counts { let_in(host, nix)? } else { Some(false) };
    // A daemon is yet to read it.
    if !counts || (outcome.verified == Some(false) && outcome.restart.is_none()) {
        let back = Edit { path: edit.path.clone(), before: edit.after.clone(), after: edit.before.clone() };
        back.make(SystemTime::now(), &mut |_| {})?;
        let message =
            format!("with the line in {}, Nix still does not advertise kvm; the file is as before", path.display());
        let hint =
            format!("look for a later `system-features =` in {} or a file that counts more, and remove it", nix.conf);
        return Err(fail::host(message).hint(hint).into());
    }
    Ok(outcome)
}

/// Takes the line out of whatever file has it, also where another line keeps Nix from reading it.
fn undo(host: &Host, nix: &Nix, target: &Target) -> Result<Configured> {
    let mut files: Vec<PathBuf> = match target {
        Target::System(path) | Target::Own(path) => vec![path.clone()],
        Target::Generated { .. } => Vec::new(),
    };
    // What was added as another user, or while there was no daemon, goes as well.
    files.extend(user_confs(host).into_iter().take(1));
    files.push(PathBuf::from(&nix.conf));
    files.push(Path::new(&nix.conf).with_file_name("nix.custom.conf"));
    let mut unreadable = None;
    for path in files {
        let mut edit = match Edit::start(&host.path(&path)) {
            Ok(edit) => edit,
            Err(error) => {
                unreadable.get_or_insert(error);
                continue;
            }
        };
        edit.after = match plan::removed(edit.before.as_deref().unwrap_or_default()) {
            Undone::Nothing => continue,
            Undone::File(bytes) => Some(bytes),
            Undone::NoFile => None,
        };
        let mut outcome = describe(host, &edit, Configured::new(Wish::Undo, State::Done));
        outcome.restart =
            restart(host, &if path.as_path() == Path::new(&nix.conf) { Target::System(path) } else { target.clone() });
        write(&edit, "--undo", &mut outcome)?;
        return Ok(outcome);
    }
    let what = match unreadable {
        Some(error) => format!("no file that can be read has a line that configure-nix added ({error:#})"),
        None => "no file has a line that configure-nix added".to_owned(),
    };
    Ok(Configured { why: Some(what), ..Configured::new(Wish::Undo, State::NothingToDo) })
}

fn describe(host: &Host, edit: &Edit, outcome: Configured) -> Configured {
    let (before, after) = (edit.before.as_deref().unwrap_or_default(), edit.after.as_deref().unwrap_or_default());
    let diff = plan::diff(before, after);
    // What root may not write (chattr +i, a mount that is read-only) is told by the kernel.
    let needs_root = host.uid != 0 && !edit.is_permitted();
    Configured { file: Some(edit.path.clone()), diff: Some(diff), needs_root, ..outcome }
}

fn write(edit: &Edit, option: &str, outcome: &mut Configured) -> Result<()> {
    if outcome.needs_root {
        let program = std::env::current_exe().context("the path of this program")?;
        let dir = std::env::var_os("NIX_CONF_DIR").map(|d| format!("env NIX_CONF_DIR={} ", quote(&d)));
        let command = format!("sudo {}{} configure-nix {option}", dir.unwrap_or_default(), quote(program.as_os_str()));
        return Err(fail::host(format!("you may not write {}; nothing was changed", edit.path.display()))
            .hint(format!("as root:\n  {command}"))
            .into());
    }
    outcome.backup = edit.make(SystemTime::now(), &mut |_| {})?;
    outcome.state = State::Done;
    Ok(())
}

/// Whether Nix lets a build in that requires kvm: one that does next to nothing is asked for. `None` where Nix cannot be asked.
fn let_in(host: &Host, nix: &Nix) -> Result<Option<bool>> {
    let Some(program) = host.program("nix-build").filter(|_| host.is_real()) else { return Ok(None) };
    // Another one each time, as Nix does not build what is there.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let text = format!(
        "derivation {{ name = \"requires-kvm\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"echo > $out\" ]; requiredSystemFeatures = [ \"kvm\" ]; now = \"{now}\"; }}"
    );
    // Its errors are read as well.
    let mut cmd = Cmd::new("sh").args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(program);
    cmd = cmd.args(["--no-out-link", "--expr", &text]);
    if nix.daemon == Daemon::Listening {
        // Root's Nix would build by itself, and know what the daemon does not.
        cmd = cmd.env("NIX_REMOTE", "daemon");
    }
    Ok(match cmd.output_within(Duration::from_secs(30))? {
        Limited::Ended(output) if output.status.success() => Some(true),
        // `but I am a … with features {…}`, `missing system features`: other trouble says nothing of kvm.
        Limited::Ended(output) => String::from_utf8_lossy(&output.stdout).contains(" features").then_some(false),
        Limited::TimedOut => None,
    })
}

/// How the daemon learns of the change.
fn restart(host: &Host, target: &Target) -> Option<&'static str> {
    match target {
        Target::System(_) if host.exists("/run/systemd/system") => Some("sudo systemctl restart nix-daemon.service"),
        Target::System(_) if host.exists("/Library/LaunchDaemons/systems.determinate.nix-daemon.plist") => {
            Some("sudo launchctl kickstart -k system/systems.determinate.nix-daemon")
        }
        Target::System(_) if host.exists("/Library/LaunchDaemons") => {
            Some("sudo launchctl kickstart -k system/org.nixos.nix-daemon")
        }
        Target::System(_) if host.exists("/nix/var/nix/daemon-socket/socket") => {
            Some("sudo pkill nix-daemon    # then start it again as this machine does")
        }
        _ => None,
    }
}
