//! What changes the project.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

#[derive(Debug, Args)]
pub struct NewCheck {
    /// Name of the check: its files are checks/NAME.py and checks/NAME.nix
    pub name: String,
    /// Check to copy; by default a short script with comments, which passes at once
    #[arg(long, value_name = "CHECK")]
    pub from: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("names").required(true).multiple(true).args(["app", "ioc", "prefix"])))]
pub struct Rename {
    /// Name of the application: folder ioc/NAMEApp and its executable
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// Name of its folder below ioc/iocBoot: ioc and something of yours
    #[arg(long, value_name = "iocNAME")]
    pub ioc: Option<String>,
    /// What the name of every record begins with, such as PSU1:
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    pub prefix: Option<String>,
    /// Make the change; without this nothing is written
    #[arg(long)]
    pub apply: bool,
}

#[derive(Debug, Args)]
pub struct Adopt {
    /// The EPICS top: the folder that holds configure/ and iocBoot/. It is only read [default: ioc/, where you have put yours]
    pub dir: Option<PathBuf>,
    /// Which IOC, where there are several and not all shall come: a folder below iocBoot/; may be repeated
    #[arg(long, value_name = "iocNAME")]
    pub ioc: Vec<String>,
    /// Make the change; without this nothing is written
    #[arg(long)]
    pub apply: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask upgrade --check
  cargo xtask upgrade --from ../epics-ioc-template
  cargo xtask upgrade --from template.bundle --rev v0.3.0")]
pub struct Upgrade {
    /// Where the newer tool is: URL, checkout, bundle or unpacked archive of the template [default: where this one came from]
    #[arg(long, value_name = "PATH|URL|BUNDLE")]
    pub from: Option<String>,
    /// Which revision of it: tag, branch or commit [default: its main branch]
    #[arg(long)]
    pub rev: Option<String>,
    /// Only tell what is here and what is there
    #[arg(long)]
    pub check: bool,
    /// Drop changes that were made in tool/, after showing them
    #[arg(long)]
    pub discard: bool,
}
