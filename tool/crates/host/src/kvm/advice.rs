//! Every cause of missing or slow KVM that we can tell apart, with its cause and its fix.

use crate::finding::{Entry, Fix, Severity};
use tool_base::ui;

/// The udev rule that opens the device to Nix's builders.
pub const RULE: &str = r#"KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm""#;

/// Where the rule belongs: after those of the distribution.
pub const RULE_FILE: &str = "/etc/udev/rules.d/99-kvm4all.rules";

/// A way to run checks without KVM.
pub struct Way {
    /// What to type.
    pub command: &'static str,
    /// What it means.
    pub what: &'static str,
    /// Whether Nix has to be there.
    pub needs_nix: bool,
    /// Whether the user's own KVM has to work for it to be quick.
    pub needs_kvm: bool,
}

impl Way {
    /// Prints it on two lines.
    pub fn print(&self, width: usize) {
        ui::data(&format!("  {}\n      {}", self.command, ui::wrap(self.what, 6, width)));
    }
}

/// The ways that need neither root nor a change of the machine, nor Nix's feature `kvm`.
pub const WITHOUT_FEATURE: [Way; 3] = [
    Way {
        command: "cargo xtask test --backend sandbox",
        what: "no VM at all: Linux namespaces, quick",
        needs_nix: false,
        needs_kvm: false,
    },
    Way {
        command: "cargo xtask test --backend driver",
        what: "the same VM, started by you outside Nix's builders: it uses the KVM that you have",
        needs_nix: true,
        needs_kvm: true,
    },
    Way {
        command: "cargo xtask test --accel tcg",
        what: "a VM that QEMU emulates: the whole machine, several times slower",
        needs_nix: true,
        needs_kvm: false,
    },
];

const OPEN_TO_ALL: &str = "\
Open the device to everyone by a udev rule; a chmod is lost at the next start. `cargo xtask check-kvm --fix` writes the rule.
$ echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"' | sudo tee /etc/udev/rules.d/99-kvm4all.rules
$ sudo udevadm control --reload-rules
$ sudo udevadm trigger --settle --name-match=kvm";

const BY_ITS_HOST: &str = "\
Start the container with the device open to everyone: change its mode on the host (`cargo xtask check-kvm --fix` there), which the container inherits.";

const ON_ITS_HOST: Fix = Fix::when(
    "container",
    "What is wrong lies outside this container: run `cargo xtask check-kvm` on its host, mend it there, and start the container anew.",
);

const ON_NIXOS: &str = "\
NixOS opens the device to everyone by itself: look for an entry in services.udev.extraRules that does otherwise, remove it, and rebuild.";

/// The table, in the order of the documentation.
pub static ALL: &[&Entry] = &[
    &NOT_LINUX,
    &ARM,
    &NO_CPU_SUPPORT,
    &FIRMWARE,
    &MODULE,
    &NESTED,
    &CONTAINER,
    &DEVICE_POLICY,
    &WSL1,
    &WSL2,
    &GROUP,
    &GROUP_NOT_ACTIVE,
    &ACL,
    &MODE,
    &BUSY,
    &STALE,
    &NOT_A_DEVICE,
    &API,
    &HANGS,
    &GUEST_FAILED,
    &EMULATED,
    &MAYBE_EMULATED,
    &UNKNOWN,
    &NOT_MEASURED,
    &BUILDERS,
    &NO_BUILD_USERS,
    &FEATURE_MISSING,
    &FEATURE_UNUSABLE,
    &NIX_CONF,
];

/// No Linux.
pub static NOT_LINUX: Entry = Entry {
    id: "kvm-not-linux",
    severity: Severity::Error,
    title: "this system has no KVM",
    cause: "KVM is a part of Linux. A Mac runs NixOS tests on a Linux builder, which is a virtual machine itself.",
    fixes: &[
        Fix::general("Run the checks on a Linux machine or in CI."),
        Fix::when(
            "macOS",
            "Use a Linux builder (nix-darwin: `nix.linux-builder.enable = true;`), on Apple M3 or later with nested virtualisation, or run the checks on a Linux machine or in CI.",
        ),
    ],
};

