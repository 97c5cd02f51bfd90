//! Every cause of missing or slow KVM that we can tell apart, with its cause and its fix.

use crate::finding::{Fix, all, entries, when};
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

const ON_ITS_HOST: Fix = when(
    "container",
    "What is wrong lies outside this container: run `cargo xtask check-kvm` on its host, mend it there, and start the container anew.",
);

const ON_NIXOS: &str = "\
NixOS opens the device to everyone by itself: look for an entry in services.udev.extraRules that does otherwise, remove it, and rebuild.";

entries! {
    NOT_LINUX "kvm-not-linux" Error "this system has no KVM"
    "KVM is a part of Linux. A Mac runs NixOS tests on a Linux builder, which is a virtual machine itself." [
        all("Run the checks on a Linux machine or in CI."),
        when("macOS", "Use a Linux builder (nix-darwin: `nix.linux-builder.enable = true;`), on Apple M3 or later with nested virtualisation, or run the checks on a Linux machine or in CI."),
    ]

    ARM "kvm-arm" Error "this ARM machine gives no KVM"
    "On ARM the kernel offers KVM only where the firmware starts it in hypervisor mode (EL2). Boards with vendor firmware, and guests without nested virtualisation, start it below that (EL1)." [
        all("See what the kernel says; \"HYP mode not available\" means that the firmware or the hypervisor above must change.\n\
            $ sudo dmesg | grep -i -E 'kvm|hyp mode|EL2'"),
    ]

    NO_CPU_SUPPORT "kvm-no-cpu-support" Error "the processor cannot virtualise"
    "Neither the kernel nor the processor itself (CPUID) lists vmx (Intel VT-x) or svm (AMD-V)." [
        all("No setting helps: use another machine for VM checks, and the sandbox here."),
    ]

    FIRMWARE "kvm-disabled-in-firmware" Error "virtualisation is switched off in the firmware"
    "The processor can virtualise, but BIOS or UEFI locked that before Linux started." [
        all("Reboot into the firmware's setup and enable what it calls Virtualization, Intel Virtualization Technology, Intel VT, VT-d, SVM Mode or AMD-v (often under Advanced, CPU or Security); then switch the machine off and on.\n\
            $ systemctl reboot --firmware-setup"),
        ON_ITS_HOST,
    ]

    MODULE "kvm-module-not-loaded" Error "the kernel's KVM module is not loaded"
    "The processor can virtualise and nothing forbids it, but the module of its maker is not in the kernel." [
        all("Load it; if that fails, the last command says why (\"disabled by bios\" means the firmware).\n\
            $ sudo modprobe kvm_intel || sudo modprobe kvm_amd\n\
            $ sudo dmesg | grep -i kvm"),
        when("Intel", "Load it now and at every start; if that fails, the last command says why (\"disabled by bios\" means the firmware).\n\
            $ sudo modprobe kvm_intel\n\
            $ echo kvm_intel | sudo tee /etc/modules-load.d/kvm.conf\n\
            $ sudo dmesg | grep -i kvm"),
        when("AMD", "Load it now and at every start; if that fails, the last command says why (\"disabled by bios\" means the firmware).\n\
            $ sudo modprobe kvm_amd\n\
            $ echo kvm_amd | sudo tee /etc/modules-load.d/kvm.conf\n\
            $ sudo dmesg | grep -i kvm"),
        when("NixOS", "Add `boot.kernelModules = [ \"kvm-intel\" \"kvm-amd\" ];` to the configuration and rebuild."),
        when("no module on disk", "This kernel has no KVM module: it is a small cloud or container kernel, or it was updated and the machine not rebooted. Install the distribution's full kernel, or reboot."),
    ]

    NESTED "kvm-guest-without-nested" Error "this is a virtual machine, and nested virtualisation is off"
    "The hypervisor hides vmx and svm from this guest. Only its owner can change that, with the guest switched off." [
        all("Ask whoever runs the hypervisor to pass the processor's virtualisation through to this guest."),
        when("VirtualBox", "On the computer that runs VirtualBox, with this VM, there called NAME, switched off (System, Processor, \"Enable Nested VT-x/AMD-V\"):\n\
            $ VBoxManage modifyvm NAME --nested-hw-virt on"),
        when("VMware", "Switch the VM off; in its settings, Processors, tick \"Virtualize Intel VT-x/EPT or AMD-V/RVI\" (vSphere: \"Expose hardware assisted virtualization to the guest OS\")."),
        when("Hyper-V", "In an administrator's PowerShell on the Windows host, with this VM, there called NAME, switched off:\n\
            $ Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true"),
        when("QEMU", "On the host, let KVM nest and give this guest the host's CPU (libvirt: `<cpu mode='host-passthrough'/>`; Proxmox: `qm set ID --cpu host`, with the number of the guest for ID), then switch the guest off and on.\n\
            $ cat /sys/module/kvm_*/parameters/nested\n\
            $ printf 'options kvm_%s nested=1\\n' intel amd | sudo tee /etc/modprobe.d/kvm-nested.conf"),
        when("Amazon EC2", "Use a `.metal` instance, or one of the newer types for which nested virtualisation can be enabled at launch."),
        when("Google Cloud", "Use an Intel type (not E2) and enable nesting, with the instance, NAME in ZONE, stopped:\n\
            $ gcloud compute instances export NAME --destination=vm.yaml --zone=ZONE\n\
            $ printf 'advancedMachineFeatures:\\n  enableNestedVirtualization: true\\n' >> vm.yaml\n\
            $ gcloud compute instances update-from-file NAME --source=vm.yaml --zone=ZONE --most-disruptive-allowed-action=RESTART"),
        when("Azure", "Resize to a type with nested virtualisation (Dv3, Ev3 or later of the Intel families) and keep the security type Standard."),
        when("a small cloud", "Providers of small virtual servers seldom allow nesting: take a dedicated server, or ask the support."),
    ]

    CONTAINER "kvm-container" Error "this container was not given /dev/kvm"
    "A container sees only the devices that it is started with." [
        all("Start the container with the device /dev/kvm of its host."),
        when("docker", "Where the container is started, give it the device (`…`: the rest of your command); in a compose file: `devices: [/dev/kvm]`.\n$ docker run --device /dev/kvm …"),
        when("podman", "Where the container is started, give it the device (`…`: the rest of your command), and keep your groups where podman runs as you.\n$ podman run --device /dev/kvm --group-add keep-groups …"),
        when("kubernetes", "Give the pod the device through a device plugin (such as KubeVirt's devices.kubevirt.io/kvm), on a node that has it."),
        when("lxc", "On the host, for the container NAME (Incus: `incus` for `lxc`):\n$ lxc config device add NAME kvm unix-char path=/dev/kvm mode=0666"),
        when("systemd-nspawn", "Where the container is started, give it the device (`…`: the rest of your command).\n$ systemd-nspawn --bind=/dev/kvm --property=DeviceAllow='/dev/kvm rw' …"),
    ]

    DEVICE_POLICY "kvm-device-policy" Error "a device policy forbids /dev/kvm"
    "The mode of the device would let us in, yet the kernel says EPERM: the control group of this container or service does not allow the device." [
        all("Allow the device where the container or the service is started (systemd: `DeviceAllow=/dev/kvm rw`)."),
        when("docker", "A node made by hand or a bind mount is not enough: let docker allow the device where the container is started (`…`: the rest of your command).\n$ docker run --device /dev/kvm …"),
        when("podman", "A bind mount is not enough: let podman allow the device where the container is started (`…`: the rest of your command).\n$ podman run --device /dev/kvm --group-add keep-groups …"),
        when("systemd-nspawn", "Allow the device where the container is started (`…`: the rest of your command).\n$ systemd-nspawn --bind=/dev/kvm --property=DeviceAllow='/dev/kvm rw' …"),
    ]

    WSL1 "kvm-wsl1" Error "WSL 1 has no Linux kernel, hence no KVM"
    "WSL 1 translates system calls; only WSL 2 is a virtual machine with a kernel." [
        all("In PowerShell on Windows 11, for DISTRIBUTION as `wsl --list` names it; then see the advice for WSL 2:\n$ wsl --set-version DISTRIBUTION 2"),
    ]

    WSL2 "kvm-wsl2" Error "this WSL 2 machine has no KVM"
    "WSL 2 gives /dev/kvm only on Windows 11 (or Server 2022) with nested virtualisation on, and a current WSL." [
        all("In PowerShell: update WSL, put `nestedVirtualization=true` below `[wsl2]` in `%UserProfile%\\.wslconfig`, and restart WSL. Virtualisation must be on in the firmware.\n\
            $ wsl --update\n\
            $ wsl --shutdown"),
    ]

    GROUP "kvm-not-in-group" Error "you are not in the group of /dev/kvm"
    "The device is open to its owner and its group only." [
        all("Join the group, then log out and in again (or use `newgrp` in one terminal).\n$ sudo usermod -aG \"$(stat -c %G /dev/kvm)\" \"$USER\""),
        when("NixOS", "Add `users.users.NAME.extraGroups = [ \"kvm\" ];`, with your name, to the configuration, rebuild, and log in again."),
        when("builders too", OPEN_TO_ALL),
        when("builders in a container", BY_ITS_HOST),
        when("docker", "Where the container is started, give it the group of the device (`…`: the rest of your command).\n\
            $ docker run --device /dev/kvm --group-add \"$(stat -c %g /dev/kvm)\" …"),
        when("podman", "Where the container is started, let it keep your groups (you have to be in the group of the device there; `…`: the rest of your command).\n\
            $ podman run --device /dev/kvm --group-add keep-groups …"),
        when("container", "Start the container with the group of the device, or with the device open to everyone."),
    ]

    GROUP_NOT_ACTIVE "kvm-group-not-active" Error "you joined the group of /dev/kvm, but this session has not noticed"
    "A session takes its groups when it begins." [
        all("Log out and in again; a desktop, tmux or an editor's server may keep the old session, then reboot. For this terminal alone:\n$ newgrp \"$(stat -c %G /dev/kvm)\""),
    ]

    ACL "kvm-acl" Error "an access control list on /dev/kvm keeps you out"
    "An entry for you, for one of your groups, or the mask of the list gives less than reading and writing." [
        all("See the list, then drop it.\n$ getfacl /dev/kvm\n$ sudo setfacl -b /dev/kvm"),
        ON_ITS_HOST,
    ]

    MODE "kvm-mode" Error "the mode of /dev/kvm keeps everyone but its owner out"
    "Neither the group nor others may read and write the device, so joining a group would not help." [
        all(OPEN_TO_ALL),
        when("NixOS", ON_NIXOS),
        when("container", BY_ITS_HOST),
    ]

    BUSY "kvm-busy" Error "another hypervisor holds the processor's virtualisation"
    "VirtualBox, VMware and KVM cannot use it at the same time on most machines." [
        all("Stop the machines of the other hypervisor; if that is not enough, see which module is its own, and unload it.\n$ lsmod"),
        when("VirtualBox", "Stop the virtual machines of VirtualBox; if that is not enough, unload its modules.\n$ sudo modprobe -r vboxnetadp vboxnetflt vboxdrv"),
        when("VMware", "Stop the virtual machines of VMware; if that is not enough, unload its module.\n$ sudo modprobe -r vmmon"),
        ON_ITS_HOST,
    ]

    STALE "kvm-stale-node" Error "/dev/kvm does not lead to the kernel's KVM"
    "A node in /dev is only a pair of numbers. It was made by hand, kept from an image, or left when the module was unloaded; or the module is loaded and the node was never made." [
        all("Remove the node and let the module and udev make it anew.\n\
            $ sudo rm /dev/kvm\n\
            $ sudo modprobe -r kvm_intel kvm_amd kvm\n\
            $ sudo modprobe kvm_intel || sudo modprobe kvm_amd"),
        ON_ITS_HOST,
        when("no node", "Make it, and let udev set its mode.\n$ sudo mknod /dev/kvm c 10 232\n$ sudo udevadm trigger --settle --name-match=kvm"),
    ]

    NOT_A_DEVICE "kvm-not-a-device" Error "/dev/kvm is not a device"
    "Something else was put in its place, for example by a program that wrote to it before it was there, or by a container that bind-mounts a folder." [
        all("See what it is, then remove it and load the module anew.\n\
            $ ls -ld /dev/kvm\n\
            $ sudo rm -r /dev/kvm\n\
            $ sudo modprobe -r kvm_intel kvm_amd kvm\n\
            $ sudo modprobe kvm_intel || sudo modprobe kvm_amd"),
        ON_ITS_HOST,
    ]

    API "kvm-api-version" Error "KVM speaks another version of its interface"
    "Every KVM since Linux 2.6.22 speaks version 12; QEMU accepts no other." [
        all("Run a current kernel."),
    ]

    HANGS "kvm-hangs" Error "KVM answers, then hangs"
    "A guest of five instructions did not end in two seconds. The hypervisor above us, or the kernel, is at fault: a test would hang as well." [
        all("Reboot; on a virtual machine, report it to whoever runs the hypervisor. Until then do not use KVM here:\n$ cargo xtask test --backend sandbox"),
    ]

    GUEST_FAILED "kvm-guest-failed" Error "KVM makes a virtual machine, but cannot run it"
    "A guest of five instructions ended in another way than it should. Nested virtualisation of the hypervisor above us is broken, or the processor's microcode is." [
        all("See what the kernel says, and update kernel, firmware and the hypervisor above.\n$ sudo dmesg | grep -i kvm | tail"),
        ON_ITS_HOST,
    ]

    EMULATED "kvm-emulated" Error "KVM answers but is emulated: tests would hang or crawl"
    "A loop in a guest runs far slower than on real hardware, which does hundreds of millions of rounds a second. The virtualisation of this machine is done in software; QEMU may stop at once, and a Linux guest may never finish booting." [
        all("Do not use KVM here. The sandbox needs none, and QEMU's own emulation (tcg) is quicker than this:\n\
            $ cargo xtask test --backend sandbox\n\
            $ cargo xtask test --accel tcg"),
    ]

    MAYBE_EMULATED "kvm-maybe-emulated" Warning "KVM may be emulated here"
    "There is a device, yet the processor lists no virtualisation; you may not open the device, so its speed could not be measured." [
        all("Measure as root before you change permissions: it may not be worth it.\n$ sudo target/debug/xtask check-kvm --for user"),
    ]

    UNKNOWN "kvm-unknown-error" Error "KVM failed in a way that we have no name for"
    "The kernel refused a step of making and running a virtual machine." [
        all("See what the kernel says.\n$ sudo dmesg | grep -i kvm | tail"),
        ON_ITS_HOST,
    ]

    NOT_MEASURED "kvm-not-measured" Note "the speed of KVM was not measured"
    "A virtual machine and a processor in it were made, but running a guest is measured on x86-64 only." [
        all("Nothing: trust it, and watch how long a check takes."),
    ]

    BUILDERS "kvm-builders-shut-out" Error "Nix's builders may not open /dev/kvm"
    "Nix drops all supplementary groups of its build users when it enters the build sandbox, so membership in group kvm never reaches them: only mode 0666 does." [
        all(OPEN_TO_ALL),
        when("NixOS", ON_NIXOS),
        when("container", BY_ITS_HOST),
    ]

    NO_BUILD_USERS "nix-no-build-users" Error "Nix has no build users: it refuses every build"
    "A Nix that root or a daemon runs builds as the members of a group, nixbld unless `build-users-group` in nix.conf says otherwise. The group is not there, or empty." [
        all("Make them, as the installer of Nix does.\n\
            $ sudo groupadd --system nixbld\n\
            $ for n in 1 2 3 4 5 6 7 8 9 10; do sudo useradd --system -g nixbld -G nixbld -d /var/empty -s /bin/false nixbld$n; done"),
        when("debian", "Install the part of the package that makes them.\n$ sudo apt-get install nix-setup-systemd"),
        when("ubuntu", "Install the part of the package that makes them.\n$ sudo apt-get install nix-setup-systemd"),
        when("NixOS", "NixOS makes them by itself: see `nix.nrBuildUsers` in the configuration, and rebuild."),
        when("container", "Root may build by itself, which will do in a container. As root:\n\
            $ mkdir -p /etc/nix && echo 'build-users-group =' >> /etc/nix/nix.conf"),
    ]

    FEATURE_MISSING "nix-feature-missing" Error "Nix does not advertise the feature kvm"
    "Nix refuses to build a test that requires kvm. It advertises kvm by itself where its daemon can open /dev/kvm, unless `system-features` says otherwise." [
        all("Lift the refusal; tests then run without KVM, much slower. Both backends below need no change and no root.\n\
            $ cargo xtask configure-nix\n\
            $ cargo xtask test --backend driver\n\
            $ cargo xtask test --backend sandbox"),
        when("the file says so", "The file sets `system-features` without kvm: add it, then restart the daemon.\n\
            $ cargo xtask configure-nix"),
    ]

    FEATURE_UNUSABLE "nix-feature-unusable" Warning "Nix advertises kvm, but its builders cannot use it"
    "The feature is a promise that nobody checks: Nix starts the test, QEMU finds no usable KVM and falls back to emulation in silence, many times slower, until a timeout fires." [
        all("Mend what is named above, or choose a way that needs no KVM:\n$ cargo xtask test --backend sandbox"),
    ]

    NIX_CONF "nix-conf-error" Error "the configuration of Nix has an error"
    "Nix refuses every command until the file is mended." [
        all("Mend the named line by hand."),
    ]
}
