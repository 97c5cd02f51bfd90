//! What adopting a top comes to: a pure function over its files, what lint tells of its IOC, and the project.

use std::collections::{BTreeMap, BTreeSet};

use super::device;
pub use super::device::Device;
use super::release;
use super::todo;
use super::top::{Boot, Source, Top};
use tool_base::protocol::lint::{Mistake, OfIoc, Port, Severity};

/// Name of the check that is made, where no other has it.
const CHECK: &str = "inputs";

/// What is known.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The top, without what `make` has made.
    pub top: &'a Top,
    /// What it is called.
    pub from: &'a str,
    /// What `make` has made, by folder.
    pub built: &'a BTreeMap<String, usize>,
    /// The IOCs.
    pub iocs: &'a [Adopted],
    /// Other boot folders.
    pub others: &'a [String],
    /// The project's files, as Git tracks them.
    pub project: &'a BTreeMap<String, Vec<u8>>,
    /// Those of them that are the template's.
    pub shipped: &'a BTreeSet<String>,
}

/// An IOC that comes along.
#[derive(Debug)]
pub struct Adopted {
    /// Where it starts.
    pub boot: Boot,
    /// Its application.
    pub app: String,
    /// What lint says of it.
    pub ioc: OfIoc,
}

impl Adopted {
    /// Its start-up script.
    fn script(&self) -> &str {
        self.boot.scripts.first().map_or("st.cmd", String::as_str)
    }
}

impl Facts<'_> {
    /// The name of an IOC's unit, where there are several: that of its boot folder.
    fn unit<'a>(&self, own: &'a Adopted) -> Option<&'a str> {
        (self.iocs.len() > 1).then_some(own.boot.name.as_str())
    }

    /// Mistakes in the files of all IOCs, each of them once.
    fn findings(&self) -> BTreeSet<&Mistake> {
        self.iocs.iter().flat_map(|own| &own.ioc.findings).collect()
    }
}

/// All that is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files that are new or new in text, by their path in the project.
    pub files: BTreeMap<String, Source>,
    /// Files that go.
    pub remove: Vec<String>,
    /// The devices that get a simulator.
    pub devices: Vec<Device>,
    /// What is changed on the way, a line each.
    pub mended: Vec<String>,
    /// What is left to do, a line each: what, why, and how.
    pub todo: Vec<String>,
}

/// Plans.
pub fn plan(facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    for (path, source) in &facts.top.files {
        plan.files.insert(format!("ioc/{path}"), source.clone());
    }
    for (what, count) in facts.built {
        plan.mended.push(format!(
            "{what}: left out, as make makes it ({count} {})",
            if *count == 1 { "file" } else { "files" }
        ));
    }
    let before = Before::read(facts);
    for own in facts.iocs {
        devices(facts, own, &before, &mut plan);
    }
    let kept = before.kept(facts, &mut plan);
    includes(facts, &mut plan);
    let mut shifted = Vec::new();
    for own in facts.iocs {
        shifted.extend(script(own, facts, &mut plan));
    }
    let modules = configuration(facts, &mut plan);
    left(facts, &modules, &mut plan);
    let text = |text: String| Source { text: text.into_bytes(), runs: false };
    for device in &plan.devices {
        let own = facts.iocs.iter().find(|own| facts.unit(own) == device.ioc.as_deref());
        let exchanges = own.map_or(&[][..], |own| &own.ioc.parts.exchanges);
        let (path, program) = (format!("simulators/{}.py", device.name), device.program(exchanges));
        match facts.project.get(&path) {
            // It may have been written further since.
            Some(old) if *old != program.as_bytes() => {
                plan.todo
                    .push(format!("{path}: a simulator that was here before: look whether it answers this device"));
            }
            _ => drop(plan.files.insert(path, text(program))),
        }
    }
    plan.files.insert("ioc.toml".to_owned(), text(ioc_toml(facts, &modules, &plan.devices) + &kept));
    flake(facts, &mut plan);
    let name = free_name(facts);
    for (kind, body) in check(&name, &plan.devices, facts) {
        plan.files.insert(format!("checks/{name}.{kind}"), text(body));
    }
    for path in shifted {
        plan.todo.iter_mut().chain(&mut plan.mended).for_each(|item| *item = a_line_later(item, &path));
    }
    let mut told = BTreeSet::new();
    plan.todo.retain(|item| told.insert(item.clone()));
    if !plan.todo.is_empty() {
        let old = facts.project.get(todo::FILE).map(|text| String::from_utf8_lossy(text));
        plan.files.insert(todo::FILE.to_owned(), text(todo::text(facts.from, &plan.todo, old.as_deref())));
    }
    // What stays as it is.
    plan.files.retain(|path, source| facts.project.get(path).is_none_or(|old| *old != source.text || source.runs));
    let kept = |path: &String| {
        plan.files.contains_key(path)
            || path.strip_prefix("ioc/").is_some_and(|path| facts.top.files.contains_key(path))
    };
    let goes =
        |path: &&String| (path.starts_with("ioc/") && !kept(path)) || (is_check(path) && facts.shipped.contains(*path));
    plan.remove = facts.project.keys().filter(goes).filter(|path| !plan.files.contains_key(*path)).cloned().collect();
    plan
}

