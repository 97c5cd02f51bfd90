//! Writes `ioc.toml` as systemd units: the same services that `tool/nix/` gives the NixOS machine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::embedded;
use tool_init::unit::limits;
use tool_project::{Config, Ioc, Simulator};
use tool_sandbox::spec::UnitFile;

/// Seconds that a simulator may take until its port answers.
pub const SIMULATOR_START_LIMIT: u32 = 20;

/// Waits until the IOC serves clients, here as on NixOS.
const READY: &str = include_str!("../../../nix/ioc-ready.sh");

/// Puts a simulator at one end of a serial line, here as on NixOS.
const SERIAL: &str = include_str!("../../../nix/serial.py");

/// TCP port of the first IOC's console, EPNix's default for procServ; the others of ioc.toml have the next ones.
const CONSOLE: u16 = 2000;

/// Folder of a machine that stands for the project: its IOC and `simulators/` are in there.
pub const PROJECT: &str = "/machine";

/// How EPNix runs an IOC (its module services.iocs): the directives of ioc.service that the sandbox shares with it, in
/// its words.
const AS_EPNIX: [(&str, &str); 18] = [
    ("Restart", "always"),
    ("RestartSec", "1s"),
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

/// An IOC on a machine.
#[derive(Debug)]
pub struct OnMachine<'a> {
    /// Its name in ioc.toml.
    pub name: &'a str,
    /// What ioc.toml says of it.
    pub ioc: &'a Ioc,
    /// The EPICS top, on the machine.
    pub top: &'a Path,
    /// Its executable with its arguments before the script, on the machine.
    pub program: &'a str,
    /// Whether they may lie where such a service sees nothing: in a home, in /tmp.
    pub open: bool,
    /// Variables in its environment.
    pub environment: &'a BTreeMap<String, String>,
}

/// What of ioc.service the sandbox does not keep, once for all machines.
pub fn without_effect() -> Option<String> {
    let lines: String = AS_EPNIX.iter().map(|(directive, value)| format!("{directive}={value}\n")).collect();
    limits::warning("ioc.service", &format!("[Service]\n{lines}"))
}

/// The units of the simulators that run beside some IOCs.
pub fn simulators(config: &Config, iocs: &[&str]) -> Vec<UnitFile> {
    let own: BTreeMap<_, _> = iocs.iter().flat_map(|ioc| config.simulators_of(ioc)).collect();
    own.into_iter().map(|(name, simulator)| self::simulator(name, simulator)).collect()
}

/// TCP port of the console of an IOC.
pub fn console(config: &Config, ioc: &str) -> u16 {
    (CONSOLE..).zip(config.iocs.keys()).find(|(_, own)| *own == ioc).map_or(CONSOLE, |(port, _)| port)
}

/// Where the shell of an IOC keeps its history: in the folder that the IOC may write to.
pub fn history(ioc: &str) -> String {
    format!("/var/lib/epics/{ioc}/iocsh_history")
}

/// The unit of an IOC.
pub fn ioc(config: &Config, own: &OnMachine) -> UnitFile {
    let OnMachine { name, ioc, top, program, open, environment } = own;
    let simulators: Vec<String> = config.simulators_of(name).map(|(name, _)| format!("{name}.service")).collect();
    let console = console(config, name);
    // The only one has a name that says nothing.
    let title = if *name == "ioc" { &ioc.app } else { *name };
    // No limit to restarts, as EPNix has it.
    let mut text = format!("[Unit]\nDescription=EPICS IOC {title}\nStartLimitIntervalSec=0\n");
    if !simulators.is_empty() {
        // An IOC that finds no device tries again after 20 s only: the device comes first.
        let list = simulators.join(" ");
        let _ = write!(text, "Wants={list}\nAfter={list}\n");
    }
    // An IOC ends when its standard input does. What holds it open is its console, which outlives it by what it said last.
    let shell = format!(
        "coproc {{ trap '' TERM; exec /machine/bin/ioc-console {console}; }}; \
         exec {program} {} <&${{COPROC[0]}} >&${{COPROC[1]}} 2>&1",
        ioc.script
    );
    let mut variables = format!("Environment=NO_COLOR=1\nEnvironment=EPICS_IOCSH_HISTFILE={}\n", history(name));
    for (key, value) in *environment {
        let _ = writeln!(variables, "Environment={}", quote(&format!("{key}={value}")));
    }
    let ready: Vec<&str> = READY.lines().filter(|line| !line.starts_with('#')).collect();
    let ready = ready.join("\n");
    let hides = |directive: &str| matches!(directive, "DynamicUser" | "ProtectHome");
    let shared = AS_EPNIX.iter().filter(|(directive, _)| !(*open && hides(directive)));
    let shared: String = shared.map(|(directive, value)| format!("{directive}={value}\n")).collect();
    let _ = write!(
        text,
        "\n[Service]\nType=exec\nWorkingDirectory={}\nStateDirectory=epics/{name}\n{shared}{variables}\
         ExecStart=/bin/bash -c {}\nExecStartPost=+/bin/bash -c {} ioc-ready {console}\n\n[Install]\nWantedBy=multi-user.target\n",
        escape(&ioc.boot(top).to_string_lossy()),
        argument(&shell),
        argument(&ready),
    );
    UnitFile { name: format!("{name}.service"), text }
}

