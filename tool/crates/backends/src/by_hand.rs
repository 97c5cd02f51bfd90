//! The IOC at its prompt, in the sandbox: somebody tries by hand.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::iocs::IocBuild;
use crate::packages::Packages;
use crate::place::in_machine;
use crate::{path, units};
use tool_base::process;
use tool_project::{Ioc, Project};
use tool_sandbox::spec::{MachineSpec, Program, Spec};

/// Variables with the values that the caller has for them, where there are any.
pub fn or_the_callers(variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
    variables
        .into_iter()
        .map(|(name, value)| (std::env::var(&name).unwrap_or(value), name))
        .map(|(v, n)| (n, v))
        .collect()
}

/// A run that gives the caller's terminal to an IOC on a machine with its simulators, or with none.
pub fn console(
    project: &Project,
    (name, ioc): (&str, &Ioc),
    build: &IocBuild,
    programs: Vec<Program>,
    simulators: bool,
    dir: &Path,
) -> Result<Spec> {
    let place = in_machine(project, build);
    let units = if simulators { units::simulators(&project.config, &[name]) } else { Vec::new() };
    // The device comes first: an IOC that does not find it tries again after 20 s only.
    let mut script = "until [ -S /run/systemd/xtask ]; do sleep 0.01; done\n".to_owned();
    for unit in &units {
        let name = &unit.name;
        script += &format!(
            "systemctl start {name} 2>/dev/null || {{ echo 'error: {name} did not start; it said:'; \
             journalctl --no-pager -o cat -n 20 -u {name}; exit 5; }} >&2\n"
        );
    }
    for (variable, value) in or_the_callers(project.config.environment(name, ioc, simulators)) {
        script += &format!("export {variable}={}\n", process::quote(value.as_ref()));
    }
    let boot = ioc.boot(&place.top);
    let packages = Packages::provide(project, &[])?;
    let programs = programs.into_iter().chain(path::programs(project, None)?).collect();
    let binds = place.binds.iter().cloned().chain(packages.iter().map(Packages::bind)).collect();
    script += &format!("cd {} && exec {} {}", process::quote(boot.as_os_str()), place.program(ioc), ioc.script);
    Ok(Spec {
        interactive: true,
        console: Some(["/bin/bash", "-c", &script].map(str::to_owned).to_vec()),
        machines: vec![MachineSpec {
            units,
            programs,
            binds,
            tools: packages.as_ref().map(Packages::tools),
            ..MachineSpec::only()
        }],
        ..Spec::new("run", dir)?
    })
}
