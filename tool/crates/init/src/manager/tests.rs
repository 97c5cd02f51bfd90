//! The manager against a simulated machine: told stories, and random schedules compared with a model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::unit::syntax;
use super::super::unit::words::Specifiers;
use super::super::unit::{Load, directives};
use super::types::{Exit, Phase, Pid, Who};
use super::*;

/// A machine whose processes do as their unit is told: end on SIGTERM, or not.
struct Sim {
    manager: Manager,
    now: u64,
    pids: Pid,
    alive: BTreeMap<Pid, String>,
    stubborn: BTreeSet<String>,
    log: Vec<String>,
    done: Vec<(u32, String, JobResult)>,
}

impl Sim {
    fn new(units: &[(&str, &str)]) -> Self {
        let texts: BTreeMap<String, String> = units.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let load = move |name: &str| {
            let unit = Unit::new(name, Load::NotFound);
            let text = match texts.get(name) {
                Some(text) => text,
                None if name.ends_with(".target") => "",
                None if name == "system.slice" => {
                    return Unit { load: Load::Loaded, kind: Kind::Fixed { sub: "active" }, ..unit };
                }
                None => return unit,
            };
            let spec = Specifiers { unit: name.to_owned(), ..Default::default() };
            let mut unit = directives::build(unit, &spec, &[(name.to_owned(), syntax::parse(text).unwrap())]).unwrap();
            unit.add_default_deps();
            unit
        };
        let stubborn = units.iter().filter(|(_, t)| t.contains("stubborn")).map(|(n, _)| (*n).to_owned()).collect();
        let mut sim = Self {
            manager: Manager::new(Box::new(load)),
            now: 1,
            pids: 100,
            alive: BTreeMap::new(),
            stubborn,
            log: Vec::new(),
            done: Vec::new(),
        };
        let now = sim.time();
        sim.manager.boot(now);
        sim.drain();
        sim
    }

    fn time(&self) -> Time {
        Time { mono: self.now, real: self.now }
    }

    fn handle(&mut self, event: Event) {
        let now = self.time();
        self.manager.handle(now, event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.manager.next_action() {
            if let Some(event) = self.perform(action) {
                let now = self.time();
                self.manager.handle(now, event);
            }
        }
        self.check();
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Prepare { unit } => {
                self.pids += 1;
                Some(Event::Prepared { unit, invocation: format!("run{}", self.pids), unmet: None })
            }
            Action::Spawn { unit, phase, .. } => {
                self.pids += 1;
                self.alive.insert(self.pids, unit.clone());
                Some(Event::Spawned { unit, phase, pid: Some(self.pids), executed: true })
            }
            Action::Signal { unit, who, signal } => {
                let rt = &self.manager.units[&unit];
                let one = match who {
                    Who::Main => rt.main,
                    Who::Control => rt.control,
                    Who::All => None,
                };
                let hit = |(p, u): &(&Pid, &String)| **u == unit && (who == Who::All || one == Some(**p));
                let pids: Vec<Pid> = self.alive.iter().filter(hit).map(|(p, _)| *p).collect();
                for pid in pids {
                    self.signal(pid, signal);
                }
                None
            }
            Action::CheckEmpty { unit } => (!self.alive.values().any(|u| *u == unit)).then_some(Event::Empty { unit }),
            Action::FindMain { unit } => Some(Event::MainFound { unit, pid: None }),
            Action::Log { text, .. } => {
                self.log.push(text);
                None
            }
            Action::Cleanup { .. } => None,
            Action::JobDone { job, unit, result } => {
                assert!(self.done.iter().all(|(id, ..)| *id != job), "job {job} ended twice");
                self.done.push((job, unit, result));
                None
            }
        }
    }

    fn signal(&mut self, pid: Pid, signal: i32) {
        let unit = self.alive[&pid].clone();
        if signal == 9 || !self.stubborn.contains(&unit) {
            self.end(pid, Exit::Signal(signal));
        }
    }

    fn end(&mut self, pid: Pid, exit: Exit) {
        self.alive.remove(&pid);
        let now = self.time();
        self.manager.handle(now, Event::Exited { pid, exit });
    }

