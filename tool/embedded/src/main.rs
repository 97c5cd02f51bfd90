//! The program is the library: `tool/fuzz` has its readers from there.

use std::process::ExitCode;

fn main() -> ExitCode {
    soft_ioc::main()
}
