//! An `xtask` with a subcommand of its own: what the end-to-end tests run, so each of them also shows that the tool works
//! behind a main that is not ours.

use std::process::ExitCode;

use tool::clap::{Arg, ArgMatches, Command, value_parser};
use tool::{Failure, Own, Project, Result, Status};

fn main() -> ExitCode {
    let folder = Arg::new("TO").required(true).value_parser(value_parser!(std::path::PathBuf));
    let deploy = Command::new("deploy").about("Copy the built IOC into a folder").arg(folder);
    let clash = std::env::var("E2E_CLASH").is_ok().then(|| Own::new(Command::new("test"), |_, _| Ok(Status::Done)));
    let own: Vec<Own> = std::iter::once(Own::new(deploy, run)).chain(clash).collect();
    tool::main(&own)
}

fn run(project: &Project, matches: &ArgMatches) -> Result<Status> {
    let Some(to) = matches.get_one::<std::path::PathBuf>("TO").filter(|to| to.is_dir()) else {
        return Err(Failure::new(Status::Usage, "the folder to deploy to is not there").hint("mkdir it first").into());
    };
    let built = tool::build(project)?;
    let app = &project.config.iocs["ioc"].app;
    std::fs::copy(&built, to.join(app))?;
    tool::ui::say(&format!("deployed {app}"));
    Ok(Status::Done)
}
