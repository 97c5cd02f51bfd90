//! A simulator for a port that StreamDevice opens, and the check that reads through it.

use std::collections::BTreeSet;
use std::fmt::Write;

use tool_base::protocol::lint::{Exchange, Parts};

/// How the check begins that is made: by it `adopt` knows its own.
pub const CHECK_HEAD: &str =
    "# The first check of this IOC, made by `cargo xtask adopt`: tool/docs/checks.md says what it can use.\n";

/// Ports of the machine from here on.
pub(super) const FIRST_PORT: u16 = 9001;

/// A device that is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The unit of its IOC, where there are several.
    pub ioc: Option<String>,
    /// The asyn port of the IOC.
    pub asyn: String,
    /// Its unit, and its file below `simulators/`.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The variable that the script has its address from.
    pub variable: String,
}

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It listens on a TCP port.
    Port(u16),
    /// It stands at a serial line.
    Serial(String),
}

/// A device for each asyn port, by name and whether it is a serial one, beside those that are there already.
pub fn devices(ports: &[(&str, bool)], ioc: Option<&str>, taken: &BTreeSet<String>, there: &[Device]) -> Vec<Device> {
    let mut names = taken.clone();
    names.extend(there.iter().map(|device| device.name.clone()));
    let listening = there.iter().filter(|device| matches!(device.place, Place::Port(_))).count();
    let mut free = (FIRST_PORT..).skip(listening);
    let plain = |text: &str, other: char| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { other }).collect()
    };
    let device = |(asyn, serial): &(&str, bool)| {
        let own = plain(asyn, '-').trim_matches('-').to_ascii_lowercase();
        let own = match own.chars().next() {
            None => "device".to_owned(),
            // Names of variables and of Nix's attributes begin with a letter.
            Some(first) if first.is_ascii_digit() => format!("p{own}"),
            Some(_) => own,
        };
        let mut name = own.clone();
        for number in 2.. {
            if !names.contains(&name) {
                break;
            }
            name = format!("{own}-{number}");
        }
        names.insert(name.clone());
        let stem = plain(&name, '_').to_ascii_uppercase();
        let place = if *serial {
            // NixOS has /dev/tty1 and /dev/ttyS1 itself.
            let own = if stem.starts_with('S') { "_" } else { "" };
            Place::Serial(format!("/dev/tty{own}{stem}"))
        } else {
            Place::Port(free.next().unwrap_or(FIRST_PORT))
        };
        let variable = format!("{stem}_ADDRESS");
        Device { ioc: ioc.map(str::to_owned), asyn: (*asyn).to_owned(), name, place, variable }
    };
    ports.iter().map(device).collect()
}