/// ARM without the device.
pub static ARM: Entry = Entry {
    id: "kvm-arm",
    severity: Severity::Error,
    title: "this ARM machine gives no KVM",
    cause: "On ARM the kernel offers KVM only where the firmware starts it in hypervisor mode (EL2). Boards with vendor firmware, and guests without nested virtualisation, start it below that (EL1).",
    fixes: &[Fix::general(
        "See what the kernel says; \"HYP mode not available\" means that the firmware or the hypervisor above must change.\n\
         $ sudo dmesg | grep -i -E 'kvm|hyp mode|EL2'",
    )],
};

/// Old or small CPU.
pub static NO_CPU_SUPPORT: Entry = Entry {
    id: "kvm-no-cpu-support",
    severity: Severity::Error,
    title: "the processor cannot virtualise",
    cause: "Neither the kernel nor the processor itself (CPUID) lists vmx (Intel VT-x) or svm (AMD-V).",
    fixes: &[Fix::general("No setting helps: use another machine for VM checks, and the sandbox here.")],
};

/// Off in the firmware.
pub static FIRMWARE: Entry = Entry {
    id: "kvm-disabled-in-firmware",
    severity: Severity::Error,
    title: "virtualisation is switched off in the firmware",
    cause: "The processor can virtualise, but BIOS or UEFI locked that before Linux started.",
    fixes: &[
        Fix::general(
            "Reboot into the firmware's setup and enable what it calls Virtualization, Intel Virtualization Technology, Intel VT, VT-d, SVM Mode or AMD-v (often under Advanced, CPU or Security); then switch the machine off and on.\n\
             $ systemctl reboot --firmware-setup",
        ),
        ON_ITS_HOST,
    ],
};

/// Module absent.
pub static MODULE: Entry = Entry {
    id: "kvm-module-not-loaded",
    severity: Severity::Error,
    title: "the kernel's KVM module is not loaded",
    cause: "The processor can virtualise and nothing forbids it, but the module of its maker is not in the kernel.",
    fixes: &[
        Fix::general(
            "Load it; if that fails, the last command says why (\"disabled by bios\" means the firmware).\n\
             $ sudo modprobe kvm_intel || sudo modprobe kvm_amd\n\
             $ sudo dmesg | grep -i kvm",
        ),
        Fix::when(
            "Intel",
            "Load it now and at every start; if that fails, the last command says why (\"disabled by bios\" means the firmware).\n\
             $ sudo modprobe kvm_intel\n\
             $ echo kvm_intel | sudo tee /etc/modules-load.d/kvm.conf\n\
             $ sudo dmesg | grep -i kvm",
        ),
        Fix::when(
            "AMD",
            "Load it now and at every start; if that fails, the last command says why (\"disabled by bios\" means the firmware).\n\
             $ sudo modprobe kvm_amd\n\
             $ echo kvm_amd | sudo tee /etc/modules-load.d/kvm.conf\n\
             $ sudo dmesg | grep -i kvm",
        ),
        Fix::when(
            "NixOS",
            "Add `boot.kernelModules = [ \"kvm-intel\" \"kvm-amd\" ];` to the configuration and rebuild.",
        ),
        Fix::when(
            "no module on disk",
            "This kernel has no KVM module: it is a small cloud or container kernel, or it was updated and the machine not rebooted. Install the distribution's full kernel, or reboot.",
        ),
    ],
};

