//! Requests of `systemctl` and its like: one JSON object in, one out.

mod waiting;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use anyhow::Result;
use serde_json::{Value, json};
use unix::sys::socket::getsockopt;
use unix::sys::socket::sockopt::PeerCredentials;

use super::manager::types::{Rt, Who};
use super::unit::Load;
use super::{Machine, Message, Power, enable, procs, props, streams};
use tool_base::glob;

pub(super) use waiting::Waiter;

/// Serves the socket of the applets.
pub(super) fn serve(path: &Path, manager: Sender<Message>) -> Result<()> {
    let listener = streams::listener(path)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let manager = manager.clone();
            std::thread::spawn(move || connection(&stream, &manager));
        }
    });
    Ok(())
}

/// What users other than root may ask.
const FOR_ALL: [&str; 10] =
    ["show", "manager", "list", "jobs", "files", "state", "file-state", "default", "environment", "unit-of"];

fn connection(stream: &UnixStream, manager: &Sender<Message>) {
    let mut writer = stream;
    // In one packet: `writeln!` would send each word and each comma by itself.
    let mut say = |answer: Value| writer.write_all(format!("{answer}\n").as_bytes());
    let root = getsockopt(stream, PeerCredentials).is_ok_and(|from| from.uid() == 0);
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let (reply, answer) = channel();
        let request: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        if !root && !FOR_ALL.iter().any(|op| request["op"] == *op) {
            if say(json!({ "refused": "Interactive authentication required." })).is_err() {
                return;
            }
            continue;
        }
        if manager.send(Message::Control { request, reply }).is_err() {
            return;
        }
        let Ok(answer) = answer.recv() else { return };
        if say(answer).is_err() {
            return;
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
}

impl Machine {
    /// Answers a request, now or when its jobs have ended.
    pub(super) fn control(&mut self, request: &Value, reply: Sender<Value>) {
        let answer = match request["op"].as_str() {
            Some("job") => return self.job_request(request, reply),
            Some("show") => self.show(request),
            Some("manager") => json!({ "props": props::manager(&self.manager, self.boot_time) }),
            Some("list") => self.list(),
            Some("jobs") => {
                let row = |j: &super::manager::types::Job| {
                    json!([j.id, j.unit, j.kind.as_str(), if j.running { "running" } else { "waiting" }])
                };
                json!({ "jobs": self.manager.jobs.values().map(row).collect::<Vec<_>>() })
            }
            Some("files") => {
                let row = |name: &String| json!([name, enable::state_of(&self.loader, name, &self.loader.load(name))]);
                json!({ "files": self.loader.names().iter().map(row).collect::<Vec<_>>() })
            }
            Some("unit-of") => {
                let pid = i32::try_from(request["pid"].as_i64().unwrap_or(0)).unwrap_or(0);
                json!({ "unit": self.manager.units.keys().find(|unit| self.members(unit).contains(&pid)) })
            }
            Some("kill") => self.kill_request(request),
            Some("reset-failed") => self.reset_failed(request),
            Some("reload") => {
                self.manager.reload_files(self.clock.now());
                json!({})
            }
            Some("transient") => return self.transient(request, reply),
            Some("end") => {
                let unit = request["unit"].as_str().unwrap_or_default().to_owned();
                let results = vec![json!({ "unit": unit })];
                self.waiters.push(Waiter { jobs: Vec::new(), results, until_down: vec![unit], reply });
                return self.answer_waiters();
            }
            Some("file-state") => {
                let name = request["unit"].as_str().unwrap_or_default();
                let unit = self.loader.load(name);
                let state = enable::state_of(&self.loader, name, &unit);
                json!({ "state": state, "links": enable::links_to(&self.loader, &unit) })
            }
            Some("default") => json!({ "target": self.loader.default_target() }),
            Some("set-default") => {
                let said = enable::set_default(&self.loader, request["target"].as_str().unwrap_or_default());
                self.manager.reload_files(self.clock.now());
                said.map_or_else(|error| json!({ "error": error }), |said| json!({ "said": said }))
            }
            Some("environment") => json!({ "pairs": self.environment.iter().collect::<Vec<_>>() }),
            Some("set-environment") => self.set_environment(request),
            Some("cancel") => self.cancel(request),
            Some("clean") => self.clean(request),
            Some(verb @ ("enable" | "disable" | "mask" | "unmask")) => self.enable_request(verb, request),
            Some("power") => {
                self.power_off(
                    if request["how"] == "reboot" { Power::Reboot } else { Power::Off },
                    request["force"] == true,
                );
                json!({})
            }
            Some("state") => {
                if request["wait"] == true && self.manager.booted.is_none() {
                    self.waiting_for_boot.push(reply);
                    return;
                }
                json!({ "state": props::system_state(&self.manager) })
            }
            _ => json!({ "error": "unknown request" }),
        };
        let _ = reply.send(answer);
    }

    /// Names from the command line: patterns stand for the units in memory that match.
    fn expand(&self, request: &Value) -> Vec<String> {
        let mut names = Vec::new();
        for name in strings(&request["units"]) {
            if glob::is_pattern(&name) {
                names.extend(self.manager.units.keys().filter(|n| glob::matches(&name, n)).cloned());
            } else {
                names.push(name);
            }
        }
        names
    }

    fn show(&self, request: &Value) -> Value {
        let all = if request["process_lists"] == true { procs::all() } else { Vec::new() };
        let one = |name: &String| {
            let rt = self.manager.view(name);
            let mut props = props::unit(&self.manager, &rt, self.file_state(&rt.unit), self.has_changed(&rt));
            if let Some(job) = rt.job.and_then(|j| self.manager.jobs.get(&j)) {
                props.push(("_JobType".into(), job.kind.as_str().into()));
            }
            let members: Vec<Value> =
                procs::members(&all, &rt.invocation, &roots(&rt)).into_iter().map(Value::from).collect();
            json!({ "props": props, "processes": members })
        };
        json!({ "units": self.expand(request).iter().map(one).collect::<Vec<_>>() })
    }

    fn set_environment(&mut self, request: &Value) -> Value {
        for pair in request["pairs"].as_array().into_iter().flatten() {
            let key = pair[0].as_str().unwrap_or_default().to_owned();
            match pair[1].as_str() {
                Some(value) => self.environment.insert(key, value.to_owned()),
                None => self.environment.remove(&key),
            };
        }
        json!({})
    }

    fn cancel(&mut self, request: &Value) -> Value {
        let ids: Vec<u32> =
            request["jobs"].as_array().into_iter().flatten().filter_map(|j| u32::try_from(j.as_u64()?).ok()).collect();
        let (known, missing): (Vec<u32>, Vec<u32>) = ids.into_iter().partition(|id| self.manager.jobs.contains_key(id));
        let all = request["jobs"].as_array().is_some_and(Vec::is_empty);
        let waiting = |(_, job): &(&u32, &super::manager::types::Job)| all && !job.running;
        let known = known.into_iter().chain(self.manager.jobs.iter().filter(waiting).map(|(id, _)| *id));
        for id in known.collect::<Vec<_>>() {
            self.manager.cancel(self.clock.now(), id);
        }
        self.settle();
        json!({ "missing": missing })
    }

    fn clean(&self, request: &Value) -> Value {
        let what: Vec<&str> = request["what"].as_str().unwrap_or_default().split(',').collect();
        let one = |name: String| {
            let rt = self.manager.view(&name);
            let Some(service) = rt.unit.service().filter(|_| rt.unit.load == Load::Loaded) else {
                return json!({ "unit": name, "error": format!("Unit {name} not loaded.") });
            };
            if !rt.active().is_down() || rt.job.is_some() {
                return json!({ "unit": name, "error": "Unit is not inactive or has pending job." });
            }
            if super::exec::clean(service, &what, &self.paths) {
                json!({ "unit": name, "job": "done" })
            } else {
                json!({ "unit": name, "error": "No matching resources found." })
            }
        };
        json!({ "results": self.expand(request).into_iter().map(one).collect::<Vec<_>>() })
    }

    fn file_state(&self, unit: &super::unit::Unit) -> &'static str {
        enable::state(&self.loader, unit)
    }

    /// Whether the unit's files are newer than what is in memory.
    fn has_changed(&self, rt: &Rt) -> bool {
        self.manager.is_loaded(&rt.unit.name)
            && rt.unit.load != Load::NotFound
            && rt.unit.fragment.is_some()
            && self.loader.load(&rt.unit.name) != *rt.unit
    }

    fn list(&self) -> Value {
        let row = |rt: &Rt| {
            let job = rt.job.and_then(|j| self.manager.jobs.get(&j)).map_or("", |j| j.kind.as_str());
            let mut row = props::row(rt).to_vec();
            row.push(job.to_owned());
            row
        };
        json!({ "units": self.manager.units.values().map(row).collect::<Vec<_>>() })
    }

    fn kill_request(&mut self, request: &Value) -> Value {
        let signal = i32::try_from(request["signal"].as_i64().unwrap_or(15)).unwrap_or(15);
        let who = match request["who"].as_str() {
            Some("main") => Who::Main,
            Some("control") => Who::Control,
            _ => Who::All,
        };
        let mut results = Vec::new();
        for name in self.expand(request) {
            let unit = self.manager.canonical(&name);
            let Some(rt) = self.manager.units.get(&unit).cloned() else {
                results.push(json!({ "unit": name, "error": format!("Unit {name} not loaded."), "status": 1 }));
                continue;
            };
            let missing = match who {
                Who::Main if rt.main.is_none() => Some("No main process to kill"),
                Who::Control if rt.control.is_none() => Some("No control process to kill"),
                _ => None,
            };
            if let Some(error) = missing {
                results.push(json!({ "unit": name, "error": error, "status": 1 }));
            } else {
                self.signal_on_request(&unit, who, signal);
                results.push(json!({ "unit": name, "job": "done" }));
            }
        }
        json!({ "results": results })
    }

    fn reset_failed(&mut self, request: &Value) -> Value {
        let now = self.clock.now();
        let mut results = Vec::new();
        if strings(&request["units"]).is_empty() {
            self.manager.reset_failed(now, None);
        }
        for name in self.expand(request) {
            if self.manager.is_loaded(&name) {
                self.manager.reset_failed(now, Some(&name));
                results.push(json!({ "unit": name, "job": "done" }));
            } else {
                results.push(json!({ "unit": name, "error": format!("Unit {name} not loaded."), "status": 1 }));
            }
        }
        self.settle();
        json!({ "results": results })
    }

    fn enable_request(&mut self, verb: &str, request: &Value) -> Value {
        let mut said = Vec::new();
        let mut no_install = false;
        for name in strings(&request["units"]) {
            let dir = if request["runtime"] == true { enable::Dir::Run } else { enable::Dir::Etc };
            let result = match verb {
                "enable" | "disable" => {
                    let unit = self.loader.load(&name);
                    let install = &unit.install;
                    no_install |= unit.fragment.is_some() && install.is_empty() && install.default_instance.is_none();
                    if verb == "enable" {
                        enable::enable(&self.loader, &name, dir)
                    } else {
                        enable::disable(&self.loader, &name, dir)
                    }
                }
                verb => enable::mask(&self.loader, &name, verb == "mask", dir),
            };
            match result {
                Ok(lines) => said.extend(lines),
                Err(error) => return json!({ "said": said, "error": error }),
            }
        }
        self.manager.reload_files(self.clock.now());
        json!({ "said": said, "no_install": no_install })
    }
}

/// The processes that the manager itself started for a unit.
pub(super) fn roots(rt: &Rt) -> Vec<i32> {
    [rt.main, rt.control].into_iter().flatten().collect()
}
