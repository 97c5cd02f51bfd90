//! Mistakes in the files of the IOC and in the checks, told without starting anything.
//!
//! Two programs know the languages: the soft IOC reads st.cmd, databases and protocols (`soft-ioc --lint`), the test
//! driver reads scripts (`python3 tool/driver --preflight`). They run side by side; here their answers become findings.

mod config;
pub mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread::ScopedJoinHandle;

use anyhow::{Context, Result};

use crate::iocs::state::{self, State};
use crate::nix::services::Evaluated;
use crate::python::{pycache, python};
use crate::sandbox::Sandbox;
use crate::{embedded, fit, units};
use tool_base::fail::{Failure, Status};
use tool_base::process::Cmd;
pub use tool_base::protocol::lint::{Mistake, Severity};
use tool_base::protocol::lint::{OfIoc, OfScript, Problem, Pv, Script};
use tool_base::{fail, ui};
use tool_project::settings::{Services, Settings};
use tool_project::{Check, Choice, Project, find_key};

/// Codes of warnings that are told before a run: what they are about does not work there.
const TOLD: [&str; 5] = ["not-executable", "undefined-variable", "read-only", "unknown-variable", "other-port"];

/// All findings in the files of the IOC and in all checks, by file and line.
///
/// # Errors
/// If the project's configuration is wrong, or a program that reads the files cannot run.
pub fn run(project: &Project, backend: Option<Choice>) -> Result<Vec<Mistake>> {
    let checks = project.checks()?;
    fit::all(project, &checks)?;
    of(project, &checks, backend, None)
}

/// What a run needs, and an error where the IOC or its scripts have mistakes: no machine is started to find them one by one.
pub(crate) fn beside(
    project: &Project,
    checks: &[Check],
    prepare: impl FnOnce() -> Result<Sandbox>,
) -> Result<Sandbox> {
    let none = BTreeMap::new();
    // Both at once where all is there that the look needs: what Nix evaluates comes with the run, and so may the soft IOC and
    // what `make` makes of the files.
    let by_nix = |check: &Check| check.settings().is_ok_and(|own| own.services == Services::Nixos);
    let made = || !matches!(state::made(project), State::Stale(_));
    let ready = !checks.iter().any(by_nix) && embedded::built(project).is_some() && made();
    let (sandbox, findings) = std::thread::scope(|scope| {
        let look = ready.then(|| scope.spawn(|| of(project, checks, Some(Choice::Sandbox), Some(&none))));
        (prepare(), look.map(ScopedJoinHandle::join))
    });
    let sandbox = sandbox?;
    let findings = match findings {
        Some(found) => found.map_err(|_| anyhow::anyhow!("a thread panicked"))??,
        None => of(project, checks, Some(Choice::Sandbox), Some(sandbox.evaluated()))?,
    };
    tell(project, findings)?;
    Ok(sandbox)
}

/// Tells findings before a run; one that is an error ends it.
fn tell(project: &Project, findings: Vec<Mistake>) -> Result<()> {
    // Warnings that nobody wants to look for once the script has failed, or the IOC does not start by hand.
    let told = |finding: &Mistake| finding.severity == Severity::Error || TOLD.contains(&finding.code.as_str());
    for finding in findings.iter().filter(|finding| told(finding)) {
        ui::say(&show::finding(finding, &project.root, Some(ui::width())));
    }
    let errors: Vec<_> = findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Status::CheckFailed, format!("{}: nothing was started", show::summary(&errors)))
        .hint("run the checks all the same: --no-lint")
        .into())
}

/// Names of the records of a check's IOCs.
///
/// # Errors
/// If the project's configuration is wrong, or the program that reads the files cannot run.
pub fn records(project: &Project, check: &Check) -> Result<BTreeSet<String>> {
    Ok(read_iocs(project, &[check.settings()?])?.records)
}