/// A text whose place in a file is a line further down.
fn a_line_later(item: &str, path: &str) -> String {
    let later = || {
        let rest = item.strip_prefix(path)?.strip_prefix(':')?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        Some(format!("{path}:{}{}", rest[..end].parse::<u32>().ok()? + 1, &rest[end..]))
    };
    later().unwrap_or_else(|| item.to_owned())
}

/// A simulator that ioc.toml had.
#[derive(Default)]
struct Old {
    /// Its table as it is written; empty where it is written otherwise.
    text: String,
    ioc: Option<String>,
    port: Option<i64>,
    serial: Option<String>,
}

/// The simulators that ioc.toml had, by name. That of the template goes with the example.
struct Before(BTreeMap<String, Old>);

impl Before {
    fn read(facts: &Facts) -> Self {
        let text = facts.project.get("ioc.toml").filter(|_| !facts.shipped.contains("ioc.toml"));
        let text = text.map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        let parsed: toml::Table = toml::from_str(&text).unwrap_or_default();
        let mut all = BTreeMap::new();
        for (name, own) in parsed.get("simulators").and_then(toml::Value::as_table).into_iter().flatten() {
            let word = |key: &str| own.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            if name == "simulator" && word("package").as_deref() == Some("psu-simulator") {
                continue;
            }
            let port = own.get("port").and_then(toml::Value::as_integer);
            all.insert(name.clone(), Old { text: String::new(), ioc: word("ioc"), port, serial: word("serial") });
        }
        let mut name = None;
        for line in text.lines() {
            if let Some(header) = line.trim_start().strip_prefix('[') {
                let own = header.trim_start().strip_prefix("simulators.");
                let own = own.and_then(|rest| rest.split([']', '.']).next());
                name = own.map(|own| own.trim().trim_matches(['"', '\'']).to_owned());
            }
            if let Some(old) = name.as_ref().and_then(|name| all.get_mut(name)) {
                old.text += &format!("{line}\n");
            }
        }
        Self(all)
    }

    /// The tables that stay: those of other devices than the new ones. A device keeps the port that it had; what else
    /// is taken is none of the new.
    fn kept(mut self, facts: &Facts, plan: &mut Plan) -> String {
        let mut ports = BTreeMap::new();
        self.0.retain(|name, old| {
            if plan.devices.iter().any(|device| device.name == *name) {
                ports.extend(old.port.map(|port| (name.clone(), port)));
                return false;
            }
            let line = device::Place::Serial(old.serial.clone().unwrap_or_default());
            let why = if old.ioc.as_ref().is_some_and(|ioc| facts.iocs.iter().all(|own| facts.unit(own) != Some(ioc))) {
                "was of an IOC that goes"
            } else if plan.devices.iter().any(|device| device.place == line) {
                "was at the serial line of a new one"
            } else if old.text.is_empty() {
                "is not written as a table"
            } else {
                return true;
            };
            plan.todo.push(format!(
                "ioc.toml: [simulators.{name}] {why}, and goes; where it still has a use, take it from Git"
            ));
            false
        });
        let mut taken: BTreeSet<i64> = self.0.values().filter_map(|old| old.port).collect();
        ports.retain(|_, port| taken.insert(*port));
        let mut free = (device::FIRST_PORT..).filter(|port| !taken.contains(&i64::from(*port)));
        for device in &mut plan.devices {
            if let device::Place::Port(port) = &mut device.place {
                let old = ports.get(&device.name).and_then(|port| u16::try_from(*port).ok());
                *port = old.or_else(|| free.next()).unwrap_or(*port);
            }
        }
        self.0.values().map(|old| format!("\n{}\n", old.text.trim_end())).collect()
    }
}

fn is_check(path: &str) -> bool {
    let kind = path.strip_prefix("checks/").and_then(|name| name.rsplit_once('.')).map(|(_, kind)| kind);
    kind.is_some_and(|kind| crate::scaffold::check::KINDS.contains(&kind))
}

/// A file that lint names, as seen from the top.
fn of_top(file: &str) -> &str {
    file.split_once('/').map_or(file, |(_, rest)| rest)
}

/// Where something is, as it will be in the project.
fn place(file: &str, line: u32) -> String {
    format!("ioc/{}:{line}", of_top(file))
}

