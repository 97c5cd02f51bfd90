//! Judges the facts: who can use KVM, and why not. Pure functions, no reading.

use serde::Serialize;

use super::access::{PERMISSION, builders_finding, error_name, shown, shut_out};
use super::advice;
use super::facts::{Device, Facts, Node};
use super::used::{Step, Use};
use crate::finding::Finding;
use crate::nix::facts::{Builders, Nix};

/// Rounds a second below which KVM counts as emulated. Hardware does hundreds of millions, emulation about one.
const EMULATED_BELOW: f64 = 30e6;

/// One answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The answer.
    pub answer: Known,
    /// What it rests on.
    pub why: String,
}

/// What can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Yes.
    Yes,
    /// No.
    No,
    /// The question makes no sense here.
    NotApplicable,
}

/// The three answers and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Can the user use KVM?
    pub user: Answer,
    /// Can Nix's builders?
    pub builders: Answer,
    /// Does Nix advertise the feature?
    pub advertised: Answer,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
}

/// Whose KVM is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum For {
    /// The caller.
    User,
    /// Nix's builders.
    Builders,
}

impl Report {
    /// Whether VMs are accelerated there.
    pub fn ready(&self, whom: For) -> bool {
        match whom {
            For::User => self.user.answer == Known::Yes,
            For::Builders => self.builders.answer == Known::Yes && self.advertised.answer == Known::Yes,
        }
    }
}

/// Where checks run when nobody says: with the builders where Nix has separate ones, else as the user.
pub fn usual(facts: &Facts) -> For {
    match &facts.nix {
        Some(nix) if nix.builders != Builders::Caller => For::Builders,
        _ => For::User,
    }
}

/// Judges everything.
pub fn report(facts: &Facts) -> Report {
    let mine = user_finding(facts);
    let builders = facts.nix.as_ref().map(|nix| builders_finding(facts, nix, mine.as_ref()));
    let user = match (&mine, &facts.used) {
        (None, Some(used)) => yes(works(used)),
        (None, None) => yes("not tried".to_owned()),
        (Some(f), _) => no(f),
    };
    let builder_answer = match (&builders, &facts.nix) {
        (None, _) | (_, None) => Answer { answer: Known::NotApplicable, why: "Nix is not installed".to_owned() },
        (Some(Some(f)), _) => no(f),
        (Some(None), Some(nix)) => yes(builders_why(facts, nix)),
    };
    let advertised = match &facts.nix {
        None => Answer { answer: Known::NotApplicable, why: "Nix is not installed".to_owned() },
        Some(nix) => advertised(facts, nix),
    };

    let mut findings = Vec::new();
    if let Some(nix) = &facts.nix {
        findings.extend(nix.conf_error.as_ref().map(|e| Finding::new(&advice::NIX_CONF, e)));
        if advertised.answer == Known::No && nix.conf_error.is_none() {
            let case = if nix.features.list.is_some() { "the file says so" } else { "" };
            let finding = Finding::of_case(&advice::FEATURE_MISSING, case, &advertised.why);
            findings.push(finding);
        }
        if let (Known::Yes, Some(Some(shut))) = (advertised.answer, &builders) {
            let evidence = format!("{}; {}", advertised.why, shut.title);
            findings.push(Finding::new(&advice::FEATURE_UNUSABLE, evidence));
        }
    }
    findings.extend(builders.flatten().filter(|f| mine.as_ref().is_none_or(|m| m.id != f.id)));
    findings.extend(mine.clone());
    findings.extend(maybe_emulated(facts, mine.as_ref()));
    if matches!(&facts.used, Some(Use { step: Step::Done, rounds_per_second: None, .. })) {
        findings.push(Finding::new(&advice::NOT_MEASURED, format!("architecture {}", facts.arch)));
    }
    // The cause comes before what follows from it: the device first, then the builders, then Nix's feature.
    findings.reverse();
    findings.sort_by_key(|f| f.severity);
    Report { user, builders: builder_answer, advertised, findings }
}

fn yes(why: String) -> Answer {
    Answer { answer: Known::Yes, why }
}

