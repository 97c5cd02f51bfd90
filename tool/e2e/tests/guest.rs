//! The checks of the template on Debian guests: real systemd, what Nix evaluates for each machine, nixpkgs' own driver.
//! Emulated, so that it needs no KVM: minutes for each. `ci/guest.sh` makes what it needs, and runs it.
//!
//! The clients are the soft IOC's, which search by 255.255.255.255 as well. C's do not, so that a check without `ca_addr_list`
//! fails on NixOS cannot be seen here.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, check: &str) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = here.parent().unwrap().join("template");
    let mut python = Command::new(folder.join("python/bin/python"));
    python.arg("-B").arg(here.join("guest/guest.py")).args([folder, &template]).arg(check).output().unwrap()
}

/// One at a time: two machines take a processor each.
#[test]
fn the_checks_pass_on_guests_as_nix_sets_them_up() {
    let Some(folder) = std::env::var_os("XTASK_GUEST") else {
        return common::skipped(
            "XTASK_GUEST names no guest: tool/ci/guest.sh FOLDER makes one and runs the checks on it",
        );
    };
    let folder = Path::new(&folder);
    for check in ["simple", "reconnect", "network", "two-iocs"] {
        common::tell(check);
        let output = run(folder, check);
        assert!(output.status.success(), "{check}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
