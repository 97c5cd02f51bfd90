//! act.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::project::{HOST_FAILS, NEVER_ENDS, NIX_NEVER_ENDS, Runner};

/// Runs the workflow; what it says, and how each job has ended. A job that is skipped, as the gate where all is well, is not
/// among them.
fn run(runner: &Runner, args: &[&str]) -> (String, BTreeSet<(String, bool)>) {
    let output = runner.act(args).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let job = |line: &str| {
        // act counts the rows of a matrix.
        let name = line.strip_prefix("[ci/")?.split(']').next()?.trim().trim_end_matches(|c: char| c.is_ascii_digit());
        let name = name.strip_suffix(")-").map_or(name.to_owned(), |name| name.to_owned() + ")");
        let ended = |how| line.trim_end().ends_with(how);
        (ended("Job succeeded") || ended("Job failed")).then(|| (name, ended("Job succeeded")))
    };
    let jobs: BTreeSet<_> = text.lines().filter_map(job).collect();
    assert_eq!(output.status.success(), jobs.iter().all(|(_, good)| *good), "{text}");
    (text, jobs)
}

fn ended(list: &[(&str, bool)]) -> BTreeSet<(String, bool)> {
    list.iter().map(|(name, how)| ((*name).to_owned(), *how)).collect()
}

const SANDBOX: &str = "checks in the sandbox, without Nix";
const NIXOS: &str = "NixOS machines";

#[test]
fn a_few_checks_are_two_jobs_which_keep_everything() {
    let Some(runner) = Runner::new("bin/act") else { return };
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true)]), "{text}");
    let kept = runner.artifact("sandbox");
    for name in ["/out/LAB1:VOLT.txt", "/out/.hidden", "/report.html", "/run.json", "journal.jsonl"] {
        assert!(kept.contains(name), "no {name}: {kept}");
    }
    assert!(!kept.contains("/latest"), "{kept}");
    let kept = runner.artifact("nixos");
    assert!(kept.contains("/report.html") && kept.contains("/level/log"), "{kept}");
}

/// What a run leaves in the cache is what the next one takes: programs, the store, times.
#[test]
fn a_later_run_takes_what_is_built_and_makes_rows_by_recorded_times() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("flow", "start_all()\n");
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true)]), "{text}");
    // As if they had been long.
    let mut long = 0;
    for cache in runner.caches("times-") {
        let times = runner.cached(&cache);
        assert!(times.contains("\"level\": ") && times.contains("\"flow\": "), "{cache}: {times}");
        runner.put(&cache, "{\"level\": 700, \"flow\": 700}");
        long += 1;
    }
    assert_eq!(long, 2, "of the sandbox and of NixOS");

    let (text, jobs) = run(&runner, &[]);
    let rows = ["flow (x86_64-linux)", "level (x86_64-linux)"];
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true), (rows[0], true), (rows[1], true)]), "{text}");
    assert!(
        runner.artifact(rows[0]).contains("/flow/result.json")
            && runner.artifact(rows[1]).contains("/level/result.json")
    );
    let seen = runner.seen();
    let stores: BTreeSet<&str> =
        seen.lines().filter_map(|line| line.strip_prefix("store ")?.split(' ').next()).collect();
    assert_eq!(stores.len(), 1, "rows look for what the build has kept: {seen}");
    assert!(seen.contains("restored lookup=false") && seen.contains("restored lookup=true"), "{seen}");
    let programs = runner.caches("xtask-");
    assert_eq!(programs.len(), 1, "sources that did not change are kept once: {programs:?}");
    // By the sandbox, the build and the rows.
    assert_eq!(seen.matches(&format!("restored {}\n", programs[0])).count(), 4, "{seen}");
}

#[test]
fn failures_are_red_and_what_was_built_and_left_is_kept() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", "machine.fail(\"true\")\n");
    runner.fixture.write("checks/level.nix", "{ nixosTest, ... }: nixosTest { } \"exit 1\"\n");
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, false), (NIXOS, false), ("gate", false)]), "{text}");
    for leg in ["sandbox", "nixos"] {
        let kept = runner.artifact(leg);
        assert!(kept.contains("/report.html") && kept.contains("/level/log"), "{leg}: {kept}");
    }
    assert_eq!(runner.caches("xtask-").len(), 1);
    assert!(runner.seen().contains(" saved"), "{}", runner.seen());
}

#[test]
fn the_tools_own_limit_comes_before_the_jobs_so_reports_are_whole() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", NEVER_ENDS);
    runner.fixture.write("checks/level.nix", NIX_NEVER_ENDS);
    let workflow = runner.fixture.root.join(".github/workflows/ci.yml");
    let text = fs::read_to_string(&workflow).unwrap();
    fs::write(&workflow, text.replace("limit: 1200", "limit: 3").replace("limit: 7200", "limit: 3")).unwrap();
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, false), (NIXOS, false), ("gate", false)]), "{text}");
    for leg in ["sandbox", "nixos"] {
        let kept = runner.artifact(leg);
        assert!(kept.contains("/report.html") && kept.contains("/level/log"), "{leg}: {kept}");
        let junit = runner.in_artifact(leg, "checks/junit.xml");
        assert!(junit.contains("limit of"), "{leg}: {junit}");
    }
}

