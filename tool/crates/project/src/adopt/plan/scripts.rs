//! What is mended in the files of the top: scripts, RELEASE and CONFIG_SITE.

use super::super::release;
use super::{Adopted, Facts, Plan, change, of_top, place};
use tool_base::protocol::lint::Mistake;

/// Scripts that are read and not there: of the site, most likely.
pub(super) fn includes(facts: &Facts, plan: &mut Plan) {
    for own in facts.findings().into_iter().filter(|own| is_include(facts, own)) {
        let mut text = String::new();
        let changed = change(plan, &own.file, own.line, |line| {
            line.trim().clone_into(&mut text);
            Some(format!("# not in this top: {}", line.trim()))
        });
        if changed.is_some() {
            let place = place(&own.file, own.line);
            plan.mended.push(format!("{place}: taken out, as there is no such file: {text}"));
            plan.todo.push(format!("{place}: `{text}` is taken out, as the file is not in the top: put into st.cmd what this IOC needs of it"));
        }
    }
}

/// Whether a finding is about a script that is read and is not there.
pub(super) fn is_include(facts: &Facts, own: &Mistake) -> bool {
    let source = facts.top.files.get(of_top(&own.file));
    let text = source.map(|source| String::from_utf8_lossy(&source.text)).unwrap_or_default();
    let line = text.lines().nth(own.line.saturating_sub(1) as usize).unwrap_or_default().trim_start();
    own.code == "no-file" && (line.starts_with('<') || line.starts_with("iocshLoad"))
}

/// The start-up script can be run; its path, where it has a line more than before.
pub(super) fn script(own: &Adopted, facts: &Facts, plan: &mut Plan) -> Option<String> {
    let folder = format!("ioc/iocBoot/{}", own.boot.name);
    let path = format!("{folder}/{}", own.script());
    let mut source = plan.files.remove(&path)?;
    let mut shifted = None;
    if !source.runs {
        plan.mended.push(format!("{path}: can be executed"));
        source.runs = true;
    }
    if !source.text.starts_with(b"#!") {
        let line = format!("#!../../bin/linux-x86_64/{}", own.app);
        plan.mended.push(format!("{path}: begins with {line}, the program that runs it"));
        source.text = [line.as_bytes(), b"\n", &source.text].concat();
        shifted = Some(path.clone());
    }
    if let Some(end) =
        source.text.iter().position(|own| *own == b'\n').filter(|end| source.text[..*end].ends_with(b"\r"))
    {
        plan.mended.push(format!("{path}: no carriage return ends its first line, which no system would execute"));
        source.text.remove(end - 1);
    }
    plan.files.insert(path, source);
    for other in own.boot.scripts.iter().skip(1) {
        plan.todo.push(format!(
            "{folder}/{other}: another script that starts an IOC; where both run, give it [iocs.NAME] in ioc.toml"
        ));
    }
    // A shell script around it has an environment of its own, and what else it does.
    for path in facts.top.files.keys().filter(|path| path.starts_with(&format!("iocBoot/{}/", own.boot.name))) {
        let text = String::from_utf8_lossy(&facts.top.files[path].text);
        let shell = text.lines().next().is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"));
        if shell && !own.boot.scripts.iter().any(|own| path.ends_with(&format!("/{own}"))) && text.contains("bin/") {
            plan.todo.push(format!(
                "ioc/{path}: a shell script around the IOC is not run: what it exports goes to environment in ioc.toml"
            ));
        }
    }
    shifted
}

/// RELEASE and CONFIG_SITE, which EPNix writes a local file for. The modules.
pub(super) fn configuration(facts: &Facts, plan: &mut Plan) -> release::Modules {
    for (path, local) in [("configure/RELEASE", release::LOCAL), ("configure/CONFIG_SITE", "CONFIG_SITE.local")] {
        let Some(source) = plan.files.get_mut(&format!("ioc/{path}")) else { continue };
        let Some(after) = std::str::from_utf8(&source.text).ok().and_then(|text| release::open(text, local)) else {
            continue;
        };
        source.text = after.into_bytes();
        plan.mended.push(format!(
            "ioc/{path}: reads {local}, where EPNix says what it knows, and goes on without files of your site"
        ));
    }
    let of_release = |path: &String| path.strip_prefix("configure/").is_some_and(|name| name.starts_with("RELEASE"));
    let texts: Vec<&str> = facts
        .top
        .files
        .iter()
        .filter(|(path, _)| of_release(path))
        .filter_map(|(_, source)| std::str::from_utf8(&source.text).ok())
        .collect();
    let mut modules = release::modules(texts.iter().copied());
    if facts.iocs.iter().any(|own| !own.ioc.parts.exchanges.is_empty()) {
        modules.known.insert("StreamDevice".to_owned());
    }
    modules
}
