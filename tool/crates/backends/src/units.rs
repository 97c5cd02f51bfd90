//! Writes `ioc.toml` as systemd units: the same services that `tool/nix/` gives the NixOS machine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::embedded;
use tool_init::unit::limits;
use tool_project::{Config, Simulator};
use tool_sandbox::spec::UnitFile;

/// Seconds that a simulator may take until its port answers.
pub const SIMULATOR_START_LIMIT: u32 = 20;

/// Waits until the IOC serves clients, here as on NixOS.
const READY: &str = include_str!("../../../nix/ioc-ready.sh");

/// TCP port of the IOC's console, EPNix's default for procServ.
const CONSOLE: u16 = 2000;

/// Folder of a machine that stands for the project: its IOC and `simulators/` are in there.
pub const PROJECT: &str = "/machine";

/// How EPNix runs an IOC (its module services.iocs): the directives of ioc.service that the sandbox shares with it, in
/// its words.
const AS_EPNIX: [(&str, &str); 19] = [
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
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "~@clock ~@cpu-emulation ~@debug ~@module ~@obsolete ~@reboot ~@swap"),
    (
        "CapabilityBoundingSet",
        "~CAP_SYS_PACCT ~CAP_SETUID ~CAP_SETGID ~CAP_SETPCAP ~CAP_SYS_PTRACE ~CAP_NET_ADMIN ~CAP_SYS_ADMIN",
    ),
];

/// What of ioc.service the sandbox does not keep, once for all machines.
pub fn without_effect() -> Option<String> {
    let lines: String = AS_EPNIX.iter().map(|(directive, value)| format!("{directive}={value}\n")).collect();
    limits::warning("ioc.service", &format!("[Service]\n{lines}"))
}

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
    // An IOC ends when its standard input does. What holds it open is its console, which outlives it by what it said last.
    let shell = format!(
        "coproc {{ trap '' TERM; exec /machine/bin/ioc-console {CONSOLE}; }}; \
         exec {program} st.cmd <&${{COPROC[0]}} >&${{COPROC[1]}} 2>&1"
    );
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
         ExecStart=/bin/bash -c {}\nExecStartPost=+/bin/bash -c {} ioc-ready {CONSOLE}\n\n[Install]\nWantedBy=multi-user.target\n",
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
    use std::collections::BTreeSet;

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

    /// Directives that differ from the units of the evaluated NixOS machine, and why.
    const DIFFERENCES: [(&str, &str, &str); 13] = [
        ("ioc.service", "After", "the network of a sandbox machine is there before its PID 1"),
        ("ioc.service", "Wants", "the same"),
        ("ioc.service", "Environment", "NixOS adds its paths, and what Channel Access does without variables"),
        ("ioc.service", "ExecStart", "no procServ stands around the IOC, but a console beside it, on the same port"),
        ("ioc.service", "ExecStartPost", "the same script, without a file in the Nix store"),
        ("ioc.service", "WorkingDirectory", "procServ changes it by itself"),
        ("simulator.service", "Description", "the port is NixOS's only word about it"),
        ("simulator.service", "Environment", "NixOS adds its paths"),
        ("simulator.service", "ExecStart", "a program of the sandbox or the project, without a package"),
        ("simulator.service", "ExecStartPost", "the same loop, without a file in the Nix store"),
        ("simulator.service", "TimeoutStartSec", "an emulated virtual machine is slower"),
        ("simulator.service", "Type", "a program of the project may be missing, and then the start fails"),
        ("simulator.service", "WorkingDirectory", "commands of ioc.toml are relative to the project"),
    ];

    /// The values of each directive, in the order of the text.
    fn directives(text: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::<String, String>::new();
        for entry in tool_init::unit::syntax::parse(text).unwrap() {
            let value = found.entry(entry.key).or_default();
            *value = format!("{value} {}", entry.value).trim().to_owned();
        }
        found
    }

    #[test]
    fn units_are_those_of_nixos_but_for_listed_differences() {
        let config = tool_project::parse(include_str!("../../../template/ioc.toml")).unwrap();
        let recorded = include_str!("../../../nix/units.txt");
        let mut differ = BTreeSet::new();
        for unit in units(&config, Path::new("/ioc"), "/machine/bin/soft-ioc", false, &BTreeMap::new()) {
            let (_, theirs) = recorded.split_once(&format!("\n# {}\n", unit.name)).unwrap();
            let (ours, theirs) = (directives(&unit.text), directives(theirs.split("\n# ").next().unwrap()));
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for name in names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)) {
                differ.insert((unit.name.clone(), name.clone()));
            }
        }
        let listed = DIFFERENCES.iter().map(|(unit, name, _)| ((*unit).to_owned(), (*name).to_owned()));
        assert_eq!(differ, listed.collect());
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