/// Guest, nested off.
pub static NESTED: Entry = Entry {
    id: "kvm-guest-without-nested",
    severity: Severity::Error,
    title: "this is a virtual machine, and nested virtualisation is off",
    cause: "The hypervisor hides vmx and svm from this guest. Only its owner can change that, with the guest switched off.",
    fixes: &[
        Fix::general("Ask whoever runs the hypervisor to pass the processor's virtualisation through to this guest."),
        Fix::when(
            "VirtualBox",
            "On the computer that runs VirtualBox, with this VM, there called NAME, switched off (System, Processor, \"Enable Nested VT-x/AMD-V\"):\n\
             $ VBoxManage modifyvm NAME --nested-hw-virt on",
        ),
        Fix::when(
            "VMware",
            "Switch the VM off; in its settings, Processors, tick \"Virtualize Intel VT-x/EPT or AMD-V/RVI\" (vSphere: \"Expose hardware assisted virtualization to the guest OS\").",
        ),
        Fix::when(
            "Hyper-V",
            "In an administrator's PowerShell on the Windows host, with this VM, there called NAME, switched off:\n\
             $ Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true",
        ),
        Fix::when(
            "QEMU",
            "On the host, let KVM nest and give this guest the host's CPU (libvirt: `<cpu mode='host-passthrough'/>`; Proxmox: `qm set ID --cpu host`, with the number of the guest for ID), then switch the guest off and on.\n\
             $ cat /sys/module/kvm_*/parameters/nested\n\
             $ printf 'options kvm_%s nested=1\\n' intel amd | sudo tee /etc/modprobe.d/kvm-nested.conf",
        ),
        Fix::when(
            "Amazon EC2",
            "Use a `.metal` instance, or one of the newer types for which nested virtualisation can be enabled at launch.",
        ),
        Fix::when(
            "Google Cloud",
            "Use an Intel type (not E2) and enable nesting, with the instance, NAME in ZONE, stopped:\n\
             $ gcloud compute instances export NAME --destination=vm.yaml --zone=ZONE\n\
             $ printf 'advancedMachineFeatures:\\n  enableNestedVirtualization: true\\n' >> vm.yaml\n\
             $ gcloud compute instances update-from-file NAME --source=vm.yaml --zone=ZONE --most-disruptive-allowed-action=RESTART",
        ),
        Fix::when(
            "Azure",
            "Resize to a type with nested virtualisation (Dv3, Ev3 or later of the Intel families) and keep the security type Standard.",
        ),
        Fix::when(
            "a small cloud",
            "Providers of small virtual servers seldom allow nesting: take a dedicated server, or ask the support.",
        ),
    ],
};

/// Container.
pub static CONTAINER: Entry = Entry {
    id: "kvm-container",
    severity: Severity::Error,
    title: "this container was not given /dev/kvm",
    cause: "A container sees only the devices that it is started with.",
    fixes: &[
        Fix::general("Start the container with the device /dev/kvm of its host."),
        Fix::when(
            "docker",
            "Where the container is started, give it the device (`…`: the rest of your command); in a compose file: `devices: [/dev/kvm]`.\n$ docker run --device /dev/kvm …",
        ),
        Fix::when(
            "podman",
            "Where the container is started, give it the device (`…`: the rest of your command), and keep your groups where podman runs as you.\n$ podman run --device /dev/kvm --group-add keep-groups …",
        ),
        Fix::when(
            "kubernetes",
            "Give the pod the device through a device plugin (such as KubeVirt's devices.kubevirt.io/kvm), on a node that has it.",
        ),
        Fix::when(
            "lxc",
            "On the host, for the container NAME (Incus: `incus` for `lxc`):\n$ lxc config device add NAME kvm unix-char path=/dev/kvm mode=0666",
        ),
        Fix::when(
            "systemd-nspawn",
            "Where the container is started, give it the device (`…`: the rest of your command).\n$ systemd-nspawn --bind=/dev/kvm --property=DeviceAllow='/dev/kvm rw' …",
        ),
    ],
};

/// EPERM.
pub static DEVICE_POLICY: Entry = Entry {
    id: "kvm-device-policy",
    severity: Severity::Error,
    title: "a device policy forbids /dev/kvm",
    cause: "The mode of the device would let us in, yet the kernel says EPERM: the control group of this container or service does not allow the device.",
    fixes: &[
        Fix::general(
            "Allow the device where the container or the service is started (systemd: `DeviceAllow=/dev/kvm rw`).",
        ),
        Fix::when(
            "docker",
            "A node made by hand or a bind mount is not enough: let docker allow the device where the container is started (`…`: the rest of your command).\n$ docker run --device /dev/kvm …",
        ),
        Fix::when(
            "podman",
            "A bind mount is not enough: let podman allow the device where the container is started (`…`: the rest of your command).\n$ podman run --device /dev/kvm --group-add keep-groups …",
        ),
        Fix::when(
            "systemd-nspawn",
            "Allow the device where the container is started (`…`: the rest of your command).\n$ systemd-nspawn --bind=/dev/kvm --property=DeviceAllow='/dev/kvm rw' …",
        ),
    ],
};

/// WSL 1.
pub static WSL1: Entry = Entry {
    id: "kvm-wsl1",
    severity: Severity::Error,
    title: "WSL 1 has no Linux kernel, hence no KVM",
    cause: "WSL 1 translates system calls; only WSL 2 is a virtual machine with a kernel.",
    fixes: &[Fix::general(
        "In PowerShell on Windows 11, for DISTRIBUTION as `wsl --list` names it; then see the advice for WSL 2:\n$ wsl --set-version DISTRIBUTION 2",
    )],
};