    /// What must hold at any moment.
    fn check(&self) {
        for (name, rt) in &self.manager.units {
            for pid in [rt.main, rt.control].into_iter().flatten() {
                assert_eq!(self.alive.get(&pid), Some(name), "{name} knows a process that is not its own");
            }
            if rt.state == State::Running {
                assert!(rt.main.is_some(), "{name} runs without a process");
            }
            if let Some(job) = rt.job {
                assert_eq!(self.manager.jobs.get(&job).map(|j| &j.unit), Some(name));
            }
        }
        for (pid, unit) in &self.alive {
            let down = self.manager.active(unit).is_down();
            assert!(!down, "process {pid} outlives {unit}");
        }
    }

    /// Lets time pass until nothing is due any more.
    fn settle(&mut self) {
        for _ in 0..50 {
            let Some(due) = self.manager.next_deadline() else { return };
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        panic!("never at rest: {:?}", self.manager.units.keys());
    }

    /// Lets some time pass, µs.
    fn wait(&mut self, us: u64) {
        let end = self.now + us;
        while let Some(due) = self.manager.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        self.now = end;
    }

    fn request(&mut self, kind: JobKind, name: &str) -> Result<JobResult, Refusal> {
        let now = self.time();
        let job = self.manager.request(now, kind, name)?;
        self.drain();
        self.settle();
        Ok(self.done.iter().find(|(id, ..)| *id == job).map(|(_, _, result)| *result).expect("the job has ended"))
    }

    fn kill(&mut self, name: &str, exit: Exit) {
        if let Some(pid) = self.manager.units.get(name).and_then(|rt| rt.main) {
            self.end(pid, exit);
            self.drain();
        }
    }

    fn facts(&self, name: &str) -> (&'static str, &'static str, &'static str, u32) {
        let rt = self.manager.view(name);
        (rt.active().as_str(), rt.sub(), rt.result.as_str(), rt.n_restarts)
    }
}

const SIMPLE: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/x\n";

#[test]
fn a_signal_that_ends_a_daemon_is_success_and_sigkill_is_not() {
    let mut sim = Sim::new(&[("a.service", SIMPLE)]);
    assert_eq!(sim.request(JobKind::Start, "a.service"), Ok(JobResult::Done));
    assert_eq!(sim.facts("a.service"), ("active", "running", "success", 0));
    sim.kill("a.service", Exit::Signal(15));
    assert_eq!(sim.facts("a.service"), ("inactive", "dead", "success", 0));
    sim.request(JobKind::Start, "a.service").unwrap();
    sim.kill("a.service", Exit::Signal(9));
    assert_eq!(sim.facts("a.service"), ("failed", "failed", "signal", 0));
    let log = sim.log.join("\n");
    assert!(log.contains(
        "a.service: Main process exited, code=killed, status=9/KILL\na.service: Failed with result 'signal'."
    ));
}

#[test]
fn a_stubborn_service_is_killed_in_the_end() {
    let text = format!("{SIMPLE}TimeoutStopSec=3\nX-stubborn=1\n");
    let mut sim = Sim::new(&[("a.service", &text)]);
    sim.request(JobKind::Start, "a.service").unwrap();
    let before = sim.now;
    assert_eq!(sim.request(JobKind::Stop, "a.service"), Ok(JobResult::Done));
    assert_eq!(sim.facts("a.service"), ("failed", "failed", "timeout", 0));
    assert_eq!(sim.now - before, 3_000_000);
}

#[test]
fn a_service_that_falls_silent_is_aborted() {
    let notify = |sim: &mut Sim, text: &str| {
        let (key, value) = text.split_once('=').unwrap();
        let pid = sim.manager.units["a.service"].main.unwrap();
        let fields = vec![(key.to_owned(), value.to_owned())];
        sim.handle(Event::Notify { unit: "a.service".into(), pid, fields });
    };
    let start = |lines: &str| {
        let mut sim = Sim::new(&[("a.service", &format!("{SIMPLE}WatchdogSec=5\n{lines}"))]);
        let now = sim.time();
        sim.manager.request(now, JobKind::Start, "a.service").unwrap();
        sim.drain();
        sim
    };
    let mut sim = start("");
    let first = sim.manager.next_deadline().unwrap();
    sim.now += 3_000_000;
    notify(&mut sim, "WATCHDOG=1");
    assert_eq!(sim.manager.next_deadline(), Some(first + 3_000_000), "it was heard");
    sim.wait(6_000_000);
    assert_eq!(sim.facts("a.service"), ("failed", "failed", "watchdog", 0));
    let said = sim.log.join("\n");
    assert!(said.contains("a.service: Watchdog timeout (limit 5s)!") && said.contains("status=6/ABRT"), "{said}");
    let mut sim = start("Restart=on-watchdog\n");
    sim.wait(5_500_000);
    assert_eq!(sim.facts("a.service"), ("active", "running", "success", 1));
    let mut sim = start("");
    notify(&mut sim, "WATCHDOG_USEC=60000000");
    sim.wait(20_000_000);
    assert_eq!(sim.facts("a.service"), ("active", "running", "success", 0));
}

#[test]
fn a_failing_requirement_fails_the_job() {
    let units = [
        ("bad.service", "[Service]\nType=oneshot\nExecStart=/x\n"),
        ("a.service", "[Unit]\nRequires=bad.service\nAfter=bad.service\n[Service]\nExecStart=/x\n"),
    ];
    let mut sim = Sim::new(&units);
    let now = sim.time();
    let job = sim.manager.request(now, JobKind::Start, "a.service").unwrap();
    sim.drain();
    assert_eq!(sim.facts("a.service").0, "inactive", "it waits for what it requires");
    sim.kill("bad.service", Exit::Code(4));
    assert!(sim.done.contains(&(job, "a.service".into(), JobResult::Dependency)));
    assert_eq!(sim.facts("bad.service"), ("failed", "failed", "exit-code", 0));
    assert!(sim.log.contains(&"a.service: Job a.service/start failed with result 'dependency'.".to_owned()));
}

#[test]
fn a_start_limit_gives_up() {
    let text = "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=3\n[Service]\nExecStart=/x\nRestart=on-failure\nRestartSec=100ms\n";
    let mut sim = Sim::new(&[("a.service", text)]);
    sim.request(JobKind::Start, "a.service").unwrap();
    for _ in 0..5 {
        sim.kill("a.service", Exit::Code(8));
        sim.settle();
    }
    assert_eq!(sim.facts("a.service"), ("failed", "failed", "exit-code", 3));
    assert!(sim.log.contains(&"a.service: Start request repeated too quickly.".to_owned()));
    let now = sim.time();
    sim.manager.reset_failed(now, Some("a.service"));
    assert_eq!(sim.request(JobKind::Start, "a.service"), Ok(JobResult::Done));
}

#[test]
fn a_notify_service_is_up_when_it_says_so() {
    let mut sim = Sim::new(&[("a.service", "[Service]\nType=notify\nExecStart=/x\nTimeoutStartSec=5\n")]);
    let now = sim.time();
    sim.manager.request(now, JobKind::Start, "a.service").unwrap();
    sim.drain();
    assert_eq!(sim.facts("a.service").1, "start");
    let pid = sim.manager.units["a.service"].main.unwrap();
    let ready = |pid| Event::Notify {
        unit: "a.service".into(),
        pid,
        fields: vec![("READY".into(), "1".into()), ("STATUS".into(), "fine".into())],
    };
    sim.handle(ready(pid + 1));
    assert_eq!(sim.facts("a.service").1, "start", "only the main process may say so");
    sim.handle(ready(pid));
    assert_eq!(sim.facts("a.service").1, "running");
    assert_eq!(sim.manager.units["a.service"].status_text, "fine");
    sim.request(JobKind::Stop, "a.service").unwrap();
    assert_eq!(sim.request(JobKind::Start, "a.service"), Ok(JobResult::Failed), "it says nothing in time");
    assert_eq!(sim.facts("a.service").2, "timeout");
}

#[test]
fn commands_run_in_their_order() {
    let text = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStartPre=-/a\nExecStart=/b\nExecStart=/c\nExecStartPost=/d\nExecStop=/e\nExecStopPost=/f\n";
    let mut sim = Sim::new(&[("a.service", text)]);
    let mut seen = Vec::new();
    for kind in [JobKind::Start, JobKind::Stop] {
        let now = sim.time();
        sim.manager.request(now, kind, "a.service").unwrap();
        sim.drain();
        while let Some(pid) = sim.alive.keys().next().copied() {
            let rt = &sim.manager.units["a.service"];
            let (phase, index) = rt.command;
            seen.push(rt.unit.service().unwrap().commands(phase)[index].program.clone());
            let code = i32::from(phase == Phase::StartPre);
            sim.end(pid, Exit::Code(code));
            sim.drain();
        }
    }
    assert_eq!(seen, ["/a", "/b", "/c", "/d", "/e", "/f"]);
    assert_eq!(sim.facts("a.service"), ("inactive", "dead", "success", 0));
}

#[test]
fn an_ordering_cycle_is_broken() {
    let units = [
        ("a.service", "[Unit]\nWants=b.service\nAfter=b.service\n[Service]\nExecStart=/x\n"),
        ("b.service", "[Unit]\nAfter=a.service\n[Service]\nExecStart=/x\n"),
    ];
    let mut sim = Sim::new(&units);
    sim.request(JobKind::Start, "a.service").unwrap();
    assert!(sim.log.iter().any(|l| l.contains("ordering cycle")));
    assert!(sim.manager.jobs.is_empty());
}

#[test]
fn what_is_not_there_is_refused() {
    let mut sim = Sim::new(&[]);
    assert_eq!(sim.request(JobKind::Start, "no.service"), Err(Refusal::NotFound("no.service".into())));
    assert_eq!(sim.request(JobKind::Stop, "no.service"), Err(Refusal::NotLoaded("no.service".into())));
}

// The model: what a unit's state is when all has come to rest.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    No,
    Always,
    OnFailure,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    Stop,
    Restart,
    Die(Exit),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    up: bool,
    result: &'static str,
    restarts: u32,
}

