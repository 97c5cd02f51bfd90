//! Reads the log of nixpkgs' test driver: subtests, and why a script failed. Old and new drivers.

use tool_runner::{DriverEvent, ScriptFailure};

/// Reads a log line by line. Lines have no colour and no prefix of Nix.
#[derive(Debug, Default)]
pub struct Reader {
    /// Open subtests: name, and when they began.
    open: Vec<(String, f64)>,
    /// Innermost subtest that an exception went through.
    failed: Option<String>,
    traceback: Option<Traceback>,
    failure: Option<ScriptFailure>,
    /// The driver has begun to clean up.
    over: bool,
    /// The limit that the driver said it has, in seconds.
    limit: Option<u64>,
    /// The driver said that the limit was reached.
    pub timed_out: bool,
    /// QEMU said that it has no KVM.
    emulated: bool,
}

#[derive(Debug, Default)]
struct Traceback {
    /// Its lines begin with `!!! `.
    marked: bool,
    /// Innermost line of the script so far, and its text.
    line: Option<u32>,
    source: Option<String>,
    /// The line before was the place of a script's line.
    at_script: bool,
    /// The exception.
    exception: Option<(String, String)>,
}

impl Reader {
    /// Says so where a check has run without KVM that was to have it.
    pub fn warn_of_emulation(&self, check: &str) {
        if self.emulated {
            tool_base::ui::warn(&format!("{check} ran on an emulated processor: cargo xtask check-kvm says why"));
        }
    }

    /// Reads a line that came `now` seconds after the start.
    pub fn line(&mut self, line: &str, now: f64) -> Option<DriverEvent> {
        let line = line.trim_end();
        let (marked, text) = match line.strip_prefix("!!!") {
            Some(rest) => (true, rest.strip_prefix(' ').unwrap_or(rest)),
            None => (false, line),
        };
        if text == "Traceback (most recent call last):" {
            self.traceback = Some(Traceback { marked, ..Traceback::default() });
            return None;
        }
        if let Some(traceback) = &mut self.traceback {
            if traceback.takes(marked, text) {
                return None;
            }
            self.end_traceback();
        }
        if let Some(name) = text.strip_prefix("subtest: ") {
            self.failed = None;
            self.open.push((name.to_owned(), now));
            let depth = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
            return Some(DriverEvent::Enter { kind: "subtest".to_owned(), name: name.to_owned(), depth });
        }
        if let Some(rest) = text.strip_prefix("(finished: subtest: ") {
            let name = rest.rsplit_once(", in ").map_or(rest, |(name, _)| name);
            self.failed = None;
            return self.leave(name, true, now);
        }
        if let Some(rest) = text.strip_prefix("Test \"")
            && let Some((name, _)) = rest.split_once("\" failed with error: ")
        {
            self.failed.get_or_insert_with(|| name.to_owned());
            return self.leave(name, false, now);
        }
        if let Some(rest) = text.strip_prefix("Test will time out and terminate in ") {
            self.limit = rest.split(' ').next().and_then(|seconds| seconds.parse().ok());
        }
        self.over |= text == "cleanup";
        self.timed_out |= text.starts_with("timeout reached; test terminating");
        self.emulated |= text.contains("falling back to tcg") || text.contains("failed to initialize kvm");
        None
    }

    fn leave(&mut self, name: &str, ok: bool, now: f64) -> Option<DriverEvent> {
        let at = self.open.iter().rposition(|(open, _)| open == name)?;
        let depth = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let (_, since) = self.open.drain(at..).next()?;
        Some(DriverEvent::Leave {
            kind: "subtest".to_owned(),
            name: name.to_owned(),
            depth,
            seconds: (now - since).max(0.0),
            ok,
        })
    }

    fn end_traceback(&mut self) {
        let Some(Traceback { line, source, exception: Some((class, message)), .. }) = self.traceback.take() else {
            return;
        };
        let subtest = self.failed.clone().or_else(|| self.open.last().map(|(name, _)| name.clone()));
        // Of several, the last one ended the script.
        self.failure = Some(ScriptFailure { class, message, line, source, subtest, unit: None });
    }

    /// Whether the script has ended by an exception, no limit being the reason.
    pub fn has_failed(&self) -> bool {
        let exception = self.traceback.as_ref().is_some_and(|traceback| traceback.exception.is_some());
        self.over && !self.timed_out && (self.failure.is_some() || exception)
    }

