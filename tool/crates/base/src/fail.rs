//! Errors as people and scripts meet them: exit statuses, messages, hints.

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

/// Exit statuses of `cargo xtask`. They are an interface: scripts and CI rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done; every check passed.
    Done,
    /// A check failed.
    CheckFailed,
    /// Wrong usage of the command line.
    Usage,
    /// `ioc.toml` or another file of the project is wrong.
    Config,
    /// The selection matches no check.
    NothingSelected,
    /// The host is not ready: no KVM, no Nix, no namespaces, a missing program.
    HostNotReady,
    /// Interrupted by Ctrl-C.
    Interrupted,
    /// Status of a program that we stand in for, passed on unchanged.
    Other(u8),
}

impl Status {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CheckFailed => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::NothingSelected => 4,
            Self::HostNotReady => 5,
            Self::Interrupted => 130,
            Self::Other(code) => code,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        status.code().into()
    }
}

/// An error with its exit status and the next step. Anything else that fails exits with 5.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// `message` is a lower-case sentence without a final period.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: None }
    }

    /// The exit status that it stands for.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Adds the next step: best a command that can be pasted.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The project's files are wrong: exit status 3.
pub fn config(message: impl Into<String>) -> Failure {
    Failure::new(Status::Config, message)
}

/// The host is not ready: exit status 5.
pub fn host(message: impl Into<String>) -> Failure {
    Failure::new(Status::HostNotReady, message)
}

/// Runs something; a panic in it, as where no thread can be started, is an error like others.
pub fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow!("{}", text.unwrap_or("unknown trouble")))
    })
}

/// The text of an error: its context chain, then a blank line and the hint.
pub fn render(error: &anyhow::Error) -> String {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut text = format!("error: {}", chain.join(": "));
    let own = || error.downcast_ref::<Failure>().and_then(|f| f.hint.as_deref());
    if let Some(hint) = by_cause(error).or_else(own) {
        text.push_str("\n\nhint: ");
        text.push_str(hint);
    }
    text
}

/// The next step where the kernel alone knows what is wrong, whatever was done.
fn by_cause(error: &anyhow::Error) -> Option<&'static str> {
    let kind = error.chain().find_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()))?;
    (kind == std::io::ErrorKind::FileTooLarge)
        .then_some("files may not be larger here: ulimit -f says how large; raise it where the session begins: ulimit -f unlimited")
}

/// The exit status that an error stands for.
pub fn status(error: &anyhow::Error) -> Status {
    error.downcast_ref::<Failure>().map_or(Status::HostNotReady, |f| f.status)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn message_has_chain_and_hint() {
        let error = Err::<(), _>(config("unknown key `aap`").hint("did you mean `app`?"))
            .context("ioc.toml, line 4")
            .unwrap_err();
        assert_eq!(render(&error), "error: ioc.toml, line 4: unknown key `aap`\n\nhint: did you mean `app`?");
        assert_eq!(status(&error), Status::Config);
    }

    #[test]
    fn a_failure_may_be_the_context_of_another_error() {
        let error = Err::<(), _>(std::io::Error::other("disk full"))
            .context(config("cannot keep the log").hint("free some room"))
            .unwrap_err();
        assert_eq!(render(&error), "error: cannot keep the log: disk full\n\nhint: free some room");
        assert_eq!(status(&error), Status::Config);
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = caught(|| -> Result<()> { std::panic::panic_any("no thread".to_owned()) }).unwrap_err();
        assert_eq!(error.to_string(), "no thread");
    }

    #[test]
    fn unclassified_errors_are_the_hosts() {
        let error = anyhow::anyhow!("disk full");
        assert_eq!(status(&error).code(), 5);
    }
}