const DOWN: Model = Model { up: false, result: "success", restarts: 0 };

impl Model {
    fn die(&mut self, exit: Exit, policy: Restart) -> bool {
        if !self.up {
            return false;
        }
        let result = match exit {
            Exit::Code(0) | Exit::Signal(15) => "success",
            Exit::Code(_) => "exit-code",
            _ => "signal",
        };
        if policy == Restart::Always || (policy == Restart::OnFailure && result != "success") {
            self.restarts += 1;
        } else if result == "success" {
            *self = DOWN;
        } else {
            *self = Model { up: false, result, restarts: self.restarts };
        }
        true
    }
}

/// One unit that others lean on, and three that lean on it in their ways.
struct World {
    models: BTreeMap<&'static str, Model>,
    policies: BTreeMap<&'static str, Restart>,
}

const NAMES: [&str; 4] = ["base.service", "requires.service", "binds.service", "part.service"];

impl World {
    fn start(&mut self, name: &'static str) {
        let needs = matches!(name, "requires.service" | "binds.service");
        for one in if needs { vec![NAMES[0], name] } else { vec![name] } {
            let model = self.models.get_mut(one).unwrap();
            if !model.up {
                *model = Model { up: true, ..DOWN };
            }
        }
    }

    fn stop(&mut self, name: &'static str) {
        for one in if name == NAMES[0] { &NAMES[..] } else { std::slice::from_ref(&name) } {
            let model = self.models.get_mut(one).unwrap();
            // A failed unit stays failed.
            if model.up {
                *model = DOWN;
            }
        }
    }

