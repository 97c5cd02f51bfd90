//! act.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::project::{HOST_FAILS, NEVER_ENDS, NIX_NEVER_ENDS, Runner};

/// Runs the workflow; what it says, and how each job has ended.
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
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true), ("gate", true)]), "{text}");
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
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true), ("gate", true)]), "{text}");
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
    assert_eq!(
        jobs,
        ended(&[(SANDBOX, true), (NIXOS, true), (rows[0], true), (rows[1], true), ("gate", true)]),
        "{text}"
    );
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
fn a_cancelled_job_keeps_what_it_had_so_far() {
    let Some(runner) = Runner::new("bin/act") else { return };
    runner.check("level", "print(\"it has begun\")\nmachine.succeed(\"sleep 600\")\n");
    let mut act = runner.act(&["-j", "sandbox"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    for line in BufReader::new(act.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("⭐ Run Main exec cargo xtask ci") {
            runner.wait_for_log(&mut act);
            assert!(Command::new("kill").args(["-INT", &act.id().to_string()]).status().unwrap().success());
        }
        text += &(line + "\n");
    }
    assert!(!act.wait().unwrap().success(), "{text}");
    assert!(runner.artifact("sandbox").contains("/level/log"), "{text}");
}

#[test]
fn without_checks_for_nixos_nothing_is_installed_and_many_have_few_rows() {
    let Some(runner) = Runner::new("bin/act") else { return };
    fs::remove_file(runner.fixture.root.join("checks/level.nix")).unwrap();
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, true), (NIXOS, true), ("gate", true)]), "{text}");
    assert!(!runner.seen().contains("nix\n"), "no Nix is installed for nothing: {}", runner.seen());

    runner.no_checks();
    let (text, jobs) = run(&runner, &[]);
    assert_eq!(jobs, ended(&[(SANDBOX, false), (NIXOS, true), ("gate", false)]), "{text}");
    assert!(text.contains("there is no check in checks/"), "{text}");

    for n in 0..150 {
        runner.check(&format!("c{n}"), "");
    }
    let output = runner.act(&["-j", "build"]).env("HIT", "true").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("--no-run"), "what the cache has is not built: {text}");
    let matrix = text.lines().find_map(|line| line.split_once("::set-output:: matrix=")).unwrap().1;
    let matrix: serde_json::Value = serde_json::from_str(matrix).unwrap();
    assert_eq!(matrix["include"].as_array().unwrap().len(), 15);
}
