//! What Nix says with `--log-format internal-json`: one JSON object per line, behind `@nix `.
//!
//! The numbers are those of Nix's `src/libutil/logging.hh`; Lix and Determinate Nix have the same.

use serde::Deserialize;
use serde_json::Value;

/// Something that Nix says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A derivation begins to be built.
    Started {
        /// Number of the build in this run.
        id: u64,
        /// Its .drv file.
        drv: String,
    },
    /// A build says something.
    Line {
        /// Number of the build.
        id: u64,
        /// One line, without colour.
        text: String,
    },
    /// A build, or something else with a number, has ended.
    Stopped {
        /// Number of the build.
        id: u64,
    },
    /// The count of builds begins.
    Builds {
        /// Number of the count.
        id: u64,
    },
    /// How far a count has come.
    Count {
        /// Number of the count.
        id: u64,
        /// What is counted.
        count: Count,
    },
    /// A store path is fetched.
    Fetching(String),
    /// Another program, or Nix where it cannot say it as JSON, says something.
    Plain(String),
    /// Nix itself says something.
    Message {
        /// 0 error, 1 warning, 2 notice, 3 information; more is chatter.
        level: u8,
        /// Without colour; may have several lines.
        text: String,
    },
    /// Progress and the like.
    Other,
}

/// Builds, or whatever else is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Done.
    pub done: u64,
    /// Under way.
    pub running: u64,
    /// Failed.
    pub failed: u64,
}

const COPY_PATH: u64 = 100;
const BUILDS: u64 = 104;
const BUILD: u64 = 105;
const PROGRESS: u64 = 105;
const BUILD_LOG_LINE: u64 = 101;
const POST_BUILD_LOG_LINE: u64 = 107;

#[derive(Deserialize)]
struct Raw {
    action: String,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    level: u8,
    #[serde(default, rename = "type")]
    kind: u64,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    fields: Vec<Value>,
}

/// Reads one line of stderr, which other programs share.
pub fn read(line: &str) -> Said {
    let plain = || Said::Plain(strip(line));
    let Some(json) = line.strip_prefix("@nix ") else { return plain() };
    let Ok(raw) = serde_json::from_str::<Raw>(json) else { return plain() };
    let field = || raw.fields.first().and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |at: usize| raw.fields.get(at).and_then(Value::as_u64).unwrap_or_default();
    match (raw.action.as_str(), raw.kind) {
        ("start", BUILDS) => Said::Builds { id: raw.id },
        ("result", PROGRESS) => {
            Said::Count { id: raw.id, count: Count { done: number(0), running: number(2), failed: number(3) } }
        }
        ("start", BUILD) => Said::Started { id: raw.id, drv: field() },
        ("start", COPY_PATH) => Said::Fetching(field()),
        ("result", BUILD_LOG_LINE | POST_BUILD_LOG_LINE) => Said::Line { id: raw.id, text: strip(&field()) },
        ("stop", _) => Said::Stopped { id: raw.id },
        ("msg", _) => Said::Message { level: raw.level, text: strip(&raw.msg) },
        _ => Said::Other,
    }
}

/// Text without colour and other sequences for terminals.
pub fn strip(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn builds_and_their_lines_are_told_apart() {
        // Taken from Nix 2.8.
        let start = r#"@nix {"action":"start","fields":["/nix/store/p-vm-test-run-bad.drv","",1,1],"id":42,"level":3,"text":"building '/nix/store/p-vm-test-run-bad.drv'","type":105}"#;
        assert_eq!(read(start), Said::Started { id: 42, drv: "/nix/store/p-vm-test-run-bad.drv".into() });
        let line = r#"@nix {"action":"result","fields":["\u001b[1moh\u001b[0m no"],"id":42,"type":101}"#;
        assert_eq!(read(line), Said::Line { id: 42, text: "oh no".into() });
        assert_eq!(read(r#"@nix {"action":"stop","id":42}"#), Said::Stopped { id: 42 });
        assert_eq!(read(r#"@nix {"action":"start","id":7,"level":0,"text":"","type":104}"#), Said::Builds { id: 7 });
        let count = Count { done: 0, running: 2, failed: 1 };
        assert_eq!(
            read(r#"@nix {"action":"result","fields":[0,4,2,1],"id":7,"type":105}"#),
            Said::Count { id: 7, count }
        );
        let message = r#"@nix {"action":"msg","level":1,"msg":"\u001b[35;1mwarning:\u001b[0m Git tree '/p' is dirty"}"#;
        assert_eq!(read(message), Said::Message { level: 1, text: "warning: Git tree '/p' is dirty".into() });
    }

    #[test]
    fn what_other_programs_say_is_kept() {
        let said = |text: &str| Said::Plain(text.into());
        assert_eq!(read("ssh: connect to host farm1 port 22"), said("ssh: connect to host farm1 port 22"));
        assert_eq!(read("@nix not json"), said("@nix not json"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in "(@nix )?\\PC*") {
            let _ = read(&line);
        }
    }
}