    fn step(&mut self, name: &'static str, step: Step) {
        match step {
            Step::Start => self.start(name),
            Step::Stop => self.stop(name),
            Step::Restart => {
                let followers: Vec<_> =
                    NAMES.into_iter().filter(|n| *n == name || (name == NAMES[0] && self.models[n].up)).collect();
                for one in followers {
                    if self.models[one].up {
                        self.models.insert(one, Model { up: true, ..DOWN });
                    }
                    self.start(one);
                }
            }
            Step::Die(exit) => {
                let died = self.models.get_mut(name).unwrap().die(exit, self.policies[name]);
                if died && self.models[name].up {
                    // The automatic restart pulls in what the unit needs.
                    self.start(name);
                }
                if died && name == NAMES[0] {
                    // Bound units go down with it, even when it comes back.
                    let bound = self.models.get_mut("binds.service").unwrap();
                    if bound.up {
                        *bound = DOWN;
                    }
                }
            }
        }
    }
}

fn schedule() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let exits = prop_oneof![
        Just(Exit::Code(0)),
        Just(Exit::Code(3)),
        Just(Exit::Signal(15)),
        Just(Exit::Signal(9)),
        Just(Exit::Signal(11))
    ];
    let step = prop_oneof![Just(Step::Start), Just(Step::Stop), Just(Step::Restart), exits.prop_map(Step::Die)];
    prop::collection::vec((0..NAMES.len(), step), 1..30)
}