/// Changes a line of a file; `None`, and no change, where that cannot be.
fn change(plan: &mut Plan, file: &str, line: u32, change: impl FnOnce(&str) -> Option<String>) -> Option<()> {
    let source = plan.files.get_mut(&format!("ioc/{}", of_top(file)))?;
    let text = String::from_utf8(source.text.clone()).ok()?;
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let own = lines.get_mut(line.checked_sub(1)? as usize)?;
    *own = change(own)?;
    source.text = lines.join("\n").into_bytes();
    Some(())
}

/// A simulator for each TCP port and each serial one that records of an IOC use, and the script's word for where it is.
fn devices(facts: &Facts, own: &Adopted, before: &Before, plan: &mut Plan) {
    let parts = &own.ioc.parts;
    let used = |port: &&Port| parts.exchanges.iter().any(|own| own.port == port.name);
    let serial = |port: &Port| port.command == "drvAsynSerialPortConfigure";
    let (known, others): (Vec<&Port>, Vec<&Port>) = parts.ports.iter().filter(used).partition(|port| {
        let protocol = port.address.split_whitespace().nth(1).unwrap_or("TCP");
        let tcp = ["TCP", "COM"].iter().any(|own| protocol.eq_ignore_ascii_case(own));
        serial(port) || port.command == "drvAsynIPPortConfigure" && tcp
    });
    for port in others {
        let records = parts.inputs.iter().filter(|(_, own)| *own == port.name).count();
        plan.todo.push(format!(
            "{}: {} opens port {} at {}, which no simulator stands in for: {records} of its records read nothing in checks; \
             where a terminal server is in between, drvAsynIPPortConfigure(\"{}\", \"${{{}_ADDRESS=HOST:PORT}}\")",
            place(&port.file, port.line),
            port.command,
            port.name,
            port.address,
            port.name,
            port.name.to_ascii_uppercase()
        ));
    }
    let names: Vec<(&str, bool)> = known.iter().map(|port| (port.name.as_str(), serial(port))).collect();
    let units = facts.iocs.iter().map(|own| facts.unit(own).unwrap_or("ioc").to_owned());
    let taken = facts.project.keys().filter_map(|path| path.strip_prefix("simulators/")?.strip_suffix(".py"));
    // One that an earlier adoption has made stays what it is.
    let taken = taken.filter(|name| !before.0.contains_key(*name)).map(str::to_owned).chain(units).collect();
    let devices = device::devices(&names, facts.unit(own), &taken, &plan.devices);
    for (mut device, port) in devices.into_iter().zip(&known) {
        let (file, line) = (&port.file, port.line);
        let mut found = None;
        let several = known.iter().filter(|other| (&other.file, other.line) == (file, line)).count() > 1;
        let changed = change(plan, file, line, |text| {
            let variable = if several { by_name(text, port)? } else { device.variable.clone() };
            let (line, own, address) = match text.find(&format!("${{{variable}=")) {
                Some(_) if several => (text.to_owned(), None, String::new()),
                _ => with_variable(text, port, &variable)?,
            };
            if several {
                device.variable = format!("{}_ADDRESS", port.name);
            }
            found = Some((own.filter(|_| !several), variable, address));
            Some(line)
        });
        let (own, variable, address) = found.unwrap_or_default();
        // Two simulators have two addresses.
        let taken = |name: &String| plan.devices.iter().any(|other| other.ioc == device.ioc && other.variable == *name);
        let shared = own.as_ref().is_some_and(taken);
        if let Some(own) = own.filter(|_| !shared) {
            device.variable = own;
        } else if changed.is_some() && !shared && address.is_empty() {
            // Mended with the first of its line.
        } else if changed.is_some() && !shared {
            plan.mended.push(format!(
                "{}: ${{{variable}={address}}} instead of {address}, so that checks reach a simulator",
                place(file, line)
            ));
        } else {
            plan.todo.push(format!(
                "{}: the address of port {} cannot be told apart there: let it come from the variable {}, which simulators.{} in ioc.toml sets",
                place(file, line),
                port.name,
                device.variable,
                device.name
            ));
        }
        plan.devices.push(device);
    }
}

/// A variable for each port that a line opens whose name is a macro, as `$(NAME)_ADDRESS`.
fn by_name(line: &str, port: &Port) -> Option<String> {
    let start = line.char_indices().nth(port.column.checked_sub(1)? as usize)?.0;
    let before = line[..start].trim_end_matches(['"', '\'', ' ']).trim_end_matches(',');
    let name = before.rsplit(['(', ' ', '"', '\'']).find(|word| !word.is_empty())?;
    let name = if name.ends_with(')') { before.get(before.rfind('$')?..)? } else { name };
    let name = name.trim_matches(['"', '\'']);
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let inner = name.strip_prefix("$(").and_then(|name| name.strip_suffix(')'));
    let inner = inner.or_else(|| name.strip_prefix("${").and_then(|name| name.strip_suffix('}')));
    (plain(inner?) && plain(&port.name)).then(|| format!("{name}_ADDRESS"))
}

