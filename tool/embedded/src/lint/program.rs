//! The script as a program: whether it starts, and whether `make` builds what runs it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Lint;
use super::report::{self, Place, Report};
use crate::makefile::Problem;
use crate::top::{plain, registration};

impl Lint {
    /// The script as a program.
    pub(super) fn start(&mut self, app: &str, script: &Path) {
        let place = self.report.line(script, 1);
        let text = match fs::read(script) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                let hint = "`ioc` in ioc.toml names the folder below iocBoot/ that holds it";
                self.report.error(place, "no-file", format!("the start-up script cannot be read: {error}"), hint);
                self.report.open = true;
                return;
            }
        };
        let first = text.lines().next().unwrap_or_default();
        let program = first.strip_prefix("#!").map(str::trim).and_then(|line| line.split_whitespace().next());
        if first.starts_with("#!") && text.split('\n').next().is_some_and(|line| line.ends_with('\r')) {
            let what = "this line ends with a carriage return, so the system looks for a program with one in its name";
            let hint = format!("sed -i 's/\\r$//' {}", report::shown(script, &self.layout.top));
            self.report.error(place, "carriage-return", what, hint);
        }
        if let Some(own) = program.filter(|own| !own.starts_with('/')) {
            let place = Place { column: 3, ..place };
            let path = plain(&script.parent().unwrap_or(script).join(own));
            let within = path.strip_prefix(self.layout.top.join("bin")).unwrap_or(Path::new(""));
            if within.components().count() != 2 || !within.to_string_lossy().starts_with("linux-") {
                let what = format!("`{own}` is no place where make puts a program: the script does not start");
                self.report.error(place, "not-a-program", what, format!("#!../../bin/linux-x86_64/{app}"));
                return;
            }
            let program = own.rsplit('/').next().unwrap_or(own);
            if !self.built(program, app, place) {
                return;
            }
            let build = &self.layout.build;
            let known = build.programs.get(program).filter(|_| self.layout.made && !build.is_open());
            if let Some(registers) = known.and_then(|own| own.registers.as_ref())
                && program != app
                && (!registers.iter().any(|own| own == app) || !build.programs.contains_key(app))
            {
                // It was said, or this is the program of the application, under a name of its own.
                return;
            }
        }
        match program.map(|program| program.rsplit('/').next().unwrap_or(program)) {
            None => {
                let hint = format!("start it with #!../../bin/linux-x86_64/{app}");
                self.report.error(place, "not-a-program", "the script does not say which program runs it", hint);
            }
            Some(program) if program != app && !["env", "sh", "bash"].contains(&program) => {
                let place = Place { column: 3, ..place };
                let what = format!("the script is run by `{program}`, the application is `{app}`");
                self.report.warning(place, "other-program", what, format!("#!../../bin/linux-x86_64/{app}"));
            }
            Some(_) => {}
        }
        if fs::metadata(script).is_ok_and(|data| data.permissions().mode() & 0o111 == 0) {
            let hint = format!("chmod +x {}", report::shown(script, &self.layout.top));
            // The package of Nix mends it, and the sandbox needs no run bit; `./st.cmd` by hand does.
            self.report.warning(place, "not-executable", "the script cannot be executed", hint);
        }
    }

    /// Looks whether `make` builds the definitions of the application, and the program that runs the script: false where not.
    fn built(&mut self, program: &str, app: &str, script: Place) -> bool {
        let build = &self.layout.build;
        if !self.layout.made || build.is_open() {
            return true;
        }
        let place = |report: &mut Report, own: &Problem| report.line(&own.file, own.line);
        let programs: BTreeMap<String, Problem> =
            build.programs.iter().map(|(name, own)| (name.clone(), own.at.clone())).collect();
        if !programs.contains_key(program) {
            let other = programs.values().next().filter(|_| !programs.contains_key(app));
            let at = other.map_or(script, |own| place(&mut self.report, own));
            let what = format!("nothing here builds `{program}`, the program that runs the script");
            let hint = if programs.contains_key(app) {
                format!("#!../../bin/linux-x86_64/{app}")
            } else {
                format!("PROD_IOC = {program}")
            };
            self.report.error(at, "not-built", what, hint);
            return false;
        }
        let name = format!("{app}.dbd");
        if !build.definitions.contains_key(app) && !build.installed.contains_key(&Path::new("dbd").join(&name)) {
            let others: Vec<Problem> = build.definitions.values().filter_map(|own| own.at.clone()).collect();
            let at = others.first().or(programs.get(program)).map_or(script, |own| place(&mut self.report, own));
            let what = format!("nothing here makes dbd/{name}, the definitions of the application `{app}`");
            self.report.error(at, "not-built", what, format!("DBD += {name}"));
            return true;
        }
        let registers = build.programs[program].registers.as_ref();
        if registers.is_some_and(|own| !own.iter().any(|own| own == app)) {
            let at = place(&mut self.report, &programs[program]);
            let what = format!(
                "no source of `{program}` has {}: a C IOC has no such command, and no records",
                registration(app)
            );
            let hint = format!("{program}_SRCS += {app}_registerRecordDeviceDriver.cpp");
            self.report.error(at, "not-built", what, hint);
        }
        true
    }
}