/// WSL 2.
pub static WSL2: Entry = Entry {
    id: "kvm-wsl2",
    severity: Severity::Error,
    title: "this WSL 2 machine has no KVM",
    cause: "WSL 2 gives /dev/kvm only on Windows 11 (or Server 2022) with nested virtualisation on, and a current WSL.",
    fixes: &[Fix::general(
        "In PowerShell: update WSL, put `nestedVirtualization=true` below `[wsl2]` in `%UserProfile%\\.wslconfig`, and restart WSL. Virtualisation must be on in the firmware.\n\
         $ wsl --update\n\
         $ wsl --shutdown",
    )],
};

/// Not in the group.
pub static GROUP: Entry = Entry {
    id: "kvm-not-in-group",
    severity: Severity::Error,
    title: "you are not in the group of /dev/kvm",
    cause: "The device is open to its owner and its group only.",
    fixes: &[
        Fix::general(
            "Join the group, then log out and in again (or use `newgrp` in one terminal).\n$ sudo usermod -aG \"$(stat -c %G /dev/kvm)\" \"$USER\"",
        ),
        Fix::when(
            "NixOS",
            "Add `users.users.NAME.extraGroups = [ \"kvm\" ];`, with your name, to the configuration, rebuild, and log in again.",
        ),
        Fix::when("builders too", OPEN_TO_ALL),
        Fix::when("builders in a container", BY_ITS_HOST),
        Fix::when(
            "docker",
            "Where the container is started, give it the group of the device (`…`: the rest of your command).\n\
             $ docker run --device /dev/kvm --group-add \"$(stat -c %g /dev/kvm)\" …",
        ),
        Fix::when(
            "podman",
            "Where the container is started, let it keep your groups (you have to be in the group of the device there; `…`: the rest of your command).\n\
             $ podman run --device /dev/kvm --group-add keep-groups …",
        ),
        Fix::when(
            "container",
            "Start the container with the group of the device, or with the device open to everyone.",
        ),
    ],
};

/// In the group since the session began.
pub static GROUP_NOT_ACTIVE: Entry = Entry {
    id: "kvm-group-not-active",
    severity: Severity::Error,
    title: "you joined the group of /dev/kvm, but this session has not noticed",
    cause: "A session takes its groups when it begins.",
    fixes: &[Fix::general(
        "Log out and in again; a desktop, tmux or an editor's server may keep the old session, then reboot. For this terminal alone:\n$ newgrp \"$(stat -c %G /dev/kvm)\"",
    )],
};

/// ACL.
pub static ACL: Entry = Entry {
    id: "kvm-acl",
    severity: Severity::Error,
    title: "an access control list on /dev/kvm keeps you out",
    cause: "An entry for you, for one of your groups, or the mask of the list gives less than reading and writing.",
    fixes: &[Fix::general("See the list, then drop it.\n$ getfacl /dev/kvm\n$ sudo setfacl -b /dev/kvm"), ON_ITS_HOST],
};

/// 0600.
pub static MODE: Entry = Entry {
    id: "kvm-mode",
    severity: Severity::Error,
    title: "the mode of /dev/kvm keeps everyone but its owner out",
    cause: "Neither the group nor others may read and write the device, so joining a group would not help.",
    fixes: &[Fix::general(OPEN_TO_ALL), Fix::when("NixOS", ON_NIXOS), Fix::when("container", BY_ITS_HOST)],
};

/// EBUSY.
pub static BUSY: Entry = Entry {
    id: "kvm-busy",
    severity: Severity::Error,
    title: "another hypervisor holds the processor's virtualisation",
    cause: "VirtualBox, VMware and KVM cannot use it at the same time on most machines.",
    fixes: &[
        Fix::general(
            "Stop the machines of the other hypervisor; if that is not enough, see which module is its own, and unload it.\n$ lsmod",
        ),
        Fix::when(
            "VirtualBox",
            "Stop the virtual machines of VirtualBox; if that is not enough, unload its modules.\n$ sudo modprobe -r vboxnetadp vboxnetflt vboxdrv",
        ),
        Fix::when(
            "VMware",
            "Stop the virtual machines of VMware; if that is not enough, unload its module.\n$ sudo modprobe -r vmmon",
        ),
        ON_ITS_HOST,
    ],
};

