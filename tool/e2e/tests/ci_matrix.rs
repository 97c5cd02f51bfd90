//! `cargo xtask ci-matrix`, by GitHub's and GitLab's rules.

mod common;

use serde_json::{Value, json};

use common::Scratch;

const SCHEMA: &str = include_str!("../../docs/ci-matrix.schema.json");

#[test]
fn github_reads_two_outputs() {
    let scratch = Scratch::new();
    let run = scratch.xtask(&["ci-matrix", "--format", "github"]).expect(0, &[]);
    assert_eq!(
        run.stdout, "matrix={\"include\":[]}\nany=false\none=false\n",
        "a check without NAME.nix is not for Nix"
    );

    scratch.write("checks/simple.nix", "");
    let run = scratch.xtask(&["ci-matrix", "--format", "github"]).expect(0, &[]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[1..], ["any=true", "one=true"]);
    let matrix: Value = serde_json::from_str(lines[0].strip_prefix("matrix=").unwrap()).unwrap();
    assert_eq!(matrix["include"][0]["checks"], "simple");
}

#[test]
fn the_document_is_as_the_schema_says() {
    let scratch = Scratch::new();
    scratch.write("checks/simple.nix", "");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let sorted = |value: &Value| {
        let mut names: Vec<String> = serde_json::from_value(value.clone()).unwrap();
        names.sort();
        names
    };
    let document: Value = serde_json::from_str(&scratch.xtask(&["ci-matrix"]).expect(0, &[]).stdout).unwrap();
    assert_eq!(keys(&document), sorted(&schema["required"]));
    assert_eq!(keys(&document["include"][0]), sorted(&schema["properties"]["include"]["items"]["required"]));
    assert_eq!(document["schema"], schema["properties"]["schema"]["const"]);
}

#[test]
fn gitlab_gets_a_pipeline_with_a_job_at_least() {
    let scratch = Scratch::new();
    let pipeline = || -> Value {
        serde_json::from_str(&scratch.xtask(&["ci-matrix", "--format", "gitlab"]).expect(0, &[]).stdout).unwrap()
    };
    assert_eq!(pipeline().as_object().unwrap().len(), 1);
    scratch.write("checks/simple.nix", "");
    let job = &pipeline()["check simple (x86_64-linux)"];
    assert_eq!(job["extends"], ".nixos");
    assert_eq!(job["variables"], json!({"CHECKS": "simple", "SYSTEM": "x86_64-linux", "LIMIT": "3900"}));
}

#[test]
fn what_cannot_be_a_row_is_an_error() {
    let scratch = Scratch::new();
    scratch.write("checks/simple.nix", "");
    scratch
        .xtask(&["ci-matrix", "--system", "riscv64-linux"])
        .expect(3, &["no NixOS machine for a `riscv64-linux`", "hint: "]);
    scratch.xtask(&["ci-matrix", "--rows", "0"]).expect(2, &["neither a number from 1 nor `auto`"]);
    scratch.xtask(&["ci-matrix", "nothing"]).expect(4, &[]);
    scratch.write("checks/a\nany=true.nix", "");
    scratch.xtask(&["ci-matrix", "--format", "github"]).expect(3, &["cannot be the name of a check"]);
}
