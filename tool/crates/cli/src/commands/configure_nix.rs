//! `cargo xtask configure-nix`: let Nix run VM tests without KVM, by one line in nix.conf.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cli::ConfigureNix;
use tool_base::fail::Status;
use tool_base::host::Host;
use tool_base::process::{Cmd, Limited, quote};
use tool_base::{fail, ui};
use tool_host::kvm::Known;
use tool_host::kvm::facts::{Builders, Facts, Nix};
use tool_host::nixconf::apply::Edit;
use tool_host::nixconf::plan;
use tool_host::nixconf::plan::{Target, Undone};
use tool_host::{kvm, nixconf};

/// What was done or found. The names are part of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
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
#[derive(Serialize)]
struct Json {
    schema: u32,
    undo: bool,
    state: State,
    why: Option<String>,
    file: Option<PathBuf>,
    diff: Option<String>,
    backup: Option<PathBuf>,
    needs_root: bool,
    verified: Option<bool>,
    snippet: Option<&'static str>,
    restart: Option<&'static str>,
}

impl Json {
    fn new(undo: bool, state: State) -> Self {
        Self {
            schema: 1,
            undo,
            state,
            why: None,
            file: None,
            diff: None,
            backup: None,
            needs_root: false,
            verified: None,
            snippet: None,
            restart: None,
        }
    }
}

/// Plans, shows the difference, and with `--apply` or `--undo` makes it.
pub(crate) fn run(args: &ConfigureNix) -> Result<Status> {
    let host = Host::new(&args.root);
    let facts = kvm::read::without_use(&host);
    let Some(nix) = facts.nix.as_ref() else {
        return Err(fail::host("`nix` was not found: there is nothing to configure")
            .hint("run the checks without Nix: cargo xtask test --backend sandbox")
            .into());
    };
    let target = plan::target(&nixconf::place(&host, heard(&host, &facts, nix)?));
    let result = if args.undo { undo(&host, nix, &target)? } else { add(&host, &facts, nix, &target, args.apply)? };
    let (json, status) = result;
    if args.json {
        ui::data(&serde_json::to_string_pretty(&json)?);
    } else {
        print(&json, &target);
    }
    Ok(status)
}

const INTRODUCTION: &str = "configure-nix adds `extra-system-features = kvm` to nix.conf. That lifts Nix's refusal \
    to run VM tests on a machine without KVM. It creates no device and speeds nothing up: tests run in an emulator, \
    several times slower. These ways need no change and no root:";

/// Whether the user's own file is listened to: by a Nix of one user, or because the daemon trusts the user.
fn heard(host: &Host, facts: &Facts, nix: &Nix) -> Result<bool> {
    if nix.builders == Builders::Caller {
        return Ok(true);
    }
    let groups = kvm::read::group_names(host, &facts.user.session_groups);
    Ok(plan::trusted(&nixconf::system_settings(host)?, &facts.user.name, &groups))
}

fn add(host: &Host, facts: &Facts, nix: &Nix, target: &Target, apply: bool) -> Result<(Json, Status)> {
    let (path, has) = match target {
        Target::Generated { by, snippet } => {
            let why = format!("{} is made by {by}: put this line into its configuration and rebuild", nix.conf);
            let json = Json { why: Some(why), snippet: Some(snippet), ..Json::new(false, State::ByHand) };
            return Ok((json, if apply { Status::HostNotReady } else { Status::Done }));
        }
        Target::System(path) => (path, nixconf::system_settings(host)?.features().has("kvm")),
        Target::Own(path) => (path, nixconf::user_settings(host)?.features().has("kvm")),
    };
    let advertised = kvm::diagnose::advertised(facts, nix);
    if has == Some(true) || (has.is_none() && advertised.answer == Known::Yes) {
        let why = if has == Some(true) { format!("{} says so", path.display()) } else { advertised.why };
        return Ok((Json { why: Some(why), ..Json::new(false, State::NothingToDo) }, Status::Done));
    }
    let mut edit = Edit::start(&host.path(path))?;
    edit.after = Some(plan::added(edit.before.as_deref()));
    let mut json = describe(&edit, Json::new(false, State::Planned));
    json.restart = restart(host, target);
    if !apply {
        return Ok((json, Status::Done));
    }
    write(&edit, "--apply", &mut json)?;
    // Read back as Nix will: a later line of another file may cancel ours.
    let settings = match target {
        Target::Own(_) => nixconf::user_settings(host)?,
        _ => nixconf::system_settings(host)?,
    };
    json.verified = match settings.features().has("kvm") {
        Some(true) => asked(host)?,
        _ => Some(false),
    };
    if json.verified == Some(false) {
        put_back(&edit)?;
        let message =
            format!("with the line in {}, Nix still does not advertise kvm; the file is as before", path.display());
        let hint =
            format!("look for a later `system-features =` in {} or a file that counts more, and remove it", nix.conf);
        return Err(fail::host(message).hint(hint).into());
    }
    Ok((json, Status::Done))
}