    /// The limit that the driver has set itself, in seconds.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Why the script failed; to be asked when the log has ended. `script` is its text, for drivers that leave it out.
    pub fn failure(&mut self, script: Option<&str>) -> Option<ScriptFailure> {
        self.end_traceback();
        let mut failure = self.failure.clone()?;
        if let (None, Some(line), Some(script)) = (&failure.source, failure.line, script) {
            failure.source = script.lines().nth((line as usize).saturating_sub(1)).map(str::to_owned);
        }
        Some(failure)
    }
}

impl Traceback {
    /// Reads a line, unless it is none of the traceback's.
    fn takes(&mut self, marked: bool, text: &str) -> bool {
        if let Some((_, message)) = &mut self.exception {
            // A message may have more lines; without the mark, only a word of the driver tells where it ends.
            let over = if self.marked { !marked } else { is_drivers(text) };
            if !over && !text.is_empty() {
                message.push('\n');
                message.push_str(text);
            }
            return !over;
        }
        if self.marked != marked {
            return false;
        }
        if let Some(rest) = text.strip_prefix("  File \"") {
            self.at_script = rest.starts_with("<string>\"");
            if self.at_script {
                self.line = rest.split_once("line ").and_then(|(_, rest)| rest.split(',').next()?.trim().parse().ok());
                self.source = None;
            }
        } else if text.starts_with("    ") {
            // Marks below the source, as `~~~^^^`, are no source.
            if self.at_script && self.source.is_none() && text.contains(|c: char| c.is_ascii_alphanumeric()) {
                self.source = Some(text.trim().to_owned());
            }
        } else if !text.is_empty() && !text.starts_with(' ') {
            let (class, message) = text.split_once(": ").unwrap_or((text, ""));
            if class.contains(' ') {
                return false;
            }
            let class = class.trim_end_matches(':').rsplit('.').next().unwrap_or(class);
            self.exception = Some((class.to_owned(), message.to_owned()));
        }
        true
    }
}