/// A line whose address comes from a variable, the variable that it came from already, and the address as it was written.
fn with_variable(line: &str, port: &Port, variable: &str) -> Option<(String, Option<String>, String)> {
    let start = line.char_indices().nth(port.column.checked_sub(1)? as usize)?.0;
    let (before, rest) = line.split_at(start);
    let quote = before.chars().last().filter(|c| "\"'".contains(*c));
    let end = match quote {
        Some(quote) => rest.find(quote)?,
        None => rest.find([',', ')', ' ', '\t']).unwrap_or(rest.trim_end().len()),
    };
    let (address, after) = rest.split_at(end);
    // An open `$(` has its end behind a blank or a comma.
    if quote.is_none() && address.contains('$') {
        return None;
    }
    let inner = address.strip_prefix("$(").and_then(|text| text.strip_suffix(')'));
    let inner = inner.or_else(|| address.strip_prefix("${").and_then(|text| text.strip_suffix('}')));
    // Without a default it may be one that the script sets, unless nothing has told what it is.
    let (name, default) = inner.map_or(("", "$"), |inner| inner.split_once('=').unwrap_or((inner, "")));
    let from_outside = inner != Some(name) || port.address == "…";
    if from_outside && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !default.contains('$') {
        return Some((line.to_owned(), Some(name.to_owned()), address.to_owned()));
    }
    let protocol = address.find(' ').map_or("", |at| &address[at..]);
    let address = address.strip_suffix(protocol)?;
    Some((format!("{before}${{{variable}={address}}}{protocol}{after}"), None, address.to_owned()))
}

/// Scripts that are read and not there: of the site, most likely.
fn includes(facts: &Facts, plan: &mut Plan) {
    for own in facts.findings().into_iter().filter(|own| is_include(facts, own)) {
        let mut text = String::new();
        let changed = change(plan, &own.file, own.line, |line| {
            line.trim().clone_into(&mut text);
            Some(format!("# not in this top: {}", line.trim()))
        });
        if changed.is_some() {
            let place = place(&own.file, own.line);
            plan.mended.push(format!("{place}: taken out, as there is no such file: {text}"));
            plan.todo.push(format!("{place}: `{text}` is taken out, as the file is not in the top: put into st.cmd what this IOC needs of it"));
        }
    }
}

/// Whether a finding is about a script that is read and is not there.
fn is_include(facts: &Facts, own: &Mistake) -> bool {
    let source = facts.top.files.get(of_top(&own.file));
    let text = source.map(|source| String::from_utf8_lossy(&source.text)).unwrap_or_default();
    let line = text.lines().nth(own.line.saturating_sub(1) as usize).unwrap_or_default().trim_start();
    own.code == "no-file" && (line.starts_with('<') || line.starts_with("iocshLoad"))
}

/// The start-up script can be run; its path, where it has a line more than before.
fn script(own: &Adopted, facts: &Facts, plan: &mut Plan) -> Option<String> {
    let folder = format!("ioc/iocBoot/{}", own.boot.name);
    let path = format!("{folder}/{}", own.script());
    let mut source = plan.files.remove(&path)?;
    let mut shifted = None;
    if !source.runs {
        plan.mended.push(format!("{path}: can be executed"));
        source.runs = true;
    }
    if !source.text.starts_with(b"#!") {
        let line = format!("#!../../bin/linux-x86_64/{}", own.app);
        plan.mended.push(format!("{path}: begins with {line}, the program that runs it"));
        source.text = [line.as_bytes(), b"\n", &source.text].concat();
        shifted = Some(path.clone());
    }
    if let Some(end) =
        source.text.iter().position(|own| *own == b'\n').filter(|end| source.text[..*end].ends_with(b"\r"))
    {
        plan.mended.push(format!("{path}: no carriage return ends its first line, which no system would execute"));
        source.text.remove(end - 1);
    }
    plan.files.insert(path, source);
    for other in own.boot.scripts.iter().skip(1) {
        plan.todo.push(format!(
            "{folder}/{other}: another script that starts an IOC; where both run, give it [iocs.NAME] in ioc.toml"
        ));
    }
    // A shell script around it has an environment of its own, and what else it does.
    for path in facts.top.files.keys().filter(|path| path.starts_with(&format!("iocBoot/{}/", own.boot.name))) {
        let text = String::from_utf8_lossy(&facts.top.files[path].text);
        let shell = text.lines().next().is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"));
        if shell && !own.boot.scripts.iter().any(|own| path.ends_with(&format!("/{own}"))) && text.contains("bin/") {
            plan.todo.push(format!(
                "ioc/{path}: a shell script around the IOC is not run: what it exports goes to environment in ioc.toml"
            ));
        }
    }
    shifted
}

