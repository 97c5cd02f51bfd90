//! `doctor`: the binary on this machine and on made-up ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

fn doctor(folder: &Path, args: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary")]
    Command::new(env!("CARGO_BIN_EXE_foreign"))
        .arg("doctor")
        .args(args)
        .current_dir(folder)
        .env_remove("XTASK_BACKEND")
        .env_remove("GITHUB_ACTIONS")
        .output()
        .unwrap()
}

#[test]
fn the_exit_status_follows_the_backend() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for backend in ["auto", "nixos", "driver", "sandbox"] {
        let output = doctor(project, &["--json", "--backend", backend]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["ready"] == true, output.status.code() == Some(0), "{backend}: {:#}", json["items"]);
        assert!(matches!(output.status.code(), Some(0 | 5)));
        if backend != "auto" {
            assert_eq!(json["backend"], backend);
        }
        assert!(json["items"].as_array().unwrap().iter().any(|i| i["name"] == "project" && i["state"] == "ok"));
    }
}

#[test]
fn worst_comes_first() {
    let output = doctor(Path::new(env!("CARGO_MANIFEST_DIR")), &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rank = |state: &serde_json::Value| {
        ["bad", "warning", "note", "ok"].iter().position(|s| state == s).unwrap_or_else(|| panic!("{state}"))
    };
    let ranks: Vec<usize> = json["items"].as_array().unwrap().iter().map(|i| rank(&i["state"])).collect();
    assert!(ranks.len() >= 12 && ranks.is_sorted(), "{ranks:?}");
}

#[test]
fn a_pipe_gets_no_colour_and_a_strange_backend_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    assert!(text.contains("backend sandbox"), "{text}");
    assert_eq!(doctor(folder.path(), &["--backend", "virtualbox"]).status.code(), Some(2));
}

#[test]
fn an_unknown_backend_in_ioc_toml_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tool")).unwrap();
    std::fs::write(folder.path().join("ioc.toml"), "backend = \"nixso\"\n[ioc]\napp = \"a\"\nioc = \"b\"\n").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary")]
    let output = Command::new(env!("CARGO_BIN_EXE_foreign"))
        .args(["doctor", "--json"])
        .env("CARGO_MANIFEST_DIR", folder.path().join("xtask"))
        .env_remove("XTASK_BACKEND")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("ioc.toml:1: unknown backend `nixso`"), "{text}");
    assert_eq!(output.status.code(), Some(5), "{text}");
}

#[test]
fn a_machine_with_nothing_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path(), &["--root", folder.path().to_str().unwrap(), "--backend", "nixos"]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().next().unwrap().starts_with("bad"), "{text}");
}

#[test]
fn namespaces_are_really_tried() {
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary")]
    let output = Command::new(env!("CARGO_BIN_EXE_foreign")).arg("userns-probe").output().unwrap();
    let tried: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // Where it works there is no error; where it does not, the error has a number.
    assert_eq!(tried["step"] == "done", tried["errno"].is_null(), "{tried}");
}

#[test]
fn a_limit_of_zero_is_found() {
    // A limit of one's own: it holds in a user namespace of this test, and nowhere else.
    let script = r#"echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" doctor --json --backend sandbox"#;
    #[expect(clippy::disallowed_methods, reason = "a test runs the binary")]
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_foreign")])
        .output();
    let Some(output) = output.ok().filter(|o| !o.stdout.is_empty()) else {
        common::skipped("a_limit_of_zero_is_found: no `unshare`, or no namespaces here");
        return;
    };
    assert_eq!(output.status.code(), Some(5));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let item = &json["items"][0];
    assert_eq!((&item["name"], &item["finding"]["id"]), (&"namespaces".into(), &"userns-max-zero".into()), "{item:#}");
}
