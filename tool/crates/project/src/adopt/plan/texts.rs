//! The files of the project that are written anew: ioc.toml, flake.nix, the check.

use super::super::device::{self, Device};
use super::super::release;
use super::super::top::Source;
use super::{Adopted, Facts, Plan};

/// Name of the check that is made, where no other has it.
const CHECK: &str = "inputs";

pub(super) fn ioc_toml(facts: &Facts, modules: &release::Modules, devices: &[Device]) -> String {
    let support: Vec<String> = modules.known.iter().map(|name| format!("{name:?}")).collect();
    let old = facts.project.get("ioc.toml").map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let backend =
        old.lines().find(|line| line.starts_with("backend")).map_or(String::new(), |line| format!("{line}\n\n"));
    let support = support.join(", ");
    let table = |own: &Adopted| {
        let name = facts.unit(own).map_or("ioc".to_owned(), |name| format!("iocs.{name}"));
        let script = match own.script() {
            "st.cmd" => String::new(),
            script => format!("script = \"{script}\"\n"),
        };
        let (app, boot) = (&own.app, &own.boot.name);
        format!("[{name}]\napp = \"{app}\"\nioc = \"{boot}\"\nsupport = [{support}]\n{script}")
    };
    let iocs: Vec<String> = facts.iocs.iter().map(table).collect();
    let simulators: String = devices.iter().map(Device::table).collect();
    format!(
        "# The one description of this IOC: read by flake.nix, by the checks and by `cargo xtask`.\n\n{backend}{}{simulators}",
        iocs.join("\n")
    )
}

/// The packages of the simulators, for Nix.
pub(super) fn flake(facts: &Facts, plan: &mut Plan) {
    const EMPTY: &str = "        (final: prev: { })\n";
    if plan.devices.is_empty() {
        return;
    }
    let text = facts.project.get("flake.nix").and_then(|text| std::str::from_utf8(text).ok());
    let there = |device: &&Device| text.is_some_and(|text| text.contains(&format!(" {} = ", device.package())));
    let missing: Vec<&Device> = plan.devices.iter().filter(|device| !there(device)).collect();
    if missing.is_empty() {
        return;
    }
    let packages: String = missing.iter().map(|device| device.overlay()).collect();
    match text.filter(|text| text.matches(EMPTY).count() == 1) {
        Some(text) => {
            let after = text.replace(EMPTY, &format!("        (final: prev: {{\n{packages}        }})\n"));
            plan.files.insert("flake.nix".to_owned(), Source { text: after.into_bytes(), runs: false });
        }
        None => {
            let names: Vec<String> = missing.iter().map(|device| device.package()).collect();
            plan.todo.push(format!(
                "flake.nix: overlays need {}, each as in tool/docs/tutorial.md, \"A device of your own\"",
                names.join(", ")
            ));
        }
    }
}

/// A name for the check. One that adopt has made before is made anew; one of the user's stays.
pub(super) fn free_name(facts: &Facts) -> String {
    let is_theirs = |name: &String| {
        let text = facts.project.get(&format!("checks/{name}.py"));
        text.is_some_and(|text| !text.starts_with(device::CHECK_HEAD.as_bytes()))
    };
    let names = (2..).map(|number| format!("{CHECK}-{number}"));
    std::iter::once(CHECK.to_owned()).chain(names).find(|name| !is_theirs(name)).unwrap_or_default()
}

/// The files of the check.
pub(super) fn check(name: &str, devices: &[Device], facts: &Facts) -> Vec<(&'static str, String)> {
    let iocs: Vec<_> = facts.iocs.iter().map(|own| (facts.unit(own).unwrap_or("ioc"), &own.ioc.parts)).collect();
    vec![("py", device::check(devices, &iocs)), ("nix", crate::scaffold::check::nix(name))]
}
