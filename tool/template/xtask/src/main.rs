//! `cargo xtask`: the commands of tool/, and room for some of your own (tool/docs/own-commands.md has an example).

use std::process::ExitCode;

fn main() -> ExitCode {
    tool::main(&[])
}
