//! gitlab-ci-local.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::{HOST_FAILS, NEVER_ENDS, Runner};

const PROGRAM: &str = "node_modules/.bin/gitlab-ci-local";
const ROW: &str = "check level (x86_64-linux)";

fn runner() -> Option<Runner> {
    let runner = Runner::new(PROGRAM)?;
    if Command::new("rsync").arg("--version").output().is_err() {
        crate::common::skipped("gitlab-ci-local needs rsync");
        return None;
    }
    runner.fixture.git(&["remote", "add", "origin", "https://example.org/me/project.git"]);
    Some(runner)
}

fn command(runner: &Runner) -> Command {
    runner.command(PROGRAM, &["--force-shell-executor", "--shell-isolation", "--color=false"])
}

/// Runs the pipeline, and looks at how its jobs end; what it says.
fn run(runner: &Runner, passed: &[&str], failed: &[&str]) -> String {
    let output = command(runner).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{text}");
    for (jobs, word) in [(passed, "PASS"), (failed, "FAIL")] {
        for job in jobs {
            assert!(text.lines().any(|line| line.contains(word) && line.contains(job)), "{word} {job}: {text}");
        }
    }
    text
}

/// What a job has kept.
fn kept(runner: &Runner, job: &str) -> String {
    let dir = runner.fixture.root.join(".gitlab-ci-local/artifacts");
    let files = walkdir::WalkDir::new(&dir).into_iter().flatten().map(|entry| entry.path().display().to_string());
    files.filter(|path| path.contains(job)).collect::<Vec<_>>().join("\n")
}

#[test]
fn both_legs_pass_keep_what_they_left_and_hand_on_times() {
    let Some(runner) = runner() else { return };
    run(&runner, &["plan", "sandbox", ROW], &[]);
    let kept = kept(&runner, "sandbox");
    assert!(kept.contains("/out/LAB1:VOLT.txt") && kept.contains("/run.json"), "{kept}");
    let caches = runner.fixture.root.join(".gitlab-ci-local/cache");
    for leg in ["sandbox", "nixos"] {
        let times = caches.join(format!("times-{leg}/target/times/{leg}.json"));
        assert!(fs::read_to_string(&times).unwrap().contains("\"level\": "), "{}", times.display());
        fs::write(&times, "{\"level\": 700, \"flow\": 700}").unwrap();
    }
    // Known to be long: each has a row.
    runner.check("flow", "start_all()\n");
    run(&runner, &["plan", "sandbox", ROW, "check flow (x86_64-linux)"], &[]);
}

#[test]
fn failures_are_red_and_keep_what_they_left() {
    let Some(runner) = runner() else { return };
    runner.check("level", "machine.fail(\"true\")\n");
    runner.fixture.write("checks/level.nix", "{ nixosTest, ... }: nixosTest { } \"exit 1\"\n");
    run(&runner, &["plan"], &["sandbox", ROW]);
    let kept = kept(&runner, "");
    assert_eq!(kept.matches("/level/result.json").count(), 2, "{kept}");
}

#[test]
fn the_tools_own_limit_comes_before_the_jobs_so_reports_are_whole() {
    let Some(runner) = runner() else { return };
    runner.check("level", NEVER_ENDS);
    fs::remove_file(runner.fixture.root.join("checks/level.nix")).unwrap();
    let job = runner.fixture.root.join("tool/ci/gitlab/sandbox.yml");
    let text = fs::read_to_string(&job).unwrap();
    fs::write(&job, text.replace("--global-timeout 1200", "--global-timeout 3")).unwrap();
    let text = run(&runner, &["plan", "no checks"], &["sandbox"]);
    assert!(text.contains("limit of"), "{text}");
    assert!(kept(&runner, "sandbox").contains("/checks/junit.xml"));
}

#[test]
fn trouble_of_the_host_is_red_and_keeps_what_is_known() {
    let Some(runner) = runner() else { return };
    runner.check("level", HOST_FAILS);
    let text = run(&runner, &["plan", ROW], &["sandbox"]);
    assert!(text.contains("error: cannot write "), "{text}");
    let kept = kept(&runner, "sandbox");
    assert!(kept.contains("/checks/junit.xml") && kept.contains("/level/log"), "{kept}");
}

#[test]
fn no_check_at_all_is_red_and_many_have_few_jobs() {
    let Some(runner) = runner() else { return };
    runner.no_checks();
    let text = run(&runner, &["plan", "no checks"], &["sandbox"]);
    assert!(text.contains("there is no check in checks/"), "{text}");
    for n in 0..150 {
        runner.check(&format!("c{n}"), "start_all()\n");
    }
    let output = command(&runner).arg("plan").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pipeline = fs::read_to_string(runner.fixture.root.join("checks.yml")).unwrap();
    assert_eq!(pipeline.matches("\"CHECKS\": ").count(), 15, "{pipeline}");
    if !crate::common::slow() {
        return crate::common::skipped("all jobs of 150 checks take minutes; XTASK_SLOW_TESTS=1 runs them");
    }
    run(&runner, &["plan", "sandbox"], &[]);
    let kept = kept(&runner, "");
    for n in 0..150 {
        assert_eq!(kept.matches(&format!("/c{n}/result.json")).count(), 2, "c{n}");
    }
}

/// What GitLab's runner sends to a cancelled job; what to keep then is the runner's own affair.
#[test]
fn a_cancelled_job_leaves_whole_reports() {
    let Some(runner) = runner() else { return };
    runner.check("level", NEVER_ENDS);
    // A group of its own, as a terminal would give it.
    let mut job = command(&runner).arg("sandbox").stdout(Stdio::null()).process_group(0).spawn().unwrap();
    runner.wait_for_logs(&mut job, 1);
    assert!(Command::new("kill").args(["-INT", "--", &format!("-{}", job.id())]).status().unwrap().success());
    let _ = job.wait().unwrap();
    let builds = runner.fixture.root.join(".gitlab-ci-local/builds");
    let runs = || walkdir::WalkDir::new(&builds).into_iter().flatten().map(walkdir::DirEntry::into_path);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !runs().any(|path| path.ends_with("target/checks/junit.xml")) {
        assert!(Instant::now() < deadline, "{:?}", runs().collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(50));
    }
}