fn simulator(name: &str, simulator: &Simulator) -> UnitFile {
    let mut words = simulator.command.iter();
    let program = words.next().map(|program| in_machine(program)).unwrap_or_default();
    let line = simulator.serial.iter().flat_map(|path| ["python3", "-c", SERIAL, path]).map(str::to_owned);
    let command: Vec<String> = line.chain([program]).chain(words.cloned()).map(|word| argument(&word)).collect();
    let port = simulator.port.map(|port| format!(": 2>/dev/null </dev/tcp/localhost/{port}"));
    let files = || simulator.serial.iter().chain(&simulator.ready);
    let up: Vec<String> = port.into_iter().chain(files().map(|path| format!("[ -e {path} ]"))).collect();
    // One of an earlier run says nothing.
    let before: String = files().map(|path| format!("ExecStartPre=/bin/rm -f {path}\n")).collect();
    // Active means that it is there; a simulator that dies before that has failed.
    let wait =
        format!("until {}; do kill -0 \"$MAINPID\" || exit 1; sleep 0.02; done; kill -0 \"$MAINPID\"", up.join(" && "));
    let text = format!(
        "[Unit]\nDescription=Device simulator {name}\n\n[Service]\nType=exec\nWorkingDirectory={PROJECT}\n{before}ExecStart={}\n\
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

    fn units(text: &str, program: &str, environment: &BTreeMap<String, String>) -> Vec<UnitFile> {
        let config = tool_project::parse(text).unwrap();
        let top = Path::new("/machine/ioc");
        let unit = |(name, own): (&String, &Ioc)| {
            ioc(&config, &OnMachine { name, ioc: own, top, program, open: false, environment })
        };
        let names: Vec<&str> = config.iocs.keys().map(String::as_str).collect();
        config.iocs.iter().map(unit).chain(simulators(&config, &names)).collect()
    }

    #[test]
    fn iocs_are_told_apart() {
        let text = "[iocs.b]\napp = \"x\"\nioc = \"iocB\"\nscript = \"st.sh\"\n[iocs.a]\napp = \"x\"\nioc = \"iocA\"\n\
                    [simulators.s]\npackage = \"s\"\ncommand = [\"s\"]\nport = 1\nioc = \"b\"\n";
        let units = units(text, "x", &BTreeMap::new());
        let of = |at: usize, parts: &[&str]| {
            for part in parts {
                assert!(units[at].text.contains(part), "no {part} in\n{}", units[at].text);
            }
        };
        assert_eq!(
            units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(),
            ["a.service", "b.service", "s.service"]
        );
        of(
            0,
            &[
                "Description=EPICS IOC a\n",
                "iocBoot/iocA\n",
                "StateDirectory=epics/a\n",
                "ioc-ready 2000",
                "exec x st.cmd",
            ],
        );
        of(1, &["After=s.service\n", "/var/lib/epics/b/", "ioc-ready 2001", "ioc-console 2001", "exec x st.sh"]);
        assert!(!units[0].text.contains("s.service"), "{}", units[0].text);
    }

    #[test]
    fn units_of_the_template() {
        let environment = BTreeMap::from([("PREFIX".to_owned(), "A: 100%".to_owned())]);
        let units =
            units(include_str!("../../../template/ioc.toml"), "/machine/bin/soft-ioc --app example", &environment);
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
        let recorded = include_str!("../../../nix/units.txt");
        let mut differ = BTreeSet::new();
        for unit in units(include_str!("../../../template/ioc.toml"), "/machine/bin/soft-ioc", &BTreeMap::new()) {
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
