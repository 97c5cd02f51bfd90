//! Commands that definitions bring: those that open ports, name them, or register record support.

use super::{Follower, Opened, REGISTERS_ALL, Stage, opens_nothing, registers};
use crate::known;
use crate::lint::address;
use crate::lint::report::{UNKNOWN, nearest, suggest, unreplaced};
use crate::lint::text::Text;
use crate::top::registration;

impl Follower<'_> {
    /// Commands that open a port, or say what ends its messages.
    fn port(&mut self, command: &str, words: &[Text]) {
        let word = |at: usize| words.get(at).map(Text::lossy).unwrap_or_default();
        if let ("asynOctetSetOutputEos" | "asynOctetSetInputEos", Some(own)) =
            (command, self.out.by_name.get(&word(1)).map(|at| &mut self.out.opened[*at]))
        {
            own.ends[usize::from(command == "asynOctetSetInputEos")] = unescaped(&word(3));
        }
        let opens = command.ends_with("PortConfigure") || command == "vxi11Configure" || command == "usbtmcConfigure";
        if let Some(own) = words.get(2).filter(|_| opens) {
            let (at, ends, address) = (own.place(0), Default::default(), own.lossy());
            let checked = command == "drvAsynIPPortConfigure" && !own.is_unknown();
            let literal = || unreplaced(&address).map(|_| format!("`{address}` is no host"));
            if let Some(why) = checked.then(|| address::refusal(&address).or_else(literal)).flatten() {
                let what = format!("{why}: asyn opens no port {}", word(1));
                let hint = || "as in \"192.168.1.10:5025\", or \"192.168.1.10:5025 UDP\"".to_owned();
                self.report.error(at, "no-address", what, unreplaced(&address).unwrap_or_else(hint));
            }
            self.out.by_name.entry(word(1)).or_insert(self.out.opened.len());
            self.out.opened.push(Opened { name: word(1), command: command.to_owned(), address, at, ends });
            let odd = |own: &&Text| !own.bytes.is_empty() && !own.is_unknown() && !address::is_number(&own.lossy());
            if let Some(odd) = words.iter().skip(3).take(3).find(odd).filter(|_| known::opens_a_port(command)) {
                let what =
                    format!("`{}` is no number: the shell refuses the command, so there is no port", odd.lossy());
                self.report.error(
                    odd.place(0),
                    "no-address",
                    what,
                    format!("{command}(\"PORT\", \"ADDRESS\", 0, 0, 0)"),
                );
            }
        } else if known::opens_a_port(command) {
            // Links to it are not blamed as well.
            self.out.ports.insert(UNKNOWN.to_owned());
            let what = format!("{command} needs a port and an address: asyn opens no port");
            self.report.error(words[0].place(0), "no-address", what, format!("{command}(\"PORT\", \"ADDRESS\")"));
        }
    }

    pub(super) fn other(&mut self, words: &[Text]) {
        let name = words[0].lossy();
        self.port(&name, words);
        if registers(&name) {
            if name != REGISTERS_ALL {
                self.out.registers.get_or_insert(name.clone());
            }
            let own = registration(&self.layout.types.app);
            if name == own || name == REGISTERS_ALL {
                self.needs(&words[0], Stage::Defined);
                let argument = words.get(1).filter(|own| !own.is_unknown() && !own.bytes.is_empty());
                if let Some(argument) = argument.filter(|own| own.bytes != b"pdbbase" && own.bytes[0] != b'0') {
                    let what = format!("`{}` is not pdbbase, so the shell refuses the command", argument.lossy());
                    self.report.error(argument.place(0), "not-registered", what, format!("{name}(pdbbase)"));
                }
            } else {
                let what = format!("the application has no command `{name}`");
                self.report.error(words[0].place(0), "unknown-command", what, format!("did you mean `{own}`?"));
            }
            // Said once: what comes behind is not blamed for it.
            self.out.stage = self.out.stage.max(Stage::Registered);
            return;
        }
        if let Some((_, files)) = known::commands().find(|(own, _)| *own == name) {
            let what = format!("command `{name}`");
            let (at, types) = (words[0].place(0), &self.layout.types);
            types.need("no-command", &what, files, at, self.report);
            if self.out.stage < Stage::Registered && !self.out.open && !types.lack(files) {
                let register = registration(&types.app);
                let what = format!("{name} comes before {register}, which brings it: a C IOC has no such command here");
                self.report.error(at, "no-command", what, format!("move it below {register}"));
            }
        }
        // The application's own definitions may bring commands of any name.
        let closed = !self.layout.types.open && name.len() > 4 && !name.contains(UNKNOWN);
        let strange = closed && !self.commands.contains(&name);
        let known = self.commands.iter().map(String::as_str);
        if let Some(near) = strange.then(|| nearest(&name, known)).flatten() {
            let what = format!("`{name}` is no command of EPICS base, asyn or StreamDevice");
            self.report.error(words[0].place(0), "unknown-command", what, format!("did you mean `{near}`?"));
            self.out.open = true;
        }
        let port = words
            .get(1)
            .filter(|own| known::OF_PORT.contains(&name.as_str()) && !own.bytes.is_empty() && !own.is_unknown());
        let late = |own: &Text| self.out.late.contains(&own.lossy());
        if let Some(port) = port.filter(|own| self.out.lacks_port(&own.lossy()) && !late(own)) {
            let known = self.out.opened.iter().map(|own| own.name.as_str());
            let hint = suggest(&port.lossy(), known, || "open it above this line".to_owned());
            let what = format!("nothing above opens a port `{}`", port.lossy());
            self.report.error(port.place(0), "unknown-port", what, hint);
        }
        let odd = |own: &&Text| !own.bytes.is_empty() && !own.is_unknown() && !address::is_number(&own.lossy());
        if let Some(odd) = words.get(2).filter(odd).filter(|_| known::has_address(&name)) {
            let what = format!("`{}` is no address, which is a number: the shell refuses the command", odd.lossy());
            let rest = words[2..].iter().map(|own| format!(", \"{}\"", own.lossy()));
            let hint = format!("{name}(\"{}\", 0{})", words[1].lossy(), rest.collect::<String>());
            self.report.error(odd.place(0), "no-address", what, hint);
        }
        if !opens_nothing(&name) {
            let ports = if self.out.stage == Stage::Running { &mut self.out.late } else { &mut self.out.ports };
            ports.extend(words[1..].iter().map(Text::lossy));
        }
    }
}

/// The bytes that a string of asyn stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut chars = text.chars();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        let own = match c {
            '\\' => match chars.next() {
                Some('r') => '\r',
                Some('n') => '\n',
                Some('t') => '\t',
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    char::from(u8::from_str_radix(&digits, 16).unwrap_or(0))
                }
                Some('0') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    char::from(u8::from_str_radix(&digits, 8).unwrap_or(0))
                }
                Some(other) => other,
                None => '\\',
            },
            other => other,
        };
        out.push(u8::try_from(u32::from(own)).unwrap_or(b'?'));
    }
    out
}