/// For a run, with what Nix `evaluated` for it, the IOC is left out if none of the checks runs it: the others need nothing of
/// `tool/embedded/`.
fn of(
    project: &Project,
    checks: &[Check],
    backend: Option<Choice>,
    evaluated: Option<&BTreeMap<String, Evaluated>>,
) -> Result<Vec<Mistake>> {
    let settings = checks.iter().map(Check::settings).collect::<Result<Vec<_>>>()?;
    let thorough = evaluated.is_none();
    let mut scripts = Vec::new();
    for (check, settings) in checks.iter().zip(&settings) {
        let evaluated = evaluated.and_then(|all| all.get(&check.name));
        let by_nix = || Some((check.nix.as_ref()?.with_extension("py"), evaluated?.script.clone()));
        let (script, text) = match (&check.script, by_nix()) {
            (Some(script), _) => (script.clone(), None),
            (None, Some((script, text))) => (script, Some(text)),
            (None, None) => continue,
        };
        let machines: BTreeMap<String, Vec<u8>> = match evaluated {
            Some(evaluated) => evaluated.machines.iter().map(|m| (m.name.clone(), m.vlans.clone())).collect(),
            None => settings.machines().into_iter().map(|(name, node)| (name, node.vlans)).collect(),
        };
        let vlans = machines.values().flatten().copied().collect();
        let machines = machines.into_keys().collect();
        let sandbox = matches!(backend, None | Some(Choice::Sandbox));
        scripts.push(Script { script, text, lib: project.lib(), machines, vlans, sandbox, thorough });
    }
    scripts.extend(project.helpers()?.into_iter().map(|script| Script {
        script,
        text: None,
        lib: project.lib(),
        machines: Vec::new(),
        vlans: BTreeSet::new(),
        sandbox: true,
        thorough: false,
    }));
    let (ioc, answers) = std::thread::scope(|scope| {
        let answers = scope.spawn(|| read_scripts(project, &scripts));
        let wanted = evaluated.is_none() || settings.iter().any(|s| s.services == Services::IocToml);
        let ioc = if wanted { read_iocs(project, &settings) } else { Ok(OfIoc::default()) };
        (ioc, answers.join())
    });
    let answers = answers.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    let ioc = ioc?;
    let mut findings: Vec<Mistake> =
        ioc.findings.iter().map(|f| Mistake { file: in_project(&f.file), ..f.clone() }).collect();
    for (script, answer) in scripts.iter().zip(&answers) {
        let file = script.script.strip_prefix(&project.root).unwrap_or(&script.script).to_string_lossy().into_owned();
        let found = once(of_script(&file, answer, &ioc, backend));
        findings.extend(found.into_iter().map(|finding| if script.text.is_some() { in_nix(finding) } else { finding }));
    }
    findings.extend(checks.iter().filter_map(other_script));
    for (check, settings) in checks.iter().zip(&settings) {
        machines(check, settings, &mut findings);
        findings.extend(variables(project, check, settings));
    }
    if thorough {
        findings.extend(orphans(project, checks));
    }
    findings.sort();
    Ok(findings)
}

/// A check of which NixOS would run the script of another one, or none.
fn other_script(check: &Check) -> Option<Mistake> {
    let text = std::fs::read_to_string(check.nix.as_ref()?).ok()?;
    let mut open = false;
    let (at, line, start) = text.lines().enumerate().find_map(|(at, line)| {
        const READ: &str = "readFile ./";
        let code = line.split('#').next().unwrap_or_default();
        let from = if open { 0 } else { code.find("testScript")? };
        let end = code.get(from..)?.find(';').map(|end| from + end);
        open = end.is_none();
        let start = from + code.get(from..end.unwrap_or(code.len()))?.find(READ)? + READ.len();
        Some((at, line, start))
    })?;
    let read: String = line.get(start..)?.chars().take_while(|c| c.is_alphanumeric() || "._-/".contains(*c)).collect();
    let own = format!("{}.py", check.name);
    let there = check.nix.as_ref()?.with_file_name(&read).is_file();
    if read == own || Path::new(&read).extension() != Some("py".as_ref()) || (there && check.script.is_none()) {
        return None;
    }
    let what = if there {
        format!("reads {read}, where the sandbox runs {own}")
    } else {
        format!("reads {read}, which is not there")
    };
    Some(Mistake {
        file: format!("checks/{}.nix", check.name),
        line: u32::try_from(at + 1).ok()?,
        column: u32::try_from(line.get(..start)?.chars().count() - 1).ok()?,
        severity: Severity::Error,
        code: "other-script".to_owned(),
        message: format!("the testScript of `{}` {what}", check.name),
        hint: format!("testScript = builtins.readFile ./{own};"),
    })
}

