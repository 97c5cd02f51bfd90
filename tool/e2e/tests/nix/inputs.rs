//! Whether Nix can have what its flake needs, and what `auto` makes of that.

use std::fs;

use crate::common::Run;
use crate::fixture::Fixture;

/// An input that is nowhere.
const LOCK: &str = r#"{"nodes":{"gone":{"locked":{"narHash":"sha256-GMOk1v0PCdsNq6gHn9ReySiT6IatiezKOT5flX3qcJQ=",
"type":"tarball","url":"http://127.0.0.1:1/gone.tar.gz"},"original":{"type":"tarball","url":"http://127.0.0.1:1/gone.tar.gz"}},
"root":{"inputs":{"gone":"gone"}}},"root":"root","version":7}"#;

fn with_input(fixture: &Fixture, lock: Option<&str>) {
    let flake = fs::read_to_string(fixture.root.join("flake.nix")).unwrap();
    let flake = flake.replace("{ self }:", "{ self, gone }: builtins.seq gone.outPath (").replace(
        "  outputs =",
        "  inputs.gone = { url = \"http://127.0.0.1:1/gone.tar.gz\"; flake = false; };\n  outputs =",
    );
    let end = flake.rfind('}').unwrap();
    let last = flake[..end].rfind(';').unwrap();
    fixture.write("flake.nix", &format!("{}){}", &flake[..last], &flake[last..]));
    if let Some(lock) = lock {
        fixture.write("flake.lock", lock);
    }
    fixture.git(&["add", "."]);
}

#[test]
fn an_input_out_of_reach_is_named() {
    let Some(fixture) = Fixture::new() else { return };
    with_input(&fixture, Some(LOCK));
    fixture
        .nixos(&["other", "--offline"])
        .expect(5, &["Nix could not fetch http://127.0.0.1:1/gone.tar.gz", "--backend sandbox"]);
    // So `auto` does not choose Nix; its reason comes with an option that the sandbox cannot honour.
    fixture.xtask(&["test", "other", "--accel", "tcg"]).expect(
        2,
        &[
            "`--accel` cannot be honoured",
            "the flake's input gone is not in the store, and 127.0.0.1:1 does not answer",
        ],
    );
}

#[test]
fn an_input_that_nix_never_uses_may_be_out_of_reach() {
    let Some(fixture) = Fixture::new() else { return };
    let flake = fs::read_to_string(fixture.root.join("flake.nix")).unwrap();
    let input = "  inputs.gone = { url = \"http://127.0.0.1:1/gone.tar.gz\"; flake = false; };\n  outputs =";
    fixture.write("flake.nix", &flake.replace("{ self }:", "{ self, gone }:").replace("  outputs =", input));
    fixture.write("flake.lock", LOCK);
    fixture.git(&["add", "."]);
    let auto = || fixture.xtask(&["test", "other", "--accel", "tcg"]);
    auto().expect(2, &["the flake's input gone is not in the store"]);
    fixture.nixos(&["other"]).expect(0, &["PASS other"]);
    auto().expect(0, &["nixos, a NixOS machine by Nix ", " (Nix is here", "PASS other"]);
}

#[test]
fn a_lock_file_out_of_date_is_left_alone() {
    let Some(fixture) = Fixture::new() else { return };
    fs::create_dir(fixture.root.join("nix/sub")).unwrap();
    fixture.write("nix/sub/file", "");
    let flake = fs::read_to_string(fixture.root.join("flake.nix")).unwrap();
    let flake = flake.replace("{ self }:", "{ self, sub }:");
    let input = format!(
        "  inputs.sub = {{ url = \"path:{}\"; flake = false; }};\n  outputs =",
        fixture.root.join("nix/sub").display()
    );
    fixture.write("flake.nix", &flake.replace("  outputs =", &input));
    fixture.nixos(&["other"]).expect(5, &["flake.lock does not fit flake.nix", "flake lock"]);
    assert!(!fixture.root.join("flake.lock").exists());
}

#[test]
fn auto_takes_nix_where_all_is_there_and_says_why() {
    let Some(fixture) = Fixture::new() else { return };
    // Emulation was asked for, so that KVM does not matter.
    fixture
        .xtask(&["test", "other", "--accel", "tcg"])
        .expect(0, &["nixos, a NixOS machine by Nix ", " (Nix is here", "PASS other"]);
    let mut command = fixture.command(&["test", "other", "--accel", "tcg"]);
    command.env("PATH", "/nonexistent");
    Run::of(&command.output().unwrap()).expect(2, &["this run is in the sandbox (Nix is not here)"]);
}

#[test]
fn a_daemon_that_does_not_run_is_the_hosts_trouble() {
    let Some(fixture) = Fixture::new() else { return };
    let run = |args: &[&str]| Run::of(&fixture.command(args).env("NIX_REMOTE", "daemon").output().unwrap());
    run(&["test", "other", "--backend", "nixos"]).expect(5, &["the daemon of Nix does not answer at", "nix-daemon"]);
    run(&["test", "other", "--accel", "tcg"]).expect(2, &["in the sandbox (Nix cannot be used"]);
}