/// Whether a line is the driver's own, after a traceback without marks.
fn is_drivers(text: &str) -> bool {
    text == "cleanup"
        || text == "During handling of the above exception, another exception occurred:"
        || ["(finished: ", "kill ", "Test \"", "subtest: "].iter().any(|word| text.starts_with(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each line comes a second after the one before.
    fn read(log: &str) -> (Vec<String>, Reader) {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for (now, line) in (0u32..).zip(log.lines()) {
            match reader.line(line, now.into()) {
                Some(DriverEvent::Enter { name, depth, .. }) => events.push(format!("{depth} enter {name}")),
                Some(DriverEvent::Leave { name, depth, ok, seconds, .. }) => {
                    events.push(format!("{depth} leave {name} {ok} {seconds}"));
                }
                other => assert_eq!(other, None),
            }
        }
        (events, reader)
    }

    const PASSED: &str = r"Machine state will be reset. To keep it, pass --keep-machine-state
start all VLans
(finished: start all VLans, in 0.01 seconds)
Test will time out and terminate in 900 seconds
run the VM test script
subtest: services
ioc: waiting for unit ioc.service
ioc # [    0.000000] Linux version 6.12
ioc # Traceback (most recent call last):
ioc # ValueError: of a program in the machine
(finished: subtest: services, in 9.96 seconds)
subtest: outer
subtest: inner, in parts
(finished: subtest: inner, in parts, in 0.96 seconds)
(finished: subtest: outer, in 0.96 seconds)
(finished: run the VM test script, in 10.01 seconds)
test script finished in 10.02s
cleanup
kill QemuMachine (pid 12)
(finished: cleanup, in 0.03 seconds)";

    #[test]
    fn subtests_of_a_pass() {
        let (events, mut reader) = read(PASSED);
        assert_eq!(
            events,
            [
                "1 enter services",
                "1 leave services true 5",
                "1 enter outer",
                "2 enter inner, in parts",
                "2 leave inner, in parts true 1",
                "1 leave outer true 3"
            ]
        );
        assert_eq!(reader.failure(None), None);
        assert_eq!(reader.limit(), Some(900));
    }

    #[test]
    fn a_failed_command_has_line_source_and_subtest() {
        let (events, mut reader) = read(
            r#"subtest: services
ioc: must succeed: caget -t NOPE
ioc: output: 
!!! Test "services" failed with error: "command `caget -t NOPE` failed (exit code 1)"
!!! Traceback (most recent call last):
!!!   File "<string>", line 7, in <module>
!!!     ioc.succeed("caget -t NOPE")
!!! 
!!! RequestedAssertionFailed: command `caget -t NOPE` failed (exit code 1)
cleanup
kill QemuMachine (pid 12)"#,
        );
        assert_eq!(events, ["1 enter services", "1 leave services false 3"]);
        assert_eq!(
            reader.failure(None).unwrap(),
            ScriptFailure {
                class: "RequestedAssertionFailed".into(),
                message: "command `caget -t NOPE` failed (exit code 1)".into(),
                line: Some(7),
                source: Some("ioc.succeed(\"caget -t NOPE\")".into()),
                subtest: Some("services".into()),
                unit: None,
            }
        );
    }

    #[test]
    fn a_plain_traceback_comes_after_cleanup() {
        let (_, mut reader) = read(
            r#"subtest: s
!!! Test "s" failed with error: "nope"
cleanup
kill QemuMachine (pid 12)
(finished: cleanup, in 0.03 seconds)
Traceback (most recent call last):
  File "/nix/store/x/bin/.nixos-test-driver-wrapped", line 9, in <module>
    sys.exit(main())
             ~~~~^^
  File "<string>", line 3, in <module>
  File "/nix/store/x/test_driver/driver.py", line 300, in retry
    fn(False)
  File "<string>", line 2, in probe
test_driver.errors.MachineError: nope
second line"#,
        );
        let failure = reader.failure(Some("a\nraise MachineError(x)\nc")).unwrap();
        assert_eq!((failure.class.as_str(), failure.message.as_str()), ("MachineError", "nope\nsecond line"));
        assert_eq!((failure.line, failure.source.as_deref()), (Some(2), Some("raise MachineError(x)")));
    }

    #[test]
    fn a_message_of_several_lines_is_kept_whole() {
        let (_, mut reader) = read(
            "!!! Traceback (most recent call last):\n!!!   File \"<string>\", line 1, in <module>\n!!!     machine.succeed(\"\"\"\n!!! \n\
             !!! RequestedAssertionFailed: command `a\n!!! b` failed (exit code 2)\ncleanup",
        );
        assert_eq!(reader.failure(None).unwrap().message, "command `a\nb` failed (exit code 2)");
    }

    #[test]
    fn of_chained_exceptions_the_last_one_counts() {
        let (_, mut reader) = read(
            "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nKeyError: 'a'\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"<string>\", line 3, in <module>\nValueError",
        );
        let failure = reader.failure(None).unwrap();
        assert_eq!((failure.class.as_str(), failure.line), ("ValueError", Some(3)));
    }

    #[test]
    fn a_limit_and_a_processor_that_is_emulated() {
        let (_, reader) = read("machine # qemu: falling back to tcg\ntimeout reached; test terminating...");
        assert!(reader.timed_out && reader.emulated);
    }

    proptest! {
        #[test]
        fn any_log_is_read_without_a_panic(lines in prop::collection::vec("(!!! )?(subtest: |\\(finished: subtest: |Traceback \\(most recent call last\\):|  File \"<string>\", line |    )?\\PC{0,12}", 0..30)) {
            let mut reader = Reader::default();
            for line in lines {
                reader.line(&line, 0.0);
            }
            reader.failure(Some("x"));
        }

        #[test]
        fn every_leave_has_its_enter(lines in prop::collection::vec("subtest: [ab]|\\(finished: subtest: [ab], in 1.00 seconds\\)", 0..30)) {
            let mut reader = Reader::default();
            let mut open = Vec::new();
            for line in lines {
                match reader.line(&line, 0.0) {
                    Some(DriverEvent::Enter { name, .. }) => open.push(name),
                    Some(DriverEvent::Leave { name, depth, .. }) => {
                        prop_assert_eq!(&open[depth as usize - 1], &name);
                        open.truncate(depth as usize - 1);
                    }
                    _ => {}
                }
            }
        }
    }
}