fn policy() -> impl Strategy<Value = Restart> {
    prop_oneof![Just(Restart::No), Just(Restart::Always), Just(Restart::OnFailure)]
}

fn world(policies: &[Restart], extra: &str) -> (Sim, World) {
    let text = |unit: &str, policy: Restart| {
        let restart = match policy {
            Restart::No => "no",
            Restart::Always => "always",
            Restart::OnFailure => "on-failure",
        };
        format!("[Unit]\nStartLimitIntervalSec=0\n{unit}[Service]\nExecStart=/x\nRestart={restart}\n{extra}")
    };
    let leans = [
        "",
        "Requires=base.service\nAfter=base.service\n",
        "BindsTo=base.service\nAfter=base.service\n",
        "PartOf=base.service\n",
    ];
    let texts: Vec<String> = leans.iter().zip(policies).map(|(l, p)| text(l, *p)).collect();
    let units: Vec<(&str, &str)> = NAMES.into_iter().zip(texts.iter().map(String::as_str)).collect();
    let world = World {
        models: NAMES.into_iter().map(|n| (n, DOWN)).collect(),
        policies: NAMES.into_iter().zip(policies.iter().copied()).collect(),
    };
    (Sim::new(&units), world)
}

fn apply(sim: &mut Sim, name: &str, step: Step) {
    let now = sim.time();
    match step {
        Step::Start => drop(sim.manager.request(now, JobKind::Start, name)),
        Step::Stop => drop(sim.manager.request(now, JobKind::Stop, name)),
        Step::Restart => drop(sim.manager.request(now, JobKind::Restart, name)),
        Step::Die(exit) => sim.kill(name, exit),
    }
    sim.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// 200 random schedules: at rest after each step, every unit is as the model says.
    #[test]
    fn units_do_as_the_model_says(steps in schedule(), policies in prop::collection::vec(policy(), 4)) {
        let (mut sim, mut model) = world(&policies, "");
        for (at, (index, step)) in steps.iter().enumerate() {
            apply(&mut sim, NAMES[*index], *step);
            sim.settle();
            model.step(NAMES[*index], *step);
            prop_assert!(sim.manager.jobs.is_empty());
            for name in NAMES {
                let (active, _, result, restarts) = sim.facts(name);
                let got = Model { up: active == "active", result, restarts };
                let mut want = model.models[name].clone();
                // A unit that others refer to stays in memory: its counter can be read until the next start.
                if !want.up && got.restarts != want.restarts {
                    want.restarts = got.restarts;
                }
                prop_assert_eq!(&got, &want, "{} after step {} {:?}", name, at, &steps[..=at]);
                prop_assert_eq!(active == "failed", !want.up && want.result != "success");
            }
        }
    }

    /// However steps, time and stubborn processes mix: nothing contradicts itself, and all comes to rest.
    #[test]
    fn any_schedule_comes_to_rest(
        steps in prop::collection::vec((0..NAMES.len(), 0..8_usize, any::<bool>()), 1..40),
        policies in prop::collection::vec(policy(), 4),
        stubborn in any::<bool>(),
    ) {
        let (mut sim, _) = world(&policies, if stubborn { "TimeoutStopSec=2\nX-stubborn=1\n" } else { "" });
        for (index, step, wait) in steps {
            let step = [
                Step::Start, Step::Stop, Step::Restart, Step::Die(Exit::Code(0)), Step::Die(Exit::Code(3)),
                Step::Die(Exit::Signal(15)), Step::Die(Exit::Signal(9)), Step::Start,
            ][step];
            apply(&mut sim, NAMES[index], step);
            if wait && let Some(due) = sim.manager.next_deadline() {
                sim.now = sim.now.max(due);
                sim.handle(Event::Tick);
            }
        }
        sim.settle();
        prop_assert!(sim.manager.jobs.is_empty(), "{:?}", sim.manager.jobs);
        let now = sim.time();
        sim.manager.shut_down(now);
        sim.drain();
        sim.settle();
        prop_assert!(sim.manager.jobs.is_empty() && sim.alive.is_empty());
    }
}