#[test]
fn trouble_of_the_host_is_red_and_keeps_what_is_known() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", HOST_FAILS);
    let (text, jobs) = run(&runner, &["-j", "sandbox"]);
    assert_eq!(jobs, ended(&[(SANDBOX, false)]), "{text}");
    assert!(text.contains("error: cannot write "), "{text}");
    let kept = runner.artifact("sandbox");
    assert!(kept.contains("/report.html") && kept.contains("/level/log"), "{kept}");
}

#[test]
fn cancelled_jobs_keep_what_they_had_so_far() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", NEVER_ENDS);
    runner.fixture.write("checks/level.nix", NIX_NEVER_ENDS);
    let log = runner.fixture.dir.path().join("act.log");
    let mut act = runner.act(&[]);
    let mut act = act.stdout(fs::File::create(&log).unwrap()).spawn().unwrap();
    runner.wait_for_logs(&mut act, 2);
    assert!(Command::new("kill").args(["-INT", &act.id().to_string()]).status().unwrap().success());
    let ended = act.wait().unwrap();
    let text = fs::read_to_string(log).unwrap();
    assert!(!ended.success(), "{text}");
    for leg in ["sandbox", "nixos"] {
        assert!(runner.artifact(leg).contains("/level/log"), "{leg}: {text}");
    }
}

/// What docs/ci.md says of servers for which GitHub's own upload refuses to run, with what those tell a job.
#[test]
fn on_the_servers_of_others_the_archive_arrives_as_the_guide_says() {
    let Some(runner) = Runner::new("bin/act") else { return };
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ci.md")).unwrap();
    let (_, shown) = guide.split_once("```yaml\n").unwrap();
    let shown = shown.split_once("```").unwrap().0;
    let workflow = runner.fixture.root.join(".github/workflows/ci.yml");
    let text = fs::read_to_string(&workflow).unwrap().replace("runs-on: ubuntu-24.04", "runs-on: docker");
    let ours = text.find("      - uses: ./tool/ci/github/results").unwrap();
    let after = text[ours..].find("\n\n").unwrap() + ours;
    fs::write(&workflow, format!("{}{shown}{}", &text[..ours], &text[after..])).unwrap();
    let elsewhere = ["-j", "sandbox", "-P", "docker=-self-hosted", "--github-instance", "git.example.org"];
    let says = ["--env", "GITEA_ACTIONS=true", "--env", "FORGEJO_ACTIONS=true"];
    let (text, jobs) = run(&runner, &[elsewhere.as_slice(), &says].concat());
    assert_eq!(jobs, ended(&[(SANDBOX, true)]), "{text}");
    assert!(runner.artifact("sandbox").contains("/out/LAB1:VOLT.txt"), "{text}");

    // Else the job is red, and the reason is upload-artifact's own.
    runner.fixture.git(&["checkout", "-q", "HEAD~", "--", ".github"]);
    let text = fs::read_to_string(&workflow).unwrap().replace("runs-on: ubuntu-24.04", "runs-on: docker");
    fs::write(&workflow, text).unwrap();
    let (text, jobs) = run(&runner, &[elsewhere.as_slice(), &says].concat());
    assert_eq!(jobs, ended(&[(SANDBOX, false)]), "{text}");
}

#[test]
fn without_checks_for_nixos_nothing_is_installed_and_many_have_few_rows() {
    let Some(runner) = Runner::new("bin/act") else { return };
    fs::remove_file(runner.fixture.root.join("checks/level.nix")).unwrap();
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true)]), "{text}");
    assert!(!runner.seen().contains("nix\n"), "no Nix is installed for nothing: {}", runner.seen());

    runner.no_checks();
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, false), (NIXOS, true), ("gate", false)]), "{text}");
    assert!(text.contains("there is no check in checks/"), "{text}");

    for n in 0..150 {
        runner.check(&format!("c{n}"), "start_all()\n");
    }
    let output = runner.act(&["-j", "build"]).env("HIT", "true").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("--no-run"), "what the cache has is not built: {text}");
    let matrix = text.lines().find_map(|line| line.split_once("::set-output:: matrix=")).unwrap().1;
    let matrix: serde_json::Value = serde_json::from_str(matrix).unwrap();
    assert_eq!(matrix["include"].as_array().unwrap().len(), 15);
    if !crate::common::slow() {
        return crate::common::skipped("all jobs of 150 checks take minutes; XTASK_SLOW_TESTS=1 runs them");
    }
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs.len(), 17, "{jobs:?}: {text}");
    assert!(jobs.iter().all(|(_, good)| *good), "{jobs:?}: {text}");
    let kept: String =
        jobs.iter().filter(|(name, _)| name.contains("x86_64")).map(|(name, _)| runner.artifact(name)).collect();
    for n in 0..150 {
        assert!(kept.contains(&format!("/c{n}/result.json")), "c{n}");
        assert!(runner.artifact("sandbox").contains(&format!("/c{n}/result.json")), "c{n}");
    }
}
