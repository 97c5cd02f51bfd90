//! `cargo xtask adopt`: brings an EPICS top that exists into the project. Plans, shows it, and with `--apply` makes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::rename::tracked;
use crate::cli::Adopt;
use tool_backends::lint;
use tool_base::fail::{Failure, Status};
use tool_base::process::quote;
use tool_base::protocol::lint::OfIoc;
use tool_base::{fail, git, ui};
use tool_project::adopt::plan::{self, Adopted, Facts, Plan};
use tool_project::adopt::todo;
use tool_project::adopt::top::{Boot, Source, Top};
use tool_project::change::{self, Journal, Scratch, Stopped};
use tool_project::settings::Settings;
use tool_project::{Check, Project, editor, valid_name};

/// Runs the command.
pub fn run(args: &Adopt) -> Result<Status> {
    let project = Project::load()?;
    let root = &project.root;
    let from = top_of(args.dir.as_deref().unwrap_or(&project.ioc_dir()))?;
    let tree = tracked(root, "adopt")?;
    git::clean(root, &["."], "the adopted files")?;
    nothing_built(root)?;
    let mut top = Top::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let boots = top.boots();
    let mut iocs = Vec::new();
    for boot in chosen(&boots, args, &from)? {
        let (app, ioc) = read_ioc(&project, &from, &top, boot)?;
        let script = boot.scripts.first().map_or("st.cmd", String::as_str);
        let plain = script.replace('.', "_");
        let names = [
            ("application", app.as_str(), app.as_str()),
            ("boot folder", &boot.name, &boot.name),
            ("start-up script", script, &plain),
        ];
        for (what, name, own) in names {
            valid_name(own).map_err(|why| {
                fail::config(format!("the {what} is called {name:?}: {why}"))
                    .hint("give it another name there, and try again")
            })?;
        }
        iocs.push(Adopted { boot: boot.clone(), app, ioc });
    }
    let names: Vec<&str> = iocs.iter().map(|own| own.boot.name.as_str()).collect();
    let built = top.take_built();
    let shipped =
        |path: &&String| std::fs::read(root.join("tool/template").join(path)).is_ok_and(|text| text == tree[*path]);
    let mut plan = plan::plan(&Facts {
        top: &top,
        from: &from.file_name().unwrap_or_default().to_string_lossy(),
        built: &built,
        iocs: &iocs,
        others: &boots
            .iter()
            .map(|own| own.name.clone())
            .filter(|own| !names.contains(&own.as_str()))
            .collect::<Vec<_>>(),
        project: &tree,
        shipped: &tree.keys().filter(shipped).cloned().collect::<BTreeSet<String>>(),
    });
    if tree.contains_key(editor::FILE) {
        let mut checks = project.checks()?;
        checks.retain(|check| !plan.remove.contains(&format!("checks/{}.py", check.name)));
        // The new one.
        checks.push(Check { settings: OnceLock::from(Settings::default()).into(), ..Check::default() });
        let text = editor::names(&checks)?.into_bytes();
        if text != tree[editor::FILE] {
            plan.files.insert(editor::FILE.to_owned(), Source { text, runs: false });
        }
    }
    print(&plan, &iocs);
    if !args.apply {
        ui::data("Nothing was written yet. The same command with --apply writes it.");
        return Ok(Status::Done);
    }
    apply(root, &plan)?;
    let count = plan.files.len() + plan.remove.len();
    ui::data(&ui::paint(
        ui::GOOD,
        &format!("Adopted {}: {count} files, staged in Git as one change.", names.join(", ")),
    ));
    ui::say(
        "\ntry it       cargo xtask lint && cargo xtask test\nlook at it   git diff --staged\nkeep it      git commit\n\
         undo it      git restore --staged --worktree .",
    );
    Ok(Status::Done)
}

/// The folder of the top.
fn top_of(dir: &Path) -> Result<PathBuf> {
    const HINT: &str = "name the folder that makeBaseApp.pl has made";
    let is_top = |dir: &Path| dir.join("configure").is_dir() && dir.join("iocBoot").is_dir();
    let real = dir
        .canonicalize()
        .map_err(|error| Failure::new(Status::Usage, format!("{}: {error}", dir.display())).hint(HINT))?;
    if is_top(&real) {
        return Ok(real);
    }
    let failure =
        Failure::new(Status::Usage, format!("{} is no EPICS top: it has no configure/ and iocBoot/", dir.display()));
    let mut below: Vec<PathBuf> = std::fs::read_dir(&real)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|dir| is_top(dir))
        .collect();
    below.sort();
    Err(match below.first().and_then(|path| path.file_name()) {
        Some(name) => failure.hint(format!("cargo xtask adopt {}", quote(dir.join(name).as_os_str()))),
        None => failure.hint(HINT),
    }
    .into())
}