/// RELEASE and CONFIG_SITE, which EPNix writes a local file for. The modules.
fn configuration(facts: &Facts, plan: &mut Plan) -> release::Modules {
    for (path, local) in [("configure/RELEASE", release::LOCAL), ("configure/CONFIG_SITE", "CONFIG_SITE.local")] {
        let Some(source) = plan.files.get_mut(&format!("ioc/{path}")) else { continue };
        let Some(after) = std::str::from_utf8(&source.text).ok().and_then(|text| release::open(text, local)) else {
            continue;
        };
        source.text = after.into_bytes();
        plan.mended.push(format!(
            "ioc/{path}: reads {local}, where EPNix says what it knows, and goes on without files of your site"
        ));
    }
    let of_release = |path: &String| path.strip_prefix("configure/").is_some_and(|name| name.starts_with("RELEASE"));
    let texts: Vec<&str> = facts
        .top
        .files
        .iter()
        .filter(|(path, _)| of_release(path))
        .filter_map(|(_, source)| std::str::from_utf8(&source.text).ok())
        .collect();
    let mut modules = release::modules(texts.iter().copied());
    if facts.iocs.iter().any(|own| !own.ioc.parts.exchanges.is_empty()) {
        modules.known.insert("StreamDevice".to_owned());
    }
    modules
}

/// What cannot be done here.
fn left(facts: &Facts, modules: &release::Modules, plan: &mut Plan) {
    let told = |own: &Mistake| {
        let root = own.file.split_once('/').map_or("", |(root, _)| root);
        let text = format!("{}; {}", own.message, own.hint);
        format!("{}: {}", place(&own.file, own.line), in_project(text.trim_end_matches("; "), root))
    };
    for other in facts.others {
        plan.todo.push(format!(
            "ioc/iocBoot/{other}: another IOC of this top, which was left out; it would be [iocs.{other}] in ioc.toml"
        ));
    }
    for (name, path) in &modules.others {
        plan.todo.push(format!(
            "ioc/configure/RELEASE: EPNix has no {name} ({path}); take the line out, or give a package of it to overlays in flake.nix and name it in ioc.toml"
        ));
    }
    for own in facts.iocs {
        of_modules_and_answers(own, facts, plan);
    }
    let findings = facts.findings();
    // What a simulator sets is set from now on.
    let by_simulator =
        |own: &Mistake| plan.devices.iter().any(|device| own.message.contains(&format!("`{}`", device.variable)));
    let unset: Vec<&&Mistake> =
        findings.iter().filter(|own| own.code == "undefined-variable" && !by_simulator(own)).collect();
    for own in unset {
        plan.todo.push(told(own));
    }
    let bare = |own: &Mistake| {
        let source = facts.top.files.get(of_top(&own.file));
        source.is_some_and(|source| !source.text.starts_with(b"#!"))
    };
    let mended = |own: &Mistake| match own.code.as_str() {
        "not-a-program" => bare(own),
        code => code == "carriage-return",
    };
    let error = |own: &&&Mistake| own.severity == Severity::Error && !mended(own) && !is_include(facts, own);
    for own in findings.iter().filter(error) {
        plan.todo.push(told(own));
    }
    for path in &facts.top.strange {
        plan.todo.push(format!("ioc/{path}: left out, as it leads out of the top or is no file"));
    }
    let script = |path: &str| path.strip_suffix(".py").is_some() && is_check(path);
    let made = |path: &String| facts.project[path].starts_with(device::CHECK_HEAD.as_bytes());
    let own = |path: &&String| script(path) && !facts.shipped.contains(*path) && !made(path);
    for path in facts.project.keys().filter(own) {
        plan.todo.push(format!("{path}: a check that was here before: look whether it fits this IOC"));
    }
}

/// A text that names files of the top as the project will have them.
fn in_project(text: &str, root: &str) -> String {
    let (mut out, mut rest, start) = (String::new(), text, format!("{root}/"));
    while let Some(at) = rest.find(&start).filter(|_| !root.is_empty()) {
        let (before, behind) = (&rest[..at], &rest[at + start.len()..]);
        let word = before.chars().last().is_some_and(|c| c.is_alphanumeric() || "_-./$)}".contains(c));
        out += &format!("{before}{}", if word { &start } else { "ioc/" });
        rest = behind;
    }
    out + rest
}

