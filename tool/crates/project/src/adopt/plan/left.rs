//! What is left to do.

use std::collections::BTreeMap;

use super::super::device::{self, Device};
use super::super::release;
use super::scripts::is_include;
use super::{Adopted, Facts, Plan, is_check, of_top, place};
use tool_base::protocol::lint::{Mistake, Severity};

/// What cannot be done here.
pub(super) fn left(facts: &Facts, modules: &release::Modules, plan: &mut Plan) {
    let told = |own: &Mistake| {
        let root = own.file.split_once('/').map_or("", |(root, _)| root);
        let text = format!("{}; {}", own.message, own.hint);
        format!("{}: {}", place(&own.file, own.line), in_project(text.trim_end_matches("; "), root))
    };
    for other in facts.others {
        plan.todo.push(format!(
            "ioc/iocBoot/{other}: another IOC of this top, which was left out; it would be [iocs.{other}] in ioc.toml"
        ));
    }
    for (name, path) in &modules.others {
        plan.todo.push(format!(
            "ioc/configure/RELEASE: EPNix has no {name} ({path}); take the line out, or give a package of it to overlays in flake.nix and name it in ioc.toml"
        ));
    }
    for own in facts.iocs {
        of_modules_and_answers(own, facts, plan);
    }
    let findings = facts.findings();
    // What a simulator sets is set from now on.
    let by_simulator =
        |own: &Mistake| plan.devices.iter().any(|device| own.message.contains(&format!("`{}`", device.variable)));
    let unset: Vec<&&Mistake> =
        findings.iter().filter(|own| own.code == "undefined-variable" && !by_simulator(own)).collect();
    for own in unset {
        plan.todo.push(told(own));
    }
    let bare = |own: &Mistake| {
        let source = facts.top.files.get(of_top(&own.file));
        source.is_some_and(|source| !source.text.starts_with(b"#!"))
    };
    let mended = |own: &Mistake| match own.code.as_str() {
        "not-a-program" => bare(own),
        code => code == "carriage-return",
    };
    let error = |own: &&&Mistake| own.severity == Severity::Error && !mended(own) && !is_include(facts, own);
    for own in findings.iter().filter(error) {
        plan.todo.push(told(own));
    }
    for path in &facts.top.strange {
        plan.todo.push(format!("ioc/{path}: left out, as it leads out of the top or is no file"));
    }
    let script = |path: &str| path.strip_suffix(".py").is_some() && is_check(path);
    let made = |path: &String| facts.project[path].starts_with(device::CHECK_HEAD.as_bytes());
    let own = |path: &&String| script(path) && !facts.shipped.contains(*path) && !made(path);
    for path in facts.project.keys().filter(own) {
        plan.todo.push(format!("{path}: a check that was here before: look whether it fits this IOC"));
    }
}

/// A text that names files of the top as the project will have them.
pub(super) fn in_project(text: &str, root: &str) -> String {
    let (mut out, mut rest, start) = (String::new(), text, format!("{root}/"));
    while let Some(at) = rest.find(&start).filter(|_| !root.is_empty()) {
        let (before, behind) = (&rest[..at], &rest[at + start.len()..]);
        let word = before.chars().last().is_some_and(|c| c.is_alphanumeric() || "_-./$)}".contains(c));
        out += &format!("{before}{}", if word { &start } else { "ioc/" });
        rest = behind;
    }
    out + rest
}

/// What an IOC has of support modules, and what its simulators do not say.
fn of_modules_and_answers(own: &Adopted, facts: &Facts, plan: &mut Plan) {
    let parts = &own.ioc.parts;
    let script = format!("ioc/iocBoot/{}/{}", own.boot.name, own.script());
    for name in &parts.of_modules {
        plan.todo.push(format!("{script}: {name} comes with a support module, which the soft IOC does not have: its records are there with a build by make or Nix only"));
    }
    for exchange in &parts.exchanges {
        let ours = |device: &&Device| device.asyn == exchange.port && device.ioc.as_deref() == facts.unit(own);
        let Some(device) = plan.devices.iter().find(ours) else { continue };
        let file = format!("simulators/{}.py", device.name);
        if exchange.out.is_empty() {
            plan.todo.push(format!(
                "{file}: `{}` waits for what the device sends by itself, which the simulator does not",
                exchange.function
            ));
        } else if exchange.answer.is_none() {
            plan.todo
                .push(format!("{file}: the answer to `{}` is not told by its format: write it", exchange.function));
        }
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (function, record) in &exchange.others {
            others.entry(function).or_default().push(record);
        }
        for (function, records) in others {
            plan.todo.push(format!(
                "{file}: `{function}` asks the same as `{}`, and no answer suits both: the simulator's is wrong for {}",
                exchange.function,
                records.join(", ")
            ));
        }
    }
}
