//! The `xtask` binary: parse, run, turn the outcome into an exit status. Nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    match xtask::run(std::env::args_os()) {
        Ok(status) => status.into(),
        Err(error) => xtask::fail::report(&error).into(),
    }
}