fn no(finding: &Finding) -> Answer {
    Answer { answer: Known::No, why: finding.title.to_owned() }
}

/// What a good probe has shown.
fn works(used: &Use) -> String {
    match used.rounds_per_second {
        Some(rate) => format!("a guest ran, {} rounds a second", millions(rate)),
        None => "a VM and a virtual CPU were made; the speed was not measured".to_owned(),
    }
}

/// `1.0 million`, `812 million`.
pub fn millions(rate: f64) -> String {
    if rate < 10e6 { format!("{:.1} million", rate / 1e6) } else { format!("{:.0} million", rate / 1e6) }
}

/// Why the user cannot use KVM; `None` where that works.
fn user_finding(facts: &Facts) -> Option<Finding> {
    if facts.os != "linux" {
        let case = if facts.os == "macos" { "macOS" } else { "" };
        return Some(Finding::of_case(&advice::NOT_LINUX, case, format!("operating system {}", facts.os)));
    }
    if facts.wsl == Some(1) {
        return Some(Finding::new(&advice::WSL1, format!("kernel {}", facts.kernel.as_deref().unwrap_or("unknown"))));
    }
    match &facts.device {
        Device::Missing => Some(no_device(facts)),
        Device::Present(node) => facts.used.as_ref().and_then(|used| use_finding(facts, node, used)),
    }
}

/// Why there is no device, or why it leads nowhere.
fn no_device(facts: &Facts) -> Finding {
    let missing = "/dev/kvm does not exist";
    if let Some(container) = &facts.container {
        return Finding::of_case(&advice::CONTAINER, container, format!("{missing} in this {container} container"));
    }
    if facts.wsl == Some(2) {
        let kernel = facts.kernel.as_deref().unwrap_or("unknown");
        return Finding::new(&advice::WSL2, format!("{missing}; kernel {kernel}"));
    }
    if facts.arch == "aarch64" || facts.arch == "arm" {
        return Finding::new(&advice::ARM, format!("{missing}; architecture {}", facts.arch));
    }
    let device = if facts.device == Device::Missing { missing } else { "/dev/kvm leads nowhere" };
    no_hardware(facts, device).unwrap_or_else(|| {
        let loaded = loaded(facts);
        let Some(module) = vendor_module(facts) else {
            let case = match (facts.modules.available, facts.distribution.as_deref()) {
                (Some(false), _) => "no module on disk",
                (_, Some("nixos")) => "NixOS",
                _ => maker(facts),
            };
            return Finding::of_case(&advice::MODULE, case, format!("{device}; modules loaded: {loaded}"));
        };
        let case = if facts.device == Device::Missing { "no node" } else { "" };
        Finding::of_case(&advice::STALE, case, format!("{device}, yet module {module} is loaded"))
    })
}

/// Why the processor offers no virtualisation; `None` where it does as far as one can see.
fn no_hardware(facts: &Facts, device: &str) -> Option<Finding> {
    let cpu = &facts.cpu;
    let model = cpu.model.as_deref().unwrap_or("unknown");
    let by_firmware = |line: &&String| line.to_lowercase().contains("by bios");
    if let Some(line) = facts.modules.log.iter().find(by_firmware) {
        return Some(Finding::of_case(&advice::FIRMWARE, facts.case(""), format!("the kernel says: {}", line.trim())));
    }
    match (cpu.flag, cpu.cpuid, cpu.hypervisor) {
        (true, _, _) => None,
        (false, Some(true), false) => {
            let evidence =
                format!("{device}; {model} has virtualisation (CPUID), the kernel lists neither vmx nor svm");
            Some(Finding::of_case(&advice::FIRMWARE, facts.case(""), evidence))
        }
        (false, _, true) => {
            let product = facts.product.as_deref().unwrap_or("");
            let of = if product.is_empty() { String::new() } else { format!(" of {product}") };
            let evidence = format!("{device}; this is a guest{of}; the kernel lists neither vmx nor svm");
            Some(Finding::of_case(&advice::NESTED, hypervisor(product), evidence))
        }
        (false, _, false) => {
            let evidence = format!("{device}; {model} has neither vmx nor svm");
            Some(Finding::new(&advice::NO_CPU_SUPPORT, evidence))
        }
    }
}