/// ENODEV, or no node.
pub static STALE: Entry = Entry {
    id: "kvm-stale-node",
    severity: Severity::Error,
    title: "/dev/kvm does not lead to the kernel's KVM",
    cause: "A node in /dev is only a pair of numbers. It was made by hand, kept from an image, or left when the module was unloaded; or the module is loaded and the node was never made.",
    fixes: &[
        Fix::general(
            "Remove the node and let the module and udev make it anew.\n\
             $ sudo rm /dev/kvm\n\
             $ sudo modprobe -r kvm_intel kvm_amd kvm\n\
             $ sudo modprobe kvm_intel || sudo modprobe kvm_amd",
        ),
        ON_ITS_HOST,
        Fix::when(
            "no node",
            "Make it, and let udev set its mode.\n$ sudo mknod /dev/kvm c 10 232\n$ sudo udevadm trigger --settle --name-match=kvm",
        ),
    ],
};

/// Plain file.
pub static NOT_A_DEVICE: Entry = Entry {
    id: "kvm-not-a-device",
    severity: Severity::Error,
    title: "/dev/kvm is not a device",
    cause: "Something else was put in its place, for example by a program that wrote to it before it was there, or by a container that bind-mounts a folder.",
    fixes: &[
        Fix::general(
            "See what it is, then remove it and load the module anew.\n\
         $ ls -ld /dev/kvm\n\
         $ sudo rm -r /dev/kvm\n\
         $ sudo modprobe -r kvm_intel kvm_amd kvm\n\
         $ sudo modprobe kvm_intel || sudo modprobe kvm_amd",
        ),
        ON_ITS_HOST,
    ],
};

/// Not version 12.
pub static API: Entry = Entry {
    id: "kvm-api-version",
    severity: Severity::Error,
    title: "KVM speaks another version of its interface",
    cause: "Every KVM since Linux 2.6.22 speaks version 12; QEMU accepts no other.",
    fixes: &[Fix::general("Run a current kernel.")],
};

/// Hung.
pub static HANGS: Entry = Entry {
    id: "kvm-hangs",
    severity: Severity::Error,
    title: "KVM answers, then hangs",
    cause: "A guest of five instructions did not end in two seconds. The hypervisor above us, or the kernel, is at fault: a test would hang as well.",
    fixes: &[Fix::general(
        "Reboot; on a virtual machine, report it to whoever runs the hypervisor. Until then do not use KVM here:\n$ cargo xtask test --backend sandbox",
    )],
};

/// Guest died.
pub static GUEST_FAILED: Entry = Entry {
    id: "kvm-guest-failed",
    severity: Severity::Error,
    title: "KVM makes a virtual machine, but cannot run it",
    cause: "A guest of five instructions ended in another way than it should. Nested virtualisation of the hypervisor above us is broken, or the processor's microcode is.",
    fixes: &[
        Fix::general(
            "See what the kernel says, and update kernel, firmware and the hypervisor above.\n$ sudo dmesg | grep -i kvm | tail",
        ),
        ON_ITS_HOST,
    ],
};

/// Emulated.
pub static EMULATED: Entry = Entry {
    id: "kvm-emulated",
    severity: Severity::Error,
    title: "KVM answers but is emulated: tests would hang or crawl",
    cause: "A loop in a guest runs far slower than on real hardware, which does hundreds of millions of rounds a second. The virtualisation of this machine is done in software; QEMU may stop at once, and a Linux guest may never finish booting.",
    fixes: &[Fix::general(
        "Do not use KVM here. The sandbox needs none, and QEMU's own emulation (tcg) is quicker than this:\n\
         $ cargo xtask test --backend sandbox\n\
         $ cargo xtask test --accel tcg",
    )],
};

/// Perhaps emulated.
pub static MAYBE_EMULATED: Entry = Entry {
    id: "kvm-maybe-emulated",
    severity: Severity::Warning,
    title: "KVM may be emulated here",
    cause: "There is a device, yet the processor lists no virtualisation; you may not open the device, so its speed could not be measured.",
    fixes: &[Fix::general(
        "Measure as root before you change permissions: it may not be worth it.\n$ sudo target/debug/xtask check-kvm --for user",
    )],
};