/// Machines of `checks/NAME.toml` whose names are a letter or two off those that the check has. What is said of its script
/// for that is taken back.
fn machines(check: &Check, settings: &Settings, findings: &mut Vec<Mistake>) {
    let read = |ending: &str| {
        let path = check.nix.as_ref().or(check.script.as_ref())?.with_extension(ending);
        std::fs::read_to_string(path).ok()
    };
    let [nix, script, toml] = ["nix", "py", "toml"].map(|ending| read(ending).unwrap_or_default());
    let (file, own) = (format!("checks/{}.toml", check.name), format!("checks/{}.py", check.name));
    let undefined = |found: &Mistake| {
        let name = found.message.strip_prefix("undefined name `").filter(|_| found.file == own)?;
        name.split('`').next().map(str::to_owned)
    };
    let words = |text| str::split(text, |c: char| !c.is_alphanumeric() && !"_-".contains(c));
    let declared = nix.split("nodes.").skip(1).filter_map(|rest| words(rest).next()).map(str::to_owned);
    let names: Vec<String> = declared.chain(findings.iter().filter_map(undefined)).collect();
    let names: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !settings.nodes.contains_key(*name)).collect();
    for name in settings.nodes.keys() {
        // A script has a name for it that Python takes.
        if words(&nix).chain(words(&script)).any(|word| word == name || word == name.replace('-', "_")) {
            continue;
        }
        let Some(near) = tool_project::nearest(name, &names) else { continue };
        let before = findings.len();
        findings.retain(|own| undefined(own).is_none_or(|own| own != near));
        let line = find_key(&toml, &format!("nodes.{name}")).unwrap_or(1);
        let at =
            toml.lines().nth(line - 1).and_then(|text| Some(text[..text.find(name.as_str())?].chars().count() + 1));
        findings.push(Mistake {
            file: file.clone(),
            line: u32::try_from(line).unwrap_or(1),
            column: u32::try_from(at.unwrap_or(1)).unwrap_or(1),
            severity: if findings.len() < before { Severity::Error } else { Severity::Warning },
            code: "unknown-machine".to_owned(),
            message: format!("the check `{}` has no machine `{name}`", check.name),
            hint: format!("did you mean `{near}`?"),
        });
    }
}

/// Variables of a check's machines that no start-up script reads, a letter or two off one that does.
fn variables(project: &Project, check: &Check, settings: &Settings) -> Vec<Mistake> {
    let scripts = project.config.iocs.values().map(|ioc| ioc.boot(&project.ioc_dir()).join(&ioc.script));
    let text: String = scripts.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let names = |open: &'static str| {
        text.split(open).skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
    };
    let read: BTreeSet<&str> = names("${").chain(names("$(")).collect();
    let toml = check.script.as_ref().map(|path| path.with_extension("toml"));
    let toml = toml.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut found = Vec::new();
    for (machine, node) in &settings.nodes {
        for name in node.environment.keys().filter(|name| !read.contains(name.as_str())) {
            let others: Vec<&str> = read.iter().copied().filter(|own| !node.environment.contains_key(*own)).collect();
            let Some(near) = tool_project::nearest(name, &others).filter(|near| near.len() > 3) else { continue };
            found.push(Mistake {
                file: format!("checks/{}.toml", check.name),
                line: find_key(&toml, &format!("nodes.{machine}.environment.{name}"))
                    .and_then(|line| u32::try_from(line).ok())
                    .unwrap_or(1),
                column: 1,
                severity: Severity::Warning,
                code: "unknown-variable".to_owned(),
                message: format!("no start-up script reads the variable `{name}`"),
                hint: format!("did you mean `{near}`?"),
            });
        }
    }
    found
}

