//! Runs the files of an EPICS IOC, a StreamDevice one above all, without EPICS.
//!
//! It takes an IOC's own `st.cmd`, `.db` and `.proto` as they are, from a source tree that `make`
//! never saw. What it can and cannot do: `docs/embedded.md`.

mod asyn;
mod build;
mod bus;
mod commands;
mod coverage;
mod edits;
mod growth;
mod ioc;
mod known;
mod lint;
mod macros;
mod makefile;
mod mistakes;
mod modules;
mod msi;
mod numbers;
#[cfg(feature = "pva")]
mod pva;
mod record;
mod recording;
mod serve;
mod top;
mod tree;

pub use lint::run as lint;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Runs the files of an EPICS IOC without EPICS

Usage: soft-ioc [--check | --lint JSON | --record FILE] --app NAME SCRIPT

Run it in the folder of the start-up script, as an IOC built by make would be run:
  cd ioc/iocBoot/FOLDER && soft-ioc --app NAME st.cmd

Options:
  --app NAME     name of the application: the st.cmd calls NAME_registerRecordDeviceDriver
  --check        run nothing; list what a soft IOC cannot do with this IOC, one finding a line,
                 and exit with status 1 where there is any
  --lint JSON    run nothing; print what is wrong with the files of this IOC as JSON, for each of a
                 list of environments such as [{}, {\"PREFIX\": \"A:\"}]
  --record FILE  run nothing; append what the process variables of this IOC, which runs beside it,
                 do to FILE, until it is killed
  -h, --help     print this help
  -V, --version  print the version

The IOC's shell reads standard input and ends the IOC at its end: hold it open.
";

/// Exit statuses, as in all programs here.
const FOUND: u8 = 1;
const USAGE_ERROR: u8 = 2;
const HOST_NOT_READY: u8 = 5;

/// What the command line asks for.
enum Request {
    Help,
    Version,
    Check { app: String, script: PathBuf },
    Lint { app: String, script: PathBuf, environments: Vec<lint::Environment> },
    Record { app: String, script: PathBuf, file: PathBuf },
    Run { app: String, script: PathBuf },
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => say(USAGE),
        Ok(Request::Version) => say(concat!("soft-ioc ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::Check { app, script }) => match commands(&app).and_then(|all| lint::gaps(&app, &script, &all)) {
            Ok(gaps) => {
                say(&gaps.concat());
                if gaps.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
            }
            Err(problem) => fail(HOST_NOT_READY, &problem),
        },
        Ok(Request::Lint { app, script, environments }) => {
            match commands(&app).and_then(|all| lint::run(&app, &script, &environments, &all)) {
                Ok(found) => say(&found),
                Err(problem) => fail(HOST_NOT_READY, &problem),
            }
        }
        Ok(Request::Record { app, script, file }) => match record::run(&app, &script, &file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(HOST_NOT_READY, &problem),
        },
        Ok(Request::Run { app, script }) => match ioc::run(&app, &script) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(HOST_NOT_READY, &problem),
        },
        Err(problem) => fail(USAGE_ERROR, &format!("{problem}\n\nhint: soft-ioc --help")),
    }
}

/// The commands of the shell, for the application `app`.
///
/// # Errors
/// They could not be asked for.
pub fn commands(app: &str) -> Result<BTreeSet<String>, String> {
    commands::all(app).map_err(|error| error.to_string())
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let (mut app, mut script, mut check, mut lint, mut record) = (None, None, false, None, None);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("-h" | "--help") => return Ok(Request::Help),
            Some("-V" | "--version") => return Ok(Request::Version),
            Some("--check") => check = true,
            Some("--record") => record = Some(PathBuf::from(args.next().ok_or("`--record` needs a file")?)),
            Some("--app") => {
                let name = args.next().and_then(|name| name.into_string().ok());
                app = Some(name.ok_or("`--app` needs a name")?);
            }
            Some("--lint") => {
                let text = args.next().and_then(|text| text.into_string().ok());
                let parsed = serde_json::from_str(&text.ok_or("`--lint` needs a list")?);
                lint = Some(parsed.map_err(|error| format!("`--lint`: {error}"))?);
            }
            Some(option) if option.starts_with('-') => {
                return Err(format!("unknown option `{option}`"));
            }
            _ if script.is_some() => return Err("more than one start-up script".to_owned()),
            _ => script = Some(PathBuf::from(arg)),
        }
    }
    let app = app.ok_or("no `--app NAME`")?;
    let script = script.ok_or("no start-up script")?;
    if let Some(environments) = lint {
        return Ok(Request::Lint { app, script, environments });
    }
    Ok(match record {
        Some(file) => Request::Record { app, script, file },
        None if check => Request::Check { app, script },
        None => Request::Run { app, script },
    })
}

/// Writes to standard output; a reader that went away is no reason to complain.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

fn fail(status: u8, problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::from(status)
}

/// Writes to standard error.
fn complain(problem: &str) {
    let _ = writeln!(std::io::stderr(), "soft-ioc: {problem}");
}
