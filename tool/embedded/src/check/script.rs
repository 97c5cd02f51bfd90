//! Start-up scripts: commands that a soft IOC does not have.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use epics_base_rs::runtime::task::{BlockingBridge, adopt_current_runtime};
use epics_base_rs::server::database::PvDatabase;
use epics_base_rs::server::iocsh::IocShell;

use super::Finding;
use crate::ioc;

/// Commands the shell handles before it looks into its table.
const OF_THE_SHELL: [&str; 7] = ["iocshLoad", "iocshCmd", "iocshRun", "on", "help", "exit", "casr"];

/// The names of all commands of a soft IOC for the application `app`.
pub fn known_commands(app: &str) -> std::io::Result<BTreeSet<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        adopt_current_runtime();
        let application = ioc::application(app, Path::new(""));
        let own = application.startup_commands().iter().map(|command| command.name.clone());
        let mut names: BTreeSet<String> = own.collect();
        names.extend(OF_THE_SHELL.map(str::to_owned));
        // The shell tells its commands only as text.
        let list = std::env::temp_dir().join(format!("soft-ioc-help-{}", std::process::id()));
        let line = format!("help > \"{}\"", list.display());
        let bridge = BlockingBridge::capture();
        let shell = move || IocShell::new(Arc::new(PvDatabase::new()), bridge).execute_line(line).is_ok();
        let _answered = tokio::task::spawn_blocking(shell).await;
        let help = std::fs::read_to_string(&list)?;
        std::fs::remove_file(&list)?;
        let commands = help.lines().take_while(|line| !line.starts_with("Type "));
        names.extend(commands.flat_map(str::split_whitespace).map(str::to_owned));
        Ok(names)
    })
}

/// Judges one start-up script. Commands that a macro decides are left to the run.
pub fn judge(text: &str, commands: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, words) in lines(text) {
        match words[0] {
            "seq" => findings.push((number, "a sequencer program is not run".to_owned())),
            command if command.contains('$') || command.starts_with('<') => {}
            command if !commands.contains(command) => {
                findings.push((number, format!("command `{command}` is not in a soft IOC")));
            }
            "dbLoadRecords" | "dbLoadTemplate" => {
                let file = words.get(1).copied().unwrap_or_default();
                if let Some(module) = module_in(file) {
                    let what = format!("`{file}` is of a support module: $({module}) is nowhere");
                    findings.push((number, what));
                }
            }
            _ => {}
        }
    }
    findings
}

/// The files a script runs by `<` and `iocshLoad`.
pub fn included(text: &str) -> Vec<String> {
    let target = |(_, words): (usize, Vec<&str>)| match words[..] {
        ["iocshLoad" | "<", file, ..] => Some(file.to_owned()),
        [word, ..] => word.strip_prefix('<').map(str::to_owned).filter(|file| !file.is_empty()),
        [] => None,
    };
    lines(text).filter_map(target).collect()
}

/// The lines that are no comment, numbered from 1, as the words the shell splits them into.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim();
        let words = words(line);
        (!line.starts_with('#') && !words.is_empty()).then_some((index + 1, words))
    })
}

/// Words end at blanks, commas and parentheses outside of quotes; those of a macro belong to it.
fn words(line: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted, mut macros) = (Vec::new(), 0, false, 0_u32);
    let mut before = ' ';
    for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
        quoted ^= c == '"';
        match c {
            '(' if before == '$' => macros += 1,
            ')' if macros > 0 => macros -= 1,
            ' ' | '\t' | ',' | '(' | ')' if (!quoted && macros == 0) || at == line.len() => {
                words.push(line[start..at].trim_matches('"'));
                start = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The module whose path a file name starts with, as in `$(CALC)/db/transform.db`. The top and
/// asyn have paths.
fn module_in(file: &str) -> Option<&str> {
    let name = file.strip_prefix("$(").or_else(|| file.strip_prefix("${"))?;
    let name = &name[..name.find([')', '}', '=', ','])?];
    (!["TOP", "ASYN"].contains(&name) && file.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Vec<Finding> {
        judge(text, &["dbLoadRecords", "iocInit", "epicsEnvSet"].map(str::to_owned).into())
    }

    #[test]
    fn words_are_those_of_the_shell() {
        assert_eq!(words("a(\"b c\", d)"), ["a", "b c", "d"]);
        assert_eq!(words("a \"$(P=x y)z\",${Q}"), ["a", "$(P=x y)z", "${Q}"]);
        assert_eq!(words("iocInit()"), ["iocInit"]);
        assert_eq!(words(" "), Vec::<&str>::new());
    }

    #[test]
    fn commands_of_the_soft_ioc_are_fine() {
        let text = "#!../../bin/x\n< envPaths\nepicsEnvSet(\"A\", \"1\")\n\
                    dbLoadRecords(\"$(TOP)/db/x.db\", \"P=$(P)\")\n$(CMD) x\niocInit\n";
        assert_eq!(judged(text), []);
    }

    #[test]
    fn what_is_missing_is_named_with_its_line() {
        let text = "iocInit\nseq sncExample, \"user=me\"\n# seq\nmyDriverConfigure(\"A\")\n\
                    dbLoadRecords(\"$(CALC)/db/transform.db\")\ndbLoadRecords(\"$(ASYN)/db/asynRecord.db\")\n";
        let lines: Vec<usize> = judged(text).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 5]);
    }

    #[test]
    fn scripts_in_a_script_are_found() {
        let text = "< envPaths\n<common.cmd\niocshLoad(\"a.cmd\", \"P=1\")\niocInit\n";
        assert_eq!(included(text), ["envPaths", "common.cmd", "a.cmd"]);
    }
}
