//! Writes `ioc.toml` as systemd units: the same services that `tool/nix/` gives the NixOS machine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::embedded;
use tool_project::{Config, Simulator};
use tool_sandbox::spec::UnitFile;

/// Seconds that a simulator may take until its port answers.
pub const SIMULATOR_START_LIMIT: u32 = 20;

/// Waits until the IOC serves clients, here as on NixOS.
const READY: &str = include_str!("../../../nix/ioc-ready.sh");

/// Folder of a machine that stands for the project: its IOC and `simulators/` are in there.
pub const PROJECT: &str = "/machine";

/// How EPNix runs an IOC (its module services.iocs): the directives of ioc.service that the sandbox shares with it, in
/// its words.
const AS_EPNIX: [(&str, &str); 17] = [
    ("Restart", "always"),
    ("RestartSec", "1s"),
    ("StateDirectory", "epics/ioc"),
    ("DynamicUser", "true"),
    ("PrivateUsers", "true"),
    ("PrivateMounts", "true"),
    ("ProtectKernelLogs", "true"),
    ("ProtectKernelModules", "true"),
    ("ProtectKernelTunables", "true"),
    ("ProtectClock", "true"),
    ("ProtectControlGroups", "true"),
    ("ProtectHostname", "true"),
    ("ProtectHome", "true"),
    ("ProtectProc", "invisible"),
    ("RestrictNamespaces", "true"),
    ("LockPersonality", "true"),
    (
        "CapabilityBoundingSet",
        "~CAP_SYS_PACCT ~CAP_SETUID ~CAP_SETGID ~CAP_SETPCAP ~CAP_SYS_PTRACE ~CAP_NET_ADMIN ~CAP_SYS_ADMIN",
    ),
];

/// The units of a machine that runs the IOC beside its simulators.
///
/// `top` is the EPICS top and `program` the IOC's executable with its arguments before `st.cmd`, both on the machine; `open`
/// says whether they may lie where such a service sees nothing: in a home, in /tmp.
pub fn units(
    config: &Config,
    top: &Path,
    program: &str,
    open: bool,
    environment: &BTreeMap<String, String>,
) -> Vec<UnitFile> {
    let mut units = vec![ioc(config, top, program, open, environment)];
    units.extend(simulators(config));
    units
}

/// The units of a machine's simulators.
pub fn simulators(config: &Config) -> impl Iterator<Item = UnitFile> {
    config.simulators.iter().map(|(name, simulator)| self::simulator(name, simulator))
}

fn ioc(config: &Config, top: &Path, program: &str, open: bool, environment: &BTreeMap<String, String>) -> UnitFile {
    let simulators: Vec<String> = config.simulators.keys().map(|name| format!("{name}.service")).collect();
    let boot = top.join("iocBoot").join(&config.ioc.ioc);
    // No limit to restarts, as EPNix has it.
    let mut text = format!("[Unit]\nDescription=EPICS IOC {}\nStartLimitIntervalSec=0\n", config.ioc.app);
    if !simulators.is_empty() {
        // An IOC that finds no device tries again after 20 s only: the device comes first.
        let list = simulators.join(" ");
        let _ = write!(text, "Wants={list}\nAfter={list}\n");
    }
    // An IOC ends when its standard input does: `sleep` holds it open, as procServ does on NixOS.
    let shell = format!("exec {program} st.cmd < <(exec sleep infinity)");
    let mut variables =
        "Environment=NO_COLOR=1\nEnvironment=EPICS_IOCSH_HISTFILE=/var/lib/epics/ioc/iocsh_history\n".to_owned();
    for (key, value) in environment {
        let _ = writeln!(variables, "Environment={}", quote(&format!("{key}={value}")));
    }
    let ready: Vec<&str> = READY.lines().filter(|line| !line.starts_with('#')).collect();
    let ready = ready.join("\n");
    let hides = |directive: &str| matches!(directive, "DynamicUser" | "ProtectHome");
    let shared = AS_EPNIX.iter().filter(|(directive, _)| !(open && hides(directive)));
    let shared: String = shared.map(|(directive, value)| format!("{directive}={value}\n")).collect();
    let _ = write!(
        text,
        "\n[Service]\nType=exec\nWorkingDirectory={}\n{shared}{variables}\
         ExecStart=/bin/bash -c {}\nExecStartPost=+/bin/bash -c {}\n\n[Install]\nWantedBy=multi-user.target\n",
        escape(&boot.to_string_lossy()),
        argument(&shell),
        argument(&ready),
    );
    UnitFile { name: "ioc.service".to_owned(), text }
}

fn simulator(name: &str, simulator: &Simulator) -> UnitFile {
    let port = simulator.port;
    let mut words = simulator.command.iter();
    let program = words.next().map(|program| in_machine(program)).unwrap_or_default();
    let command: Vec<String> = std::iter::once(program).chain(words.cloned()).map(|word| argument(&word)).collect();
    // Active means that the port answers; a simulator that dies before that has failed.
    let wait =
        format!("until : 2>/dev/null </dev/tcp/localhost/{port}; do kill -0 \"$MAINPID\" || exit 1; sleep 0.02; done");
    let text = format!(
        "[Unit]\nDescription=Device simulator {name}\n\n[Service]\nType=exec\nWorkingDirectory={PROJECT}\nExecStart={}\n\
         ExecStartPost=/bin/bash -c {}\nTimeoutStartSec={SIMULATOR_START_LIMIT}\n\n\
         [Install]\nWantedBy=multi-user.target\n",
        command.join(" "),
        argument(&wait),
    );
    UnitFile { name: format!("{name}.service"), text }
}

/// The program of a simulator as the machine finds it: ours, of the project, or of the machine's PATH.
fn in_machine(program: &str) -> String {
    match program {
        _ if program.starts_with('/') => program.to_owned(),
        _ if program.contains('/') => format!("{PROJECT}/{program}"),
        _ if embedded::has(program) => format!("/machine/bin/{program}"),
        _ => program.to_owned(),
    }
}

/// Quotes an argument for systemd's command lines, where `$` starts a variable (systemd.service(5), "Command lines").
fn argument(word: &str) -> String {
    quote(&word.replace('$', "$$"))
}

/// Quotes a word for unit files.
fn quote(word: &str) -> String {
    let word = escape(word);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

/// Doubles `%`, which starts a specifier.
fn escape(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tool_project;

    #[test]
    fn units_of_the_template() {
        let config = tool_project::parse(include_str!("../../../template/ioc.toml")).unwrap();
        let units = units(
            &config,
            Path::new("/machine/ioc"),
            "/machine/bin/soft-ioc --app example",
            false,
            &BTreeMap::from([("PREFIX".to_owned(), "A: 100%".to_owned())]),
        );
        let text: Vec<String> = units.iter().map(|u| format!("# {}\n{}", u.name, u.text)).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn a_simulator_is_ours_or_of_the_project_or_of_the_machine() {
        assert_eq!(in_machine("psu-simulator"), "/machine/bin/psu-simulator");
        assert_eq!(in_machine("simulators/motor.py"), "/machine/simulators/motor.py");
        assert_eq!(in_machine("/usr/bin/socat"), "/usr/bin/socat");
        assert_eq!(in_machine("python3"), "python3");
    }

    #[test]
    fn odd_words_are_quoted() {
        assert_eq!(argument("a b%$c\"\\"), r#""a b%%$$c\"\\""#);
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("--port=1"), "--port=1");
    }
}