/// What an IOC has of support modules, and what its simulators do not say.
fn of_modules_and_answers(own: &Adopted, facts: &Facts, plan: &mut Plan) {
    let parts = &own.ioc.parts;
    let script = format!("ioc/iocBoot/{}/{}", own.boot.name, own.script());
    for name in &parts.of_modules {
        plan.todo.push(format!("{script}: {name} comes with a support module, which the soft IOC does not have: its records are there with a build by make or Nix only"));
    }
    for exchange in &parts.exchanges {
        let ours = |device: &&Device| device.asyn == exchange.port && device.ioc.as_deref() == facts.unit(own);
        let Some(device) = plan.devices.iter().find(ours) else { continue };
        let file = format!("simulators/{}.py", device.name);
        if exchange.out.is_empty() {
            plan.todo.push(format!(
                "{file}: `{}` waits for what the device sends by itself, which the simulator does not",
                exchange.function
            ));
        } else if exchange.answer.is_none() {
            plan.todo
                .push(format!("{file}: the answer to `{}` is not told by its format: write it", exchange.function));
        }
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (function, record) in &exchange.others {
            others.entry(function).or_default().push(record);
        }
        for (function, records) in others {
            plan.todo.push(format!(
                "{file}: `{function}` asks the same as `{}`, and no answer suits both: the simulator's is wrong for {}",
                exchange.function,
                records.join(", ")
            ));
        }
    }
}

fn ioc_toml(facts: &Facts, modules: &release::Modules, devices: &[Device]) -> String {
    let support: Vec<String> = modules.known.iter().map(|name| format!("{name:?}")).collect();
    let old = facts.project.get("ioc.toml").map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
    let backend =
        old.lines().find(|line| line.starts_with("backend")).map_or(String::new(), |line| format!("{line}\n\n"));
    let support = support.join(", ");
    let table = |own: &Adopted| {
        let name = facts.unit(own).map_or("ioc".to_owned(), |name| format!("iocs.{name}"));
        let script = match own.script() {
            "st.cmd" => String::new(),
            script => format!("script = \"{script}\"\n"),
        };
        let (app, boot) = (&own.app, &own.boot.name);
        format!("[{name}]\napp = \"{app}\"\nioc = \"{boot}\"\nsupport = [{support}]\n{script}")
    };
    let iocs: Vec<String> = facts.iocs.iter().map(table).collect();
    let simulators: String = devices.iter().map(Device::table).collect();
    format!(
        "# The one description of this IOC: read by flake.nix, by the checks and by `cargo xtask`.\n\n{backend}{}{simulators}",
        iocs.join("\n")
    )
}

/// The packages of the simulators, for Nix.
fn flake(facts: &Facts, plan: &mut Plan) {
    const EMPTY: &str = "        (final: prev: { })\n";
    if plan.devices.is_empty() {
        return;
    }
    let text = facts.project.get("flake.nix").and_then(|text| std::str::from_utf8(text).ok());
    let there = |device: &&Device| text.is_some_and(|text| text.contains(&format!(" {} = ", device.package())));
    let missing: Vec<&Device> = plan.devices.iter().filter(|device| !there(device)).collect();
    if missing.is_empty() {
        return;
    }
    let packages: String = missing.iter().map(|device| device.overlay()).collect();
    match text.filter(|text| text.matches(EMPTY).count() == 1) {
        Some(text) => {
            let after = text.replace(EMPTY, &format!("        (final: prev: {{\n{packages}        }})\n"));
            plan.files.insert("flake.nix".to_owned(), Source { text: after.into_bytes(), runs: false });
        }
        None => {
            let names: Vec<String> = missing.iter().map(|device| device.package()).collect();
            plan.todo.push(format!(
                "flake.nix: overlays need {}, each as in tool/docs/tutorial.md, \"A device of your own\"",
                names.join(", ")
            ));
        }
    }
}

/// A name for the check. One that adopt has made before is made anew; one of the user's stays.
fn free_name(facts: &Facts) -> String {
    let is_theirs = |name: &String| {
        let text = facts.project.get(&format!("checks/{name}.py"));
        text.is_some_and(|text| !text.starts_with(device::CHECK_HEAD.as_bytes()))
    };
    let names = (2..).map(|number| format!("{CHECK}-{number}"));
    std::iter::once(CHECK.to_owned()).chain(names).find(|name| !is_theirs(name)).unwrap_or_default()
}