/// Settings that no check has.
fn orphans(project: &Project, checks: &[Check]) -> Vec<Mistake> {
    // Of programs that look for their settings beside the scripts.
    const OTHERS: [&str; 5] = ["pyproject", "ruff", ".ruff", "ty", "mypy"];
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    let entries = std::fs::read_dir(project.root.join("checks")).into_iter().flatten().flatten();
    let stems = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned()));
    let lost = stems.filter(|stem| !names.contains(&stem.as_str()) && !OTHERS.contains(&stem.as_str()));
    lost.map(|stem| Mistake {
        file: format!("checks/{stem}.toml"),
        line: 1,
        column: 1,
        severity: Severity::Warning,
        code: "no-check".to_owned(),
        message: format!("no check is called `{stem}`: nobody reads this"),
        hint: match tool_project::nearest(&stem, &names) {
            Some(near) => format!("git mv checks/{stem}.toml checks/{near}.toml"),
            None => format!("cargo xtask new-check {stem}"),
        },
    })
    .collect()
}

/// A file that the soft IOC names by the folder that holds the top. `ioc` may be a link to a folder of another name.
fn in_project(file: &str) -> String {
    match file.split_once('/') {
        Some((top, rest)) if !top.is_empty() => format!("ioc/{rest}"),
        _ => file.to_owned(),
    }
}

/// A finding in a script that stands in a Nix file, whose lines are others.
fn in_nix(found: Mistake) -> Mistake {
    let file = Path::new(&found.file).with_extension("nix").to_string_lossy().into_owned();
    Mistake {
        message: format!("{} (line {} of its testScript)", found.message, found.line),
        line: 1,
        column: 1,
        file,
        ..found
    }
}

/// A name that is used again and again is one mistake.
fn once(found: Vec<Mistake>) -> Vec<Mistake> {
    let mut out: Vec<(Mistake, Vec<String>)> = Vec::new();
    for own in found {
        let folds = ["undefined-name", "unknown-pv"].contains(&own.code.as_str());
        match out.iter_mut().find(|(known, _)| folds && known.message == own.message) {
            Some((known, more)) => {
                known.severity = known.severity.min(own.severity);
                more.push(own.line.to_string());
            }
            None => out.push((own, Vec::new())),
        }
    }
    let told = |(mut own, more): (Mistake, Vec<String>)| {
        if !more.is_empty() {
            own.message += &format!(" (also line {})", more.join(", "));
        }
        own
    };
    out.into_iter().map(told).collect()
}