/// The IOCs that are meant: all, where none is named.
fn chosen<'a>(boots: &'a [Boot], args: &Adopt, from: &Path) -> Result<Vec<&'a Boot>> {
    let names: Vec<&str> = boots.iter().map(|boot| boot.name.as_str()).collect();
    if boots.is_empty() {
        return Err(fail::config(format!("no script below {} starts an IOC", from.join("iocBoot").display()))
            .hint("it calls iocInit, and is called st.cmd or something with .cmd")
            .into());
    }
    if let Some(name) = args.ioc.iter().find(|name| !names.contains(&name.as_str())) {
        let failure = Failure::new(Status::NothingSelected, format!("no IOC is called `{name}`"));
        return Err(failure.hint(format!("those of this top are: {}", names.join(", "))).into());
    }
    Ok(boots.iter().filter(|boot| args.ioc.is_empty() || args.ioc.contains(&boot.name)).collect())
}

/// The application of an IOC, and what lint says of it.
fn read_ioc(project: &Project, from: &Path, top: &Top, boot: &Boot) -> Result<(String, OfIoc)> {
    let folder = from.join("iocBoot").join(&boot.name);
    let script = boot.scripts.first().map_or("st.cmd", String::as_str);
    let guess = top.application(boot).unwrap_or_else(|| boot.name.clone());
    let ioc = lint::of_ioc(project, &folder, &guess, script)?;
    let fits = |name: &str| {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        ioc.parts.registers.as_ref().is_none_or(|own| *own == format!("{plain}_registerRecordDeviceDriver"))
    };
    match ioc.parts.applications.iter().find(|name| fits(name)).filter(|_| !fits(&guess)) {
        Some(name) => Ok((name.clone(), lint::of_ioc(project, &folder, name, script)?)),
        None => Ok((guess, ioc)),
    }
}

/// An error where `make` has left files in ioc/: they would lie among those of the other top. What people keep there is `*.local`.
fn nothing_built(root: &Path) -> Result<()> {
    let list =
        git::git(root).args(["ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", "ioc"]).read()?;
    match list.split('\0').find(|path| !path.is_empty() && Path::new(path).extension() != Some("local".as_ref())) {
        Some(path) => Err(fail::config(format!("{path} is left from a build of another IOC"))
            .hint("git clean -fdX -e '!*.local' ioc")
            .into()),
        None => Ok(()),
    }
}

fn print(plan: &Plan, iocs: &[Adopted]) {
    let list = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            ui::data(&ui::paint(ui::STRONG, title));
            for line in lines {
                ui::data(&format!("  {line}"));
            }
            ui::data("");
        }
    };
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    for Adopted { boot, app, ioc } in iocs {
        let (records, ports) = (count(ioc.records.len(), "record"), count(ioc.parts.ports.len(), "port"));
        ui::data(&format!("{}, application {app}: {records}, {ports}.", boot.name));
    }
    ui::data("");
    let folder = |path: &str| match path.splitn(3, '/').collect::<Vec<_>>()[..] {
        ["ioc", folder, _] => format!("ioc/{folder}/"),
        _ => path.to_owned(),
    };
    let folders = |paths: &mut dyn Iterator<Item = &String>| {
        let mut folders: Vec<(String, usize)> = Vec::new();
        for path in paths {
            match folders.last_mut().filter(|(own, _)| *own == folder(path)) {
                Some((_, count)) => *count += 1,
                None => folders.push((folder(path), 1)),
            }
        }
        let line = |(name, files): (String, usize)| {
            if name.ends_with('/') { format!("{name}  {}", count(files, "file")) } else { name }
        };
        folders.into_iter().map(line).collect::<Vec<String>>()
    };
    list("new or changed", &folders(&mut plan.files.keys()));
    list("gone", &folders(&mut plan.remove.iter()));
    let device = |device: &plan::Device| {
        let ioc = device.ioc.as_ref().map(|ioc| format!("{ioc} ")).unwrap_or_default();
        format!("{ioc}{}: simulators/{}.py, at {}", device.asyn, device.name, device.address())
    };
    list("simulators", &plan.devices.iter().map(device).collect::<Vec<_>>());
    list("changed on the way", &plan.mended);
    list(&format!("left to do, in {}", todo::FILE), &plan.todo);
}

fn apply(root: &Path, plan: &Plan) -> Result<()> {
    let scratch = Scratch::new(root)?;
    for (path, source) in &plan.files {
        let aside = scratch
            .set_aside(path, &source.text)
            .and_then(|()| if source.runs { scratch.set_runs(path) } else { Ok(()) });
        aside.with_context(|| format!("cannot write the new {path}"))?;
    }
    let write: Vec<String> = plan.files.keys().cloned().collect();
    let stage = write.iter().chain(&plan.remove).cloned().collect();
    let journal =
        Journal { what: "the adoption".to_owned(), write, remove: plan.remove.clone(), stage, ..Journal::default() };
    scratch.apply(None, &journal).map_err(|stopped| match stopped {
        Stopped::Before(error) => error.context("nothing was adopted"),
        Stopped::Midway(error) => change::unfinished(&journal.what, &error),
    })
}