/// The hypervisor above us, by what the firmware calls the machine.
fn hypervisor(product: &str) -> &'static str {
    let table = [
        ("VirtualBox", "VirtualBox"),
        ("VMware", "VMware"),
        ("Amazon EC2", "Amazon EC2"),
        ("Google", "Google Cloud"),
        ("(Azure)", "Azure"),
        ("Microsoft Corporation Virtual Machine", "Hyper-V"),
        ("DigitalOcean", "a small cloud"),
        ("Hetzner", "a small cloud"),
        ("Vultr", "a small cloud"),
        ("Akamai", "a small cloud"),
        ("Linode", "a small cloud"),
        ("QEMU", "QEMU"),
        ("Proxmox", "QEMU"),
        ("Bochs", "QEMU"),
        ("KVM", "QEMU"),
    ];
    table.iter().find(|(sign, _)| product.contains(sign)).map_or("", |(_, name)| name)
}

fn loaded(facts: &Facts) -> String {
    if facts.modules.loaded.is_empty() { "none".to_owned() } else { facts.modules.loaded.join(" ") }
}

/// The module that drives the processor; `kvm` alone does nothing.
fn vendor_module(facts: &Facts) -> Option<&str> {
    facts.modules.loaded.iter().map(String::as_str).find(|m| m.starts_with("kvm_"))
}

fn maker(facts: &Facts) -> &'static str {
    match facts.cpu.vendor.as_deref() {
        Some("GenuineIntel") => "Intel",
        Some("AuthenticAMD" | "HygonGenuine") => "AMD",
        _ => "",
    }
}

/// Judges what happened when a user used the device.
fn use_finding(facts: &Facts, node: &Node, used: &Use) -> Option<Finding> {
    if node.kind != "character device" {
        let evidence = format!("/dev/kvm is a {}", node.kind);
        return Some(Finding::of_case(&advice::NOT_A_DEVICE, facts.case(""), evidence));
    }
    let failed = |what: &str| format!("{what}: {}", error_name(used.errno));
    match (used.step, used.errno) {
        (Step::Done, _) => emulated(facts, used),
        (Step::Hung, _) => Some(Finding::new(&advice::HANGS, format!("killed after {:.1} s", used.millis / 1e3))),
        (Step::Run, None) => {
            let exit = used.exit.as_deref().unwrap_or("unknown");
            let evidence = format!("the guest ended with {exit} instead of HLT");
            Some(Finding::of_case(&advice::GUEST_FAILED, facts.case(""), evidence))
        }
        (Step::ApiVersion, None) => {
            let version = used.api.map_or("unknown".to_owned(), |v| v.to_string());
            Some(Finding::new(&advice::API, format!("version {version}, not 12")))
        }
        (Step::Open, Some(EACCES)) => Some(shut_out(facts, node)),
        (Step::Open, Some(EPERM)) => {
            let container = facts.container.as_deref().unwrap_or("");
            let evidence = format!("{} although {}", failed("opening /dev/kvm"), shown(node));
            Some(Finding::of_case(&advice::DEVICE_POLICY, container, evidence))
        }
        (Step::Open, Some(ENOENT)) => Some(no_device(facts)),
        (Step::Open, Some(ENODEV | ENXIO)) | (Step::ApiVersion, Some(_)) => Some(stale(facts, node, used)),
        (_, Some(EBUSY)) => {
            let others = &facts.modules.others;
            let case = match others.first().map(String::as_str) {
                Some("vboxdrv") => "VirtualBox",
                Some("vmmon") => "VMware",
                _ => "",
            };
            let also = if others.is_empty() { String::new() } else { format!("; loaded: {}", others.join(" ")) };
            Some(Finding::of_case(&advice::BUSY, facts.case(case), failed("making a VM") + &also))
        }
        (step, _) => Some(Finding::of_case(&advice::UNKNOWN, facts.case(""), failed(step_name(step)))),
    }
}

