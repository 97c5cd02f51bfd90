//! The sources of the application: compiled code that a soft IOC does not run.

use std::path::Path;

use super::{Finding, lines_without_comments};

/// Definitions a C IOC links and the soft IOC has built in.
const BUILT_IN: [&str; 10] = [
    "base.dbd",
    "asyn.dbd",
    "drvAsynIPPort.dbd",
    "drvAsynSerialPort.dbd",
    "calc.dbd",
    "calcSupport.dbd",
    "stream.dbd",
    "stream-base.dbd",
    "stream-scalcout.dbd",
    "system.dbd",
];

/// Judges one file of a source folder.
pub fn judge(app: &str, file: &Path, text: &str) -> Vec<Finding> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let whole = |what: &str| vec![(1, what.to_owned())];
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("c" | "cc" | "cpp" | "cxx" | "C") => {
            let is_main = name.starts_with(&format!("{app}Main.")) && text.contains("iocsh(");
            if is_main { Vec::new() } else { whole("C or C++ code of this IOC is not run") }
        }
        Some("st" | "stt") => whole("a sequencer program is not run"),
        _ if name == "Makefile" => makefile(text),
        _ => Vec::new(),
    }
}

/// Whether a Makefile adds definitions that are not built in.
pub fn foreign_definitions(text: &str) -> bool {
    !makefile(text).is_empty()
}

/// Names the definitions a Makefile adds that are neither built in nor of the application itself.
fn makefile(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines_without_comments(text) {
        let Some((variable, files)) = line.split_once('=') else {
            continue;
        };
        let variable = variable.trim_end_matches(['+', ':', '?']).trim();
        if !variable.ends_with("_DBD") {
            continue;
        }
        for file in files.split_whitespace().filter(|file| !BUILT_IN.contains(file)) {
            findings.push((number, format!("what `{file}` defines is not built into a soft IOC")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, text: &str) -> Vec<Finding> {
        judge("example", Path::new(name), text)
    }

    #[test]
    fn the_generated_main_program_is_not_the_users_code() {
        assert_eq!(judged("exampleMain.cpp", "int main() { iocsh(argv[1]); }"), []);
        assert_eq!(judged("exampleMain.cpp", "int main() { drive(); }").len(), 1);
        assert_eq!(judged("devMine.c", "").len(), 1);
        assert_eq!(judged("ramp.st", "").len(), 1);
        assert_eq!(judged("notes.txt", "iocsh("), []);
    }

    #[test]
    fn a_module_that_is_not_built_in_is_named_with_its_line() {
        let text = "example_DBD += base.dbd\n# x_DBD += a.dbd\nexample_DBD+=motor.dbd stream.dbd\nDBD += example.dbd\n";
        let findings = judged("Makefile", text);
        assert_eq!(findings, [(3, "what `motor.dbd` defines is not built into a soft IOC".to_owned())]);
    }
}