/// The files of the check.
fn check(name: &str, devices: &[Device], facts: &Facts) -> Vec<(&'static str, String)> {
    let iocs: Vec<_> = facts.iocs.iter().map(|own| (facts.unit(own).unwrap_or("ioc"), &own.ioc.parts)).collect();
    vec![("py", device::check(devices, &iocs)), ("nix", crate::scaffold::check::nix(name))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tool_base::protocol::lint::{Exchange, Parts};

    fn source(text: &str) -> Source {
        Source { text: text.as_bytes().to_vec(), runs: false }
    }

    fn port(command: &str, address: &str, line: u32) -> Port {
        let (name, command) = (format!("L{line}"), command.to_owned());
        Port {
            name,
            command,
            address: address.to_owned(),
            file: "lab/iocBoot/iocA/st.cmd".to_owned(),
            line,
            column: 31,
        }
    }

    fn planned(script: &str, ports: Vec<Port>) -> Plan {
        let project =
            ["ioc/old/Makefile", "ioc.toml", "checks/simple.py", "checks/__builtins__.pyi", "checks/inputs.py"];
        planned_in(script, ports, &project.map(|path| (path.to_owned(), b"backend = \"sandbox\"\n".to_vec())).into())
    }

    fn planned_in(script: &str, ports: Vec<Port>, project: &BTreeMap<String, Vec<u8>>) -> Plan {
        let files = BTreeMap::from([("iocBoot/iocA/st.cmd".to_owned(), source(script))]);
        let exchange = |port: &Port| Exchange {
            port: port.name.clone(),
            out: vec![Some("a\n".to_owned())],
            answer: Some("1\n".to_owned()),
            function: "a.proto a".to_owned(),
            others: BTreeSet::new(),
        };
        let parts = Parts { exchanges: ports.iter().map(exchange).collect(), ports, ..Parts::default() };
        plan(&Facts {
            top: &Top { files, strange: vec!["out".to_owned()] },
            from: "lab",
            built: &BTreeMap::new(),
            iocs: &[Adopted {
                boot: Boot { name: "iocA".to_owned(), scripts: vec!["st.cmd".to_owned()] },
                app: "a".to_owned(),
                ioc: OfIoc { parts, ..OfIoc::default() },
            }],
            others: &[],
            project,
            shipped: &["checks/simple.py", "checks/__builtins__.pyi"].map(str::to_owned).into(),
        })
    }

    fn line(plan: &Plan, number: usize) -> String {
        let text = String::from_utf8_lossy(&plan.files["ioc/iocBoot/iocA/st.cmd"].text).into_owned();
        text.lines().nth(number - 1).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_example_goes_and_what_is_the_users_stays() {
        let plan = planned("#!../../bin/linux-x86_64/a\n", Vec::new());
        assert_eq!(plan.remove, ["checks/simple.py", "ioc/old/Makefile"]);
        assert!(plan.files["ioc/iocBoot/iocA/st.cmd"].runs);
        assert!(plan.files["ioc.toml"].text.windows(19).any(|text| text == b"backend = \"sandbox\""));
        let todo: Vec<&str> = plan.todo.iter().filter_map(|item| item.split(':').next()).collect();
        assert_eq!(todo, ["ioc/out", "checks/inputs.py"]);
        assert!(plan.files.contains_key("checks/inputs-2.py") && !plan.files.contains_key("checks/inputs.py"));
    }

    #[test]
    fn the_first_line_is_mended_and_places_follow() {
        let udp = "drvAsynIPPortConfigure(\"L1\", \"10.0.0.1:1 UDP\")\n";
        let plan = planned(udp, vec![port("drvAsynIPPortConfigure", "10.0.0.1:1 UDP", 1)]);
        assert_eq!(line(&plan, 1), "#!../../bin/linux-x86_64/a");
        assert!(plan.todo[0].starts_with("ioc/iocBoot/iocA/st.cmd:2: "), "{:?}", plan.todo);
        let plan = planned("#!a\r\niocInit\r\n", Vec::new());
        assert_eq!(plan.files["ioc/iocBoot/iocA/st.cmd"].text, b"#!a\niocInit\r\n", "no system executes `a\\r`");
    }

    #[test]
    fn simulators_of_before_stay() {
        let toml = "ioc = 1\n[ simulators.l1 ]\nport=9003 # theirs\n\n[simulators.mine]\nport = 9001 # taken\nenvironment.A = \"1\"\n\n\
                    [simulators.gone]\nioc = \"iocOld\" # no more\n[simulators.simulator]\npackage = \"psu-simulator\"\n\
                    [simulators]\nlate = { port = 9002 }\n";
        let project = [("ioc.toml", toml), ("simulators/l1.py", "theirs"), ("flake.nix", "{ l1-simulator = 1; }")];
        let script = "#!a\ndrvAsynIPPortConfigure(\"L1\", \"10.0.0.1:4001\")\n";
        let port = Port { line: 2, ..port("drvAsynIPPortConfigure", "10.0.0.1:4001", 1) };
        let plan = planned_in(script, vec![port], &project.map(|(path, text)| (path.to_owned(), text.into())).into());
        let toml = String::from_utf8_lossy(&plan.files["ioc.toml"].text).into_owned();
        assert!(toml.ends_with("\n[simulators.mine]\nport = 9001 # taken\nenvironment.A = \"1\"\n"), "{toml}");
        assert!(toml.contains("[simulators.l1]") && toml.contains("port = 9003"), "{toml}");
        assert!(!toml.contains("gone") && !toml.contains("psu-simulator"), "{toml}");
        assert!(
            plan.files.keys().all(|path| !path.starts_with("simulators/") && path != "flake.nix"),
            "what is theirs"
        );
        let todo: Vec<&str> = plan.todo.iter().map(|item| item.split_once(':').unwrap().0).collect();
        assert_eq!(todo, ["ioc.toml", "ioc.toml", "ioc/out", "simulators/l1.py"]);
    }

    #[test]
    fn a_line_that_opens_many_ports_has_a_variable_for_each() {
        let port = |name: &str| Port { name: name.to_owned(), ..port("drvAsynIPPortConfigure", "10.0.0.1:1", 2) };
        for (call, mended) in [
            (
                "drvAsynIPPortConfigure(\"$(N)\",   \"$(IP):1\")",
                "drvAsynIPPortConfigure(\"$(N)\",   \"${$(N)_ADDRESS=$(IP):1}\")",
            ),
            (
                "drvAsynIPPortConfigure \"${N}\", \"$(IP):1\"",
                "drvAsynIPPortConfigure \"${N}\", \"${${N}_ADDRESS=$(IP):1}\"",
            ),
        ] {
            let column = u32::try_from(call.find("$(IP)").unwrap()).unwrap() + 1;
            let ports = ["TPG1", "TPG2"].map(|name| Port { column, ..port(name) });
            let plan = planned(&format!("#!a\n{call}\n"), ports.to_vec());
            assert_eq!(line(&plan, 2), mended);
            let variables: Vec<&str> = plan.devices.iter().map(|own| own.variable.as_str()).collect();
            assert_eq!(variables, ["TPG1_ADDRESS", "TPG2_ADDRESS"], "{:?}", plan.todo);
        }
        assert_eq!(in_project("add to lab/a, `lab/b` or /site/lab/c", "lab"), "add to ioc/a, `ioc/b` or /site/lab/c");
    }

    #[test]
    fn an_address_comes_from_a_variable() {
        let script = "#!a\ndrvAsynIPPortConfigure(\"L2\", \"10.0.0.1:4001 TCP\")\ndrvAsynIPPortConfigure(\"L3\", \"${DEVICE=10.0.0.2:1}\")\n\
                      drvAsynIPPortConfigure(\"L4\",  $(IP):1)\ndrvAsynIPPortConfigure(\"L5\", \"10.0.0.1:1 UDP\")\n\
                      drvAsynIPPortConfigure(\"L6\", \"${DEVICE=10.0.0.2:1}\")\ndrvAsynIPPortConfigure(\"L7\", \"$(UNSET)\")\n\
                      drvAsynIPPortConfigure(\"L8\", \"$(SET)\")\ndrvAsynIPPortConfigure(\"L9\", \"$(IP):1\")\n";
        let ip = |address, line| port("drvAsynIPPortConfigure", address, line);
        let mut ports = vec![ip("10.0.0.1:4001 TCP", 2), ip("10.0.0.2:1", 3), ip("10.0.0.3:1", 4)];
        ports.extend([ip("10.0.0.1:1 UDP", 5), ip("10.0.0.2:1", 6)]);
        ports.extend([ip("…", 7), ip("10.0.0.3:2", 8), ip("…:1", 9)]);
        let plan = planned(script, ports);
        assert_eq!(line(&plan, 2), "drvAsynIPPortConfigure(\"L2\", \"${L2_ADDRESS=10.0.0.1:4001} TCP\")");
        assert_eq!(line(&plan, 3), "drvAsynIPPortConfigure(\"L3\", \"${DEVICE=10.0.0.2:1}\")");
        let variables: Vec<&str> = plan.devices.iter().map(|own| own.variable.as_str()).collect();
        let own = ["UNSET", "L8_ADDRESS", "L9_ADDRESS"];
        assert_eq!(variables, [&["L2_ADDRESS", "DEVICE", "L4_ADDRESS", "L6_ADDRESS"][..], &own].concat());
        assert_eq!(line(&plan, 7), "drvAsynIPPortConfigure(\"L7\", \"$(UNSET)\")");
        assert_eq!(line(&plan, 8), "drvAsynIPPortConfigure(\"L8\", \"${L8_ADDRESS=$(SET)}\")");
        let mended =
            "ioc/iocBoot/iocA/st.cmd:9: ${L9_ADDRESS=$(IP):1} instead of $(IP):1, so that checks reach a simulator";
        assert!(plan.mended.iter().any(|own| own == mended), "as it is written: {:?}", plan.mended);
        assert!(
            plan.todo[0].starts_with("ioc/iocBoot/iocA/st.cmd:5: drvAsynIPPortConfigure opens port L5"),
            "{:?}",
            plan.todo
        );
        assert!(plan.todo[2].contains("st.cmd:6: the address of port L6 cannot be told apart"), "{:?}", plan.todo);
        assert!(plan.todo[1].contains("st.cmd:4: the address of port L4 cannot be told apart"), "{:?}", plan.todo);
    }
}