/// The findings of one script.
fn of_script(file: &str, answer: &OfScript, ioc: &OfIoc, backend: Option<Choice>) -> Vec<Mistake> {
    let problem = |problem: &Problem| {
        let (code, severity) = match problem.kind.as_str() {
            "SyntaxError" => ("python-syntax", Severity::Error),
            "NameError" => ("undefined-name", Severity::Error),
            "AttributeError" => ("unknown-method", Severity::Error),
            // Which backend will run is not settled: it works in the others.
            "NotInSandbox" if backend.is_none() => ("not-in-sandbox", Severity::Warning),
            "NotInSandbox" => ("not-in-sandbox", Severity::Error),
            rule => (rule, problem.severity),
        };
        Mistake {
            file: file.to_owned(),
            line: problem.line,
            column: problem.column,
            severity,
            code: code.to_owned(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    };
    let known: Vec<&str> = ioc.records.iter().map(String::as_str).collect();
    let missing = |pv: &&Pv| ioc.complete && !ioc.records.contains(&pv.name);
    let pv = |pv: &Pv| {
        let near = tool_project::nearest(&pv.name, &known);
        Mistake {
            file: file.to_owned(),
            line: pv.line,
            column: pv.column,
            severity: if pv.sure && near.is_some() { Severity::Error } else { Severity::Warning },
            code: "unknown-pv".to_owned(),
            message: format!("no database that st.cmd loads defines `{}`", pv.name),
            hint: near.map_or_else(|| "it would time out".to_owned(), |near| format!("did you mean `{near}`?")),
        }
    };
    answer.problems.iter().map(problem).chain(answer.pvs.iter().filter(missing).map(pv)).collect()
}

/// Asks the soft IOC of all IOCs, for every environment that a check gives them.
fn read_iocs(project: &Project, settings: &[&Settings]) -> Result<OfIoc> {
    let mut all = OfIoc { complete: true, ..OfIoc::default() };
    let text = std::fs::read_to_string(project.root.join("ioc.toml")).unwrap_or_default();
    let nodes = settings.iter().flat_map(|settings| settings.nodes.values());
    let spoilt = nodes.flat_map(|node| node.faults.values().copied()).collect();
    let toml = config::Toml { config: &project.config, text: &text, spoilt };
    all.findings.extend(toml.commands(&project.root));
    for (name, ioc) in &project.config.iocs {
        let boot = ioc.boot(&project.ioc_dir());
        if !boot.is_dir() {
            return Err(fail::config(format!("there is no folder {}", boot.display()))
                .hint("`ioc` in ioc.toml names the folder below ioc/iocBoot/ that holds st.cmd")
                .into());
        }
        let mut environment = project.config.environment(name, ioc, true);
        environment.insert("EPICS_IOCSH_HISTFILE".to_owned(), units::history(name));
        let nodes = settings.iter().flat_map(|settings| settings.nodes.values());
        let own = nodes.filter(|node| node.iocs_of(&project.config).iter().any(|(own, _)| own == name));
        let mut others: BTreeSet<BTreeMap<_, _>> =
            own.map(|node| environment.clone().into_iter().chain(node.environment.clone()).collect()).collect();
        others.remove(&environment);
        // What the IOC is made of is told of the first one.
        let environments: Vec<_> = [environment].into_iter().chain(others).collect();
        let own = ask(project, &boot, &ioc.app, &ioc.script, &environments)?;
        match toml.application(name, &ioc.app, &own.parts) {
            Some(mistake) => all.findings.push(mistake),
            None => all.findings.extend(own.findings),
        }
        all.findings.extend(toml.simulators(name, &own.parts));
        all.records.extend(own.records);
        all.complete &= own.complete;
    }
    all.findings.sort();
    all.findings.dedup();
    Ok(all)
}

/// What the soft IOC says of an IOC of any top, started in a folder by a script.
///
/// # Errors
/// The soft IOC cannot run.
pub fn of_ioc(project: &Project, boot: &Path, app: &str, script: &str) -> Result<OfIoc> {
    ask(project, boot, app, script, &[BTreeMap::new()])
}

fn ask(
    project: &Project,
    boot: &Path,
    app: &str,
    script: &str,
    environments: &[BTreeMap<String, String>],
) -> Result<OfIoc> {
    let programs = embedded::programs(project)?;
    let soft_ioc = programs.iter().find(|p| p.name == "soft-ioc").context("there is no soft IOC")?;
    let list = serde_json::to_string(environments)?;
    let command = Cmd::new(&soft_ioc.path).args(["--lint", &list, "--app", app, script]).cwd(boot);
    let output = command.output()?;
    if !output.status.success() {
        return Err(fail::host(format!("`{command}` ended with {}", output.status)))
            .context(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("answer of `{command}`"))
}

/// Asks the driver about all scripts at once.
fn read_scripts(project: &Project, scripts: &[Script]) -> Result<Vec<OfScript>> {
    // -S: nothing of the host's packages is needed, and looking for them takes longer than the scripts.
    // -E: with the caller's PYTHONDONTWRITEBYTECODE the driver would be compiled each time.
    let kept = format!("pycache_prefix={}", pycache(project).display());
    let command = Cmd::new(python()?).args(["-S", "-E", "-X", &kept]).arg(project.tool("driver")?).arg("--preflight");
    let mut child = command
        .to_std()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| command.not_started(&error))?;
    if let Some(mut pipe) = child.stdin.take() {
        // Where it does not read, its status and its last words say why.
        let _ = pipe.write_all(&serde_json::to_vec(scripts)?);
    }
    let output = child.wait_with_output().with_context(|| format!("answer of `{command}`"))?;
    if !output.status.success() {
        return Err(fail::host(format!("`{command}` ended with {}", output.status)))
            .context(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("answer of `{command}`"))
}

#[cfg(test)]
mod tests;