/// Any other error.
pub static UNKNOWN: Entry = Entry {
    id: "kvm-unknown-error",
    severity: Severity::Error,
    title: "KVM failed in a way that we have no name for",
    cause: "The kernel refused a step of making and running a virtual machine.",
    fixes: &[Fix::general("See what the kernel says.\n$ sudo dmesg | grep -i kvm | tail"), ON_ITS_HOST],
};

/// No measurement.
pub static NOT_MEASURED: Entry = Entry {
    id: "kvm-not-measured",
    severity: Severity::Note,
    title: "the speed of KVM was not measured",
    cause: "A virtual machine and a processor in it were made, but running a guest is measured on x86-64 only.",
    fixes: &[Fix::general("Nothing: trust it, and watch how long a check takes.")],
};

/// Builders shut out.
pub static BUILDERS: Entry = Entry {
    id: "kvm-builders-shut-out",
    severity: Severity::Error,
    title: "Nix's builders may not open /dev/kvm",
    cause: "Nix drops all supplementary groups of its build users when it enters the build sandbox, so membership in group kvm never reaches them: only mode 0666 does.",
    fixes: &[Fix::general(OPEN_TO_ALL), Fix::when("NixOS", ON_NIXOS), Fix::when("container", BY_ITS_HOST)],
};

/// Nobody to build as.
pub static NO_BUILD_USERS: Entry = Entry {
    id: "nix-no-build-users",
    severity: Severity::Error,
    title: "Nix has no build users: it refuses every build",
    cause: "A Nix that root or a daemon runs builds as the members of a group, nixbld unless `build-users-group` in nix.conf says otherwise. The group is not there, or empty.",
    fixes: &[
        Fix::general(
            "Make them, as the installer of Nix does.\n\
             $ sudo groupadd --system nixbld\n\
             $ for n in 1 2 3 4 5 6 7 8 9 10; do sudo useradd --system -g nixbld -G nixbld -d /var/empty -s /bin/false nixbld$n; done",
        ),
        Fix::when(
            "debian",
            "Install the part of the package that makes them.\n$ sudo apt-get install nix-setup-systemd",
        ),
        Fix::when(
            "ubuntu",
            "Install the part of the package that makes them.\n$ sudo apt-get install nix-setup-systemd",
        ),
        Fix::when("NixOS", "NixOS makes them by itself: see `nix.nrBuildUsers` in the configuration, and rebuild."),
        Fix::when(
            "container",
            "Root may build by itself, which will do in a container. As root:\n\
             $ mkdir -p /etc/nix && echo 'build-users-group =' >> /etc/nix/nix.conf",
        ),
    ],
};

/// No feature.
pub static FEATURE_MISSING: Entry = Entry {
    id: "nix-feature-missing",
    severity: Severity::Error,
    title: "Nix does not advertise the feature kvm",
    cause: "Nix refuses to build a test that requires kvm. It advertises kvm by itself where its daemon can open /dev/kvm, unless `system-features` says otherwise.",
    fixes: &[
        Fix::general(
            "Lift the refusal; tests then run without KVM, much slower. Both backends below need no change and no root.\n\
             $ cargo xtask configure-nix\n\
             $ cargo xtask test --backend driver\n\
             $ cargo xtask test --backend sandbox",
        ),
        Fix::when(
            "the file says so",
            "The file sets `system-features` without kvm: add it, then restart the daemon.\n\
             $ cargo xtask configure-nix",
        ),
    ],
};

/// Feature but no device.
pub static FEATURE_UNUSABLE: Entry = Entry {
    id: "nix-feature-unusable",
    severity: Severity::Warning,
    title: "Nix advertises kvm, but its builders cannot use it",
    cause: "The feature is a promise that nobody checks: Nix starts the test, QEMU finds no usable KVM and falls back to emulation in silence, many times slower, until a timeout fires.",
    fixes: &[Fix::general(
        "Mend what is named above, or choose a way that needs no KVM:\n$ cargo xtask test --backend sandbox",
    )],
};

/// Bad nix.conf.
pub static NIX_CONF: Entry = Entry {
    id: "nix-conf-error",
    severity: Severity::Error,
    title: "the configuration of Nix has an error",
    cause: "Nix refuses every command until the file is mended.",
    fixes: &[Fix::general("Mend the named line by hand.")],
};