impl Device {
    /// Where the IOC finds the simulator.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Port(port) => format!("localhost:{port}"),
            Place::Serial(path) => path.clone(),
        }
    }

    /// Name of its package for Nix.
    pub fn package(&self) -> String {
        format!("{}-simulator", self.name)
    }

    /// Its table in ioc.toml.
    pub fn table(&self) -> String {
        let Self { name, variable, .. } = self;
        let (package, address) = (self.package(), self.address());
        let place = match &self.place {
            Place::Port(port) => format!("port = {port}"),
            Place::Serial(path) => format!("serial = \"{path}\""),
        };
        let ioc = self.ioc.as_ref().map(|ioc| format!("ioc = \"{ioc}\"\n")).unwrap_or_default();
        format!(
            "\n[simulators.{name}]\npackage = \"{package}\"\ncommand = [\"python3\", \"simulators/{name}.py\"]\n{place}\n{ioc}\
             environment = {{ {variable} = \"{address}\" }}\n"
        )
    }

    /// Its package in flake.nix.
    pub fn overlay(&self) -> String {
        let (name, package) = (&self.name, self.package());
        format!(
            "          {package} = final.writers.writePython3Bin \"{package}\" {{ flakeIgnore = [ \"E501\" ]; }} (\n            \
             builtins.readFile ./simulators/{name}.py\n          );\n"
        )
    }

    /// The program.
    pub fn program(&self, exchanges: &[Exchange]) -> String {
        let mut own: Vec<&Exchange> = exchanges
            .iter()
            .filter(|own| own.port == self.asyn && !own.out.is_empty() && own.answer.is_some())
            .collect();
        // What is said as it stands goes before what has a value in it, the longer before the shorter.
        own.sort_by_key(|own| {
            (own.out.contains(&None), std::cmp::Reverse(own.out.iter().flatten().map(String::len).sum::<usize>()))
        });
        let end = end(&own);
        let mut answers = String::new();
        for exchange in &own {
            let answer = exchange.answer.as_deref().unwrap_or_default();
            let _ = writeln!(
                answers,
                "    # {}\n    ({}, {}),",
                exchange.function,
                pattern(&exchange.out),
                literal(answer)
            );
        }
        let unknown = end.map_or_else(
            || "                break\n".to_owned(),
            |end| {
                format!(
                    "                line, end, rest = heard.partition({end})\n                if not end:\n                    \
                     break\n                print(\"not known:\", line, file=sys.stderr, flush=True)\n                heard = rest\n                \
                     continue\n",
                    end = literal(&end.to_string())
                )
            },
        );
        let Self { asyn, .. } = self;
        let sys = if end.is_some() { "import sys\n" } else { "" };
        let (imports, class, serving) = match &self.place {
            Place::Port(port) => (
                format!("import re\nimport socketserver\n{sys}"),
                "\n\nclass Client(socketserver.BaseRequestHandler):\n    def handle(self):\n        \
                 serve(self.request.recv, self.request.sendall)\n",
                format!(
                    "socketserver.ThreadingTCPServer.allow_reuse_address = True\n\
                     socketserver.ThreadingTCPServer((\"localhost\", {port}), Client).serve_forever()\n"
                ),
            ),
            // Its stdin and stdout are one end of the line.
            Place::Serial(_) => (
                format!("import os\nimport re\n{sys}"),
                "",
                "serve(lambda size: os.read(0, size), lambda answer: os.write(1, answer))\n".to_owned(),
            ),
        };
        format!(
            r#""""Stands in for the device at port {asyn} of the IOC.

A start, which `cargo xtask adopt` made of the protocols. It always says the
same: let it remember what was set, as the device does.
"""
{imports}
# What the device hears, as a pattern, and what it answers.
ANSWERS = [
{answers}]


def serve(read, write):
    heard = b""
    while data := read(4096):
        heard += data
        while heard:
            for pattern, answer in ANSWERS:
                found = re.match(pattern, heard, re.DOTALL)
                if found:
                    break
            else:
{unknown}            heard = heard[found.end():]
            write(answer)
{class}

{serving}"#
        )
    }
}

/// The byte that everything ends with, where it is one that no text has.
fn end(exchanges: &[&Exchange]) -> Option<char> {
    let mut ends = exchanges.iter().map(|own| own.out.last()?.as_ref()?.chars().last());
    let first = ends.next()??;
    (first.is_control() && ends.all(|own| own == Some(first))).then_some(first)
}

/// A pattern of Python for what is said.
fn pattern(out: &[Option<String>]) -> String {
    let mut text = "rb\"".to_owned();
    for (at, part) in out.iter().enumerate() {
        match part {
            // The shortest that fits, or all there is.
            None => text += if at + 1 == out.len() { ".+" } else { ".*?" },
            Some(part) => {
                for c in part.chars() {
                    match c {
                        '\n' => text += r"\n",
                        '\r' => text += r"\r",
                        '"' => text += r"\x22",
                        ' ' => text.push(' '),
                        c if c.is_ascii_alphanumeric() || "_:,;<>=!@%&/'~`#-".contains(c) => text.push(c),
                        c if c.is_ascii_graphic() => text.extend(['\\', c]),
                        c => drop(write!(text, "\\x{:02x}", u32::from(c))),
                    }
                }
            }
        }
    }
    text + "\""
}

/// Bytes of Python.
fn literal(text: &str) -> String {
    let mut out = "b\"".to_owned();
    for c in text.chars() {
        match c {
            '\n' => out += r"\n",
            '\r' => out += r"\r",
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            c => drop(write!(out, "\\x{:02x}", u32::from(c))),
        }
    }
    out + "\""
}

/// The check that reads every record behind these devices: its script. The IOCs have the names of their units.
pub fn check(devices: &[Device], iocs: &[(&str, &Parts)]) -> String {
    let one = iocs.len() == 1;
    let ours = |ioc: &str, port: &str| {
        let of = |device: &&Device| one || device.ioc.as_deref() == Some(ioc);
        devices.iter().filter(of).any(|device| device.asyn == port)
    };
    let names: Vec<String> = iocs
        .iter()
        .flat_map(|(ioc, parts)| parts.inputs.iter().filter(|(_, port)| ours(ioc, port)))
        .map(|(name, _)| format!("    {name:?},\n"))
        .collect();
    let units = iocs.iter().map(|(ioc, _)| *ioc).chain(devices.iter().map(|device| device.name.as_str()));
    let units: String = units.map(|unit| format!("    machine.wait_for_unit(\"{unit}.service\")\n")).collect();
    let head = format!("{CHECK_HEAD}start_all()\n\nwith subtest(\"the services are up\"):\n");
    if names.is_empty() {
        return format!("{head}{units}");
    }
    format!(
        "{head}{units}\n# Every record that reads a device behind a simulator.\nINPUTS = [\n{}]\n\n\
         with subtest(\"no input is in alarm\"):\n    for name in INPUTS:\n        \
         machine.succeed(f\"caput -c '{{name}}.PROC' 1\")\n        \
         machine.wait_until_succeeds(f\"caget -t '{{name}}.SEVR' | grep -qxF NO_ALARM\", timeout=20)\n",
        names.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(out: &[Option<&str>], answer: &str) -> Exchange {
        Exchange {
            port: "PS1".into(),
            out: out.iter().map(|own| own.map(str::to_owned)).collect(),
            answer: Some(answer.into()),
            function: "a.proto x".into(),
            others: BTreeSet::new(),
        }
    }

    #[test]
    fn names_are_apart_and_fit_units_and_variables() {
        let taken = BTreeSet::from(["ioc".to_owned()]);
        let found = devices(&[("PS-1", false), ("ps.1", false), ("S1", true), ("1", false)], None, &taken, &[]);
        let more = devices(&[("ioc", false), ("1", true), ("l", true)], Some("b"), &taken, &found);
        let all: Vec<_> =
            found.iter().chain(&more).map(|own| format!("{} {} {}", own.name, own.variable, own.address())).collect();
        let wanted = [
            "ps-1 PS_1_ADDRESS localhost:9001",
            "ps-1-2 PS_1_2_ADDRESS localhost:9002",
            "s1 S1_ADDRESS /dev/tty_S1",
            "p1 P1_ADDRESS localhost:9003",
            "ioc-2 IOC_2_ADDRESS localhost:9004",
            "p1-2 P1_2_ADDRESS /dev/ttyP1_2",
            "l L_ADDRESS /dev/ttyL",
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn a_program_answers_what_the_protocol_asks() {
        let device = &devices(&[("PS1", false)], None, &BTreeSet::new(), &[])[0];
        let all = [
            exchange(&[Some("volt "), None, Some("\r\n")], "OK\r\n"),
            exchange(&[Some("volt? (\"é\")\r\n")], "1\\\u{2}\r\n"),
            exchange(&[], "by itself"),
        ];
        let text = device.program(&all);
        for line in [
            r#"    (rb"volt\? \(\x22\xe9\x22\)\r\n", b"1\\\x02\r\n"),"#,
            r#"    (rb"volt .*?\r\n", b"OK\r\n"),"#,
            r#"                line, end, rest = heard.partition(b"\n")"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("by itself"));
        let binary = device.program(&[exchange(&[Some("\u{1}"), None], "\u{6}")]);
        assert!(binary.contains(r#"(rb"\x01.+", b"\x06")"#) && !binary.contains("partition"), "{binary}");
    }
}
