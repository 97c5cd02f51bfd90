//! Records samples of what the Python driver hears and says; `tool/driver/tests/test_protocol.py` holds it against them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::lint::{OfScript, Problem, Pv, Script, Severity};
use super::{driver, keeper, shell};

fn heard<T: Serialize>(messages: Vec<T>) -> Vec<Value> {
    messages.into_iter().map(|message| serde_json::to_value(message).unwrap()).collect()
}

/// Samples of what Python writes: they are read back.
fn said<T: Serialize + DeserializeOwned + PartialEq + Debug>(messages: Vec<T>) -> Vec<Value> {
    let one = |message: T| {
        let value = serde_json::to_value(&message).unwrap();
        assert_eq!(serde_json::from_value::<T>(value.clone()).unwrap(), message);
        value
    };
    messages.into_iter().map(one).collect()
}

fn samples() -> Value {
    let config = driver::Config {
        check: "simple",
        machines: vec![driver::DriverMachine {
            name: "machine",
            shared_dir: "/state/shared-xchg".into(),
            state_dir: "/state/vm-state-machine".into(),
        }],
        vlans: BTreeSet::from([1, 2]),
        global_timeout: 60,
        script: Path::new("/checks/simple.py"),
        lib: Some(Path::new("/checks/lib")),
        out_dir: Path::new("/run/out"),
        junit: Some("../junit.xml"),
        interactive: false,
        debug: false,
        keeper_fd: 5,
        events_fd: Some(6),
    };
    let wish = |wish| keeper::Request { id: 1, machine: "machine".into(), wish };
    let answer = |id, answer| keeper::Message::Reply { id, answer };
    let error = || "machine `machine` is not running".to_owned();
    let head = |content| shell::Head { id: Some(1), content, body: 0 };
    let reply = |content, body| shell::Head { id: Some(1), content, body };
    let [kind, name] = ["subtest".to_owned(), "voltage".to_owned()];
    let problem = Problem {
        line: 1,
        column: 1,
        kind: "NameError".into(),
        message: "undefined name `machne`".into(),
        hint: "did you mean `machine`?".into(),
        severity: Severity::Error,
    };
    json!({
        "config": config,
        "keeper": {
            "said": said(vec![
                wish(keeper::Wish::Start),
                wish(keeper::Wish::Kill),
                wish(keeper::Wish::Link { up: false }),
                wish(keeper::Wish::Link { up: true }),
                wish(keeper::Wish::Interact),
            ]),
            "heard": heard(vec![
                answer(Some(1), keeper::Answer::Started { pid: 7 }),
                answer(Some(1), keeper::Answer::Done {}),
                answer(Some(1), keeper::Answer::Ended { status: 0 }),
                answer(Some(1), keeper::Answer::Failed { error: error() }),
                answer(None, keeper::Answer::Failed { error: error() }),
                keeper::Message::News(keeper::News::Exit { machine: "machine".into(), status: 137 }),
            ]),
        },
        "shell": {
            "said": said(vec![
                head(shell::Request::Ping),
                shell::Head { body: 6, ..head(shell::Request::Execute { timeout: None }) },
                shell::Head { body: 6, ..head(shell::Request::Execute { timeout: Some(2.5) }) },
                head(shell::Request::Tcp { addr: "localhost".into(), port: 1 }),
                head(shell::Request::Unix { path: "/nowhere".into(), datagram: false }),
            ]),
            "heard": heard(vec![
                reply(shell::Reply::Pong {}, 0),
                reply(shell::Reply::Ended { status: 0 }, 0),
                reply(shell::Reply::Ended { status: 0 }, 2),
                reply(shell::Reply::Tried { open: false }, 0),
                reply(shell::Reply::Error { error: error() }, 0),
            ]),
        },
        "events": said(vec![
            driver::DriverEvent::Enter { kind: kind.clone(), name: name.clone(), depth: 2 },
            driver::DriverEvent::Leave { kind, name: name.clone(), depth: 2, seconds: 0.5, ok: false },
            driver::DriverEvent::Failure(driver::ScriptFailure {
                class: "RequestedAssertionFailed".into(),
                message: "command `false` failed (exit code 1)".into(),
                line: Some(2),
                source: Some("machine.succeed(\"false\")".into()),
                subtest: Some(name),
                unit: None,
            }),
            driver::DriverEvent::Remark { text: "the script ended early, by sys.exit, in line 3".into() },
            driver::DriverEvent::Debug { open: true },
        ]),
        "lint": {
            "heard": heard(vec![Script {
                script: "/checks/simple.py".into(),
                text: None,
                lib: Some("/checks/lib".into()),
                machines: vec!["machine".into()],
                vlans: BTreeSet::from([1]),
                sandbox: true,
                thorough: true,
            }]),
            "said": said(vec![OfScript {
                problems: vec![problem],
                pvs: vec![Pv { name: "VOLT".into(), line: 2, column: 25, sure: true }],
            }]),
        },
    })
}

/// Groups of messages, each message in a line of its own.
fn one_a_line(value: &Value, indent: &str) -> String {
    let inner = format!("{indent}  ");
    let (open, lines, close): (_, Vec<String>, _) = match value {
        Value::Object(map) if map.values().all(|v| v.is_object() || v.is_array()) => {
            ('{', map.iter().map(|(k, v)| format!("{inner}\"{k}\": {}", one_a_line(v, &inner))).collect(), '}')
        }
        Value::Array(list) => ('[', list.iter().map(|v| format!("{inner}{v}")).collect(), ']'),
        other => return other.to_string(),
    };
    format!("{open}\n{}\n{indent}{close}", lines.join(",\n"))
}

#[test]
fn samples_are_recorded() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../driver/tests/protocol.json");
    let text = one_a_line(&samples(), "") + "\n";
    if std::env::var_os("XTASK_RECORD").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let recorded = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == recorded, "{} is out of date: run this test with XTASK_RECORD=1", file.display());
}

#[test]
fn what_the_driver_says_beyond_what_is_known_is_let_pass() {
    let event = |text| serde_json::from_str::<driver::DriverEvent>(text).unwrap();
    assert_eq!(event(r#"{"event":"something new","t":1.0}"#), driver::DriverEvent::Other);
    assert_eq!(event(r#"{"event":"debug","t":1.0,"open":true}"#), driver::DriverEvent::Debug { open: true });
}