fn emulated(facts: &Facts, used: &Use) -> Option<Finding> {
    let rate = used.rounds_per_second.filter(|&r| r < EMULATED_BELOW)?;
    let module = vendor_module(facts).map_or(String::new(), |m| format!(" (module {m})"));
    let evidence = format!("{} rounds a second in a guest{module}; hardware does hundreds of millions", millions(rate));
    Some(Finding::new(&advice::EMULATED, evidence))
}

/// A device that we could not measure, on a processor that lists no virtualisation.
fn maybe_emulated(facts: &Facts, mine: Option<&Finding>) -> Option<Finding> {
    let permission = mine.is_some_and(|f| PERMISSION.contains(&f.id));
    let x86 = facts.arch == "x86_64" || facts.arch == "x86";
    (permission && x86 && !facts.cpu.flag).then(|| {
        let evidence = format!("/dev/kvm is there, but neither vmx nor svm; modules loaded: {}", loaded(facts));
        Finding::new(&advice::MAYBE_EMULATED, evidence)
    })
}

/// The node is there, but nothing answers behind it.
fn stale(facts: &Facts, node: &Node, used: &Use) -> Finding {
    let number = node.number.map_or("none".to_owned(), |(major, minor)| format!("{major}:{minor}"));
    if node.registered.is_none() && used.step == Step::Open {
        // A static node, made at boot: opening it loads the module, which failed.
        if let Some(finding) = no_hardware(facts, "/dev/kvm leads nowhere") {
            return finding;
        }
        if vendor_module(facts).is_none() && facts.container.is_none() {
            return no_device(facts);
        }
    }
    let real = node.registered.map_or("KVM is not registered".to_owned(), |minor| format!("KVM is 10:{minor}"));
    let evidence = format!("the node is {number}, in the kernel {real}: {}", error_name(used.errno));
    Finding::of_case(&advice::STALE, facts.case(""), evidence)
}

fn builders_why(facts: &Facts, nix: &Nix) -> String {
    match (&nix.used, nix.builders, &facts.device) {
        (_, Builders::Caller, _) => "this Nix builds as you".to_owned(),
        (_, Builders::Root, _) => "this Nix builds as root".to_owned(),
        (Some(used), _, _) if used.step == Step::Done => {
            let name = nix.build_users.first().map_or("a build user", String::as_str);
            format!("tried as {name}: {}", works(used))
        }
        (_, _, Device::Present(node)) => format!("{}, by its permissions", shown(node)),
        (_, _, Device::Missing) => "the device is there".to_owned(),
    }
}

/// Whether Nix lets tests in that require kvm, as its daemon decides when it starts.
pub fn advertised(facts: &Facts, nix: &Nix) -> Answer {
    if nix.conf_error.is_some() {
        return Answer { answer: Known::No, why: format!("{} has an error", nix.conf) };
    }
    let finds = match (&facts.device, nix.builders) {
        (Device::Present(node), Builders::BuildUsers | Builders::Root) => node.kind == "character device",
        (Device::Present(_), Builders::Caller) => facts.used.as_ref().is_some_and(|u| u.step > Step::Open),
        (Device::Missing, _) => false,
    };
    let who = if nix.builders == Builders::Caller { "Nix" } else { "Nix, as root," };
    match (nix.features.has("kvm"), finds) {
        (Some(true), _) => yes(format!("{} says so", nix.conf)),
        (Some(false), _) => Answer { answer: Known::No, why: format!("{} sets system-features without kvm", nix.conf) },
        (None, true) => yes(format!("{who} finds /dev/kvm by itself")),
        (None, false) => Answer { answer: Known::No, why: format!("{who} finds no /dev/kvm that it can open") },
    }
}

// The numbers of Linux, written out so that judging needs no Linux.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Start => "starting the probe",
        Step::Open => "opening /dev/kvm",
        Step::ApiVersion => "asking for the version",
        Step::CreateVm => "making a VM",
        Step::Memory => "giving the VM memory",
        Step::CreateVcpu => "making a virtual CPU",
        Step::Run | Step::Hung | Step::Done => "running a guest",
    }
}