fn undo(host: &Host, nix: &Nix, target: &Target) -> Result<(Json, Status)> {
    let mut files: Vec<PathBuf> = match target {
        Target::System(path) | Target::Own(path) => vec![path.clone()],
        Target::Generated { .. } => Vec::new(),
    };
    // What was added as another user, or before the daemon trusted us, goes as well.
    files.extend(nixconf::user_confs(host).into_iter().take(1));
    files.push(PathBuf::from(&nix.conf));
    files.push(Path::new(&nix.conf).with_file_name("nix.custom.conf"));
    for path in files {
        let Ok(mut edit) = Edit::start(&host.path(&path)) else { continue };
        edit.after = match plan::removed(edit.before.as_deref().unwrap_or_default()) {
            Undone::Nothing => continue,
            Undone::File(bytes) => Some(bytes),
            Undone::NoFile => None,
        };
        let mut json = describe(&edit, Json::new(true, State::Done));
        json.restart =
            restart(host, &if path.as_path() == Path::new(&nix.conf) { Target::System(path) } else { target.clone() });
        write(&edit, "--undo", &mut json)?;
        return Ok((json, Status::Done));
    }
    let why = "no file has a line that configure-nix added".to_owned();
    Ok((Json { why: Some(why), ..Json::new(true, State::NothingToDo) }, Status::Done))
}

fn describe(edit: &Edit, json: Json) -> Json {
    let (before, after) = (edit.before.as_deref().unwrap_or_default(), edit.after.as_deref().unwrap_or_default());
    let diff = plan::diff(before, after);
    Json { file: Some(edit.path.clone()), diff: Some(diff), needs_root: !edit.is_permitted(), ..json }
}

fn write(edit: &Edit, option: &str, json: &mut Json) -> Result<()> {
    if json.needs_root {
        let program = std::env::current_exe().context("the path of this program")?;
        let dir = std::env::var_os("NIX_CONF_DIR").map(|d| format!("env NIX_CONF_DIR={} ", quote(&d)));
        let command = format!("sudo {}{} configure-nix {option}", dir.unwrap_or_default(), quote(program.as_os_str()));
        return Err(fail::host(format!("you may not write {}; nothing was changed", edit.path.display()))
            .hint(format!("as root:\n  {command}"))
            .into());
    }
    json.backup = edit.make(SystemTime::now(), &mut |_| {})?;
    json.state = State::Done;
    Ok(())
}

fn put_back(edit: &Edit) -> Result<()> {
    let back = Edit { path: edit.path.clone(), before: edit.after.clone(), after: edit.before.clone() };
    back.make(SystemTime::now(), &mut |_| {}).map(drop)
}

/// Whether Nix itself says that it has the feature; `None` where it was not asked (another root).
fn asked(host: &Host) -> Result<Option<bool>> {
    let Some(program) = host.program("nix").filter(|_| host.is_real()) else { return Ok(None) };
    let experimental = ["--extra-experimental-features", "nix-command"];
    // Nix 2.20 renamed the command; the new name is tried first, since the old one only warns there.
    for words in [["config", "show"].as_slice(), &["show-config"]] {
        let cmd = Cmd::new(&program).args(words).args(experimental);
        if let Limited::Ended(output) = cmd.output_within(Duration::from_secs(20))?
            && output.status.success()
        {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let value = text.lines().find_map(|l| l.strip_prefix("system-features = "));
            return Ok(value.map(|v| v.split_whitespace().any(|w| w == "kvm")));
        }
    }
    Ok(None)
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

fn print(json: &Json, target: &Target) {
    let width = ui::width().min(100);
    if !json.undo && json.state != State::NothingToDo {
        ui::data(&ui::wrap(INTRODUCTION, 0, width));
        for way in &kvm::advice::WITHOUT_FEATURE {
            way.print(width);
        }
        ui::data("");
    }
    let file = json.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
    if let Some(diff) = &json.diff {
        ui::data(&ui::paint(ui::STRONG, &file));
        for line in diff.lines() {
            let style = if line.starts_with('+') {
                ui::GOOD
            } else if line.starts_with('-') {
                ui::BAD
            } else {
                ui::DIM
            };
            ui::data(&format!("  {}", ui::paint(style, line)));
        }
        ui::data("");
    }
    let why = json.why.as_deref().unwrap_or_default();
    match json.state {
        State::NothingToDo if json.undo => ui::data(&format!("Nothing to undo: {why}.")),
        State::NothingToDo => ui::data(&format!("Nothing to do: Nix advertises kvm already ({why}).")),
        State::ByHand => {
            ui::data(&format!("{}:\n\n  {}", ui::wrap(why, 0, width), json.snippet.unwrap_or_default()));
        }
        State::Planned => {
            let whose = if matches!(target, Target::Own(_)) { "your own file" } else { "the system's file" };
            ui::data(&format!("Nothing was written yet. `cargo xtask configure-nix --apply` writes {whose}."));
            if json.needs_root {
                ui::data("It needs root, and says then how to run it as root.");
            }
        }
        State::Done => {
            let verb = if json.undo { "Removed our line from" } else { "Wrote" };
            ui::data(&ui::paint(ui::GOOD, &format!("{verb} {file}.")));
            if let Some(backup) = &json.backup {
                ui::data(&format!("The file as it was: {}", backup.display()));
            }
            match json.verified {
                Some(true) => ui::data("Nix was asked: it has the feature kvm now."),
                _ if json.undo => {}
                _ => ui::data("Nix was not asked whether it has the feature now."),
            }
        }
    }
    if let (Some(restart), State::Done | State::Planned) = (json.restart, json.state) {
        let when = if json.state == State::Done { "Now let" } else { "After that, let" };
        ui::data(&format!("{when} the daemon read it:\n  {restart}"));
    }
}
