//! Causes of trouble beyond KVM, with their fixes.

use crate::finding::{Entry, Fix, Severity};

/// The table, in the order of the documentation.
pub static ALL: &[&Entry] = &[
    &PROJECT,
    &NOT_LINUX,
    &USERNS_APPARMOR,
    &USERNS_DEBIAN,
    &USERNS_MAX,
    &USERNS_CONTAINER,
    &USERNS_CONTAINER_HOST,
    &USERNS_KERNEL,
    &USERNS_UNKNOWN,
    &NIX_MISSING,
    &NIX_OLD,
    &NIX_NO_DAEMON,
    &NIX_SHUT_OUT,
    &INPUTS,
    &GIT_MISSING,
    &GIT_UNTRACKED,
    &DISK,
    &PYTHON,
    &RUST,
    &IOC_STALE,
    &ADOPTED,
    &PORTS,
];

/// No project.
pub static PROJECT: Entry = Entry {
    id: "project-broken",
    severity: Severity::Error,
    title: "the project cannot be read",
    cause: "Every backend starts from ioc.toml, which is missing or has an error.",
    fixes: &[Fix::general("Mend what is named, or take the file back from Git.\n$ git checkout -- ioc.toml")],
};

/// No Linux, no namespaces.
pub static NOT_LINUX: Entry = Entry {
    id: "userns-not-linux",
    severity: Severity::Error,
    title: "the sandbox needs Linux",
    cause: "The sandbox is made of Linux namespaces, which no other system has.",
    fixes: &[Fix::general("Run the checks on a Linux machine, in a Linux VM, or in CI.")],
};

/// Ubuntu 24.04.
pub static USERNS_APPARMOR: Entry = Entry {
    id: "userns-apparmor",
    severity: Severity::Error,
    title: "AppArmor keeps ordinary programs from using user namespaces",
    cause: "Ubuntu, since 23.10, lets only programs with a profile of their own use what a user namespace gives.",
    fixes: &[Fix::general(
        "Switch the restriction off, now and at every start.\n\
         $ sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0\n\
         $ echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/60-userns-apparmor.conf",
    )],
};

/// Debian's old switch.
pub static USERNS_DEBIAN: Entry = Entry {
    id: "userns-debian-switch",
    severity: Severity::Error,
    title: "user namespaces are switched off for ordinary users",
    cause: "kernel.unprivileged_userns_clone is a switch of Debian's and some hardened kernels.",
    fixes: &[Fix::general(
        "Switch them on, now and at every start.\n\
         $ sudo sysctl -w kernel.unprivileged_userns_clone=1\n\
         $ echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/60-userns-clone.conf",
    )],
};

/// Limit.
pub static USERNS_MAX: Entry = Entry {
    id: "userns-max-zero",
    severity: Severity::Error,
    title: "no more user namespaces may be made",
    cause: "user.max_user_namespaces is zero or used up, here or in a namespace around this one. RHEL 7 and hardened machines set it to zero.",
    fixes: &[Fix::general(
        "Raise the limit, now and at every start.\n\
         $ sudo sysctl -w user.max_user_namespaces=28633\n\
         $ echo user.max_user_namespaces=28633 | sudo tee /etc/sysctl.d/60-userns-max.conf",
    )],
};

/// Container.
pub static USERNS_CONTAINER: Entry = Entry {
    id: "userns-container",
    severity: Severity::Error,
    title: "this container may not make namespaces",
    cause: "The seccomp filter of the container forbids it, or its masked /proc forbids mounting a new one, or SELinux or AppArmor do. Switches of the kernel that are seen in here are those of its host, and can be set only there.",
    fixes: &[
        Fix::general("Start the container without these limits, or run the checks on its host."),
        Fix::when(
            "docker",
            "Where the container is started, give it these options (`…`: the rest of your command; GitLab: in config.toml, `security_opt` of the runner), or run the checks on its host.\n\
             $ docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined --security-opt label=disable …",
        ),
        Fix::when(
            "podman",
            "Where the container is started, give it these options (`…`: the rest of your command), or run the checks on its host.\n\
             $ podman run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt unmask=ALL --security-opt label=disable …",
        ),
        Fix::when(
            "lxc",
            "On the host, allow the container NAME to nest (Incus: `incus` for `lxc`).\n$ lxc config set NAME security.nesting=true",
        ),
        Fix::when(
            "kubernetes",
            "Give the container of the pod this `securityContext`, and the pod `hostUsers: false`, or run the checks outside: `seccompProfile: { type: Unconfined }`, `appArmorProfile: { type: Unconfined }`, `procMount: Unmasked`.",
        ),
    ],
};

/// Container on a host whose switch is off.
pub static USERNS_CONTAINER_HOST: Entry = Entry {
    id: "userns-container-host",
    severity: Severity::Error,
    title: "the host of this container lets no ordinary program make namespaces",
    cause: "A container has its host's kernel, and so its switches: in here /proc/sys shows them and cannot be written. A container that is root of its host (`--privileged`) may make namespaces all the same.",
    fixes: &[
        Fix::general(
            "On the host of the container, not in here: `cargo xtask doctor` there says how to switch them on. Then start the container with the options that `userns-container` names.",
        ),
        Fix::when(
            "docker",
            "Where the container is started: make it privileged (`…`: the rest of your command), or switch namespaces on (`cargo xtask doctor` on its host says how) and give the container the options that `userns-container` names.\n\
             $ docker run --privileged …",
        ),
        Fix::when(
            "podman",
            "Where the container is started: make it privileged (`…`: the rest of your command), or switch namespaces on (`cargo xtask doctor` on its host says how) and give the container the options that `userns-container` names.\n\
             $ podman run --privileged …",
        ),
    ],
};

/// Not compiled in.
pub static USERNS_KERNEL: Entry = Entry {
    id: "userns-not-in-kernel",
    severity: Severity::Error,
    title: "this kernel has no user namespaces",
    cause: "It was built without CONFIG_USER_NS or one of the other namespaces.",
    fixes: &[Fix::general("Run a kernel of a distribution.")],
};

/// Any other error.
pub static USERNS_UNKNOWN: Entry = Entry {
    id: "userns-unknown-error",
    severity: Severity::Error,
    title: "namespaces cannot be made, for a reason that we have no name for",
    cause: "A security module or a filter of system calls refuses a step; none of the switches that we know is off.",
    fixes: &[Fix::general(
        "See whether util-linux meets the same, and what the kernel says.\n\
         $ unshare --user --map-root-user --mount --pid --fork --mount-proc true\n\
         $ sudo dmesg | tail",
    )],
};

/// No Nix.
pub static NIX_MISSING: Entry = Entry {
    id: "nix-missing",
    severity: Severity::Note,
    title: "Nix is not installed: VM checks cannot run",
    cause: "The backends `nixos` and `driver` build a virtual machine with Nix. The sandbox needs none.",
    fixes: &[Fix::general(
        "Install Nix as your site does it (https://nixos.org/download), or stay with the sandbox:\n$ cargo xtask test --backend sandbox",
    )],
};

/// Old Nix.
pub static NIX_OLD: Entry = Entry {
    id: "nix-old",
    severity: Severity::Warning,
    title: "this Nix is too old for EPNix",
    cause: "EPNix follows nixpkgs, which cannot be evaluated by Nix before 2.18.",
    fixes: &[Fix::general("Install a current Nix (https://nixos.org/download); distributions often ship an old one.")],
};

/// No daemon.
pub static NIX_NO_DAEMON: Entry = Entry {
    id: "nix-no-daemon",
    severity: Severity::Warning,
    title: "Nix is installed, but you cannot build with it",
    cause: "The store belongs to another user and no daemon listens, so Nix has nobody to ask.",
    fixes: &[
        Fix::general("Start the daemon.\n$ sudo systemctl enable --now nix-daemon.socket"),
        Fix::when("debian", "Install the daemon's part of the package.\n$ sudo apt-get install nix-setup-systemd"),
        Fix::when("ubuntu", "Install the daemon's part of the package.\n$ sudo apt-get install nix-setup-systemd"),
        Fix::when("container", "Nothing starts it in a container: do so as root.\n$ nix-daemon &"),
    ],
};

/// Not in the group.
pub static NIX_SHUT_OUT: Entry = Entry {
    id: "nix-shut-out",
    severity: Severity::Warning,
    title: "Nix's daemon does not let you in",
    cause: "Its socket is there, but only a group may use it: Debian calls it nix-users.",
    fixes: &[Fix::general(
        "Join the group that `ls -ld` names, then log out and in again.\n\
         $ ls -ld /nix/var/nix/daemon-socket\n\
         $ sudo usermod -aG nix-users \"$USER\"",
    )],
};

/// Offline.
pub static INPUTS: Entry = Entry {
    id: "inputs-unreachable",
    severity: Severity::Warning,
    title: "the sources of the flake cannot be reached",
    cause: "Nix fetches EPNix and nixpkgs from there the first time, and after every update of flake.lock.",
    fixes: &[Fix::general(
        "Check the network, the proxy (`https_proxy`) and the firewall; what is in the Nix store already is not fetched again.\n$ nix --extra-experimental-features 'nix-command flakes' flake archive",
    )],
};

/// No Git.
pub static GIT_MISSING: Entry = Entry {
    id: "git-no-tree",
    severity: Severity::Warning,
    title: "this folder is not a Git tree",
    cause: "Nix reads a flake from its Git tree. Without one it copies the whole folder, build results included.",
    fixes: &[
        Fix::general("Make it one.\n$ git init\n$ git add ."),
        Fix::when(
            "the folder belongs to another user",
            "Git reads no tree of someone else, and so does Nix; tell it to trust this one.\n\
             $ git config --global --add safe.directory \"$PWD\"",
        ),
    ],
};

/// Untracked files.
pub static GIT_UNTRACKED: Entry = Entry {
    id: "git-untracked",
    severity: Severity::Warning,
    title: "files are unknown to Git: Nix will not see them",
    cause: "A flake in a Git tree consists of the files that Git knows. Nix reports the others as missing.",
    fixes: &[Fix::general(
        "Make them known, without adding their content yet; or list them in .gitignore.\n$ git add --intent-to-add .",
    )],
};

/// Disk.
pub static DISK: Entry = Entry {
    id: "disk-low",
    severity: Severity::Warning,
    title: "little disk space is left",
    cause: "The closure of one VM check takes several GiB in /nix; the embedded IOC and the results of checks take about one in target/.",
    fixes: &[
        Fix::general("Free some space.\n$ cargo clean"),
        Fix::when(
            "nix",
            "Free some space: remove what Nix no longer needs.\n$ nix-collect-garbage --delete-older-than 14d",
        ),
    ],
};

/// Python.
pub static PYTHON: Entry = Entry {
    id: "python-missing",
    severity: Severity::Error,
    title: "no Python 3.9 or later was found",
    cause: "Check scripts are Python; the sandbox runs them with the machine's python3, from its standard library alone.",
    fixes: &[
        Fix::general("Install Python 3 with the package manager of this system, so that `python3` is on PATH."),
        Fix::when("debian", "Install it.\n$ sudo apt-get install python3"),
        Fix::when("ubuntu", "Install it.\n$ sudo apt-get install python3"),
        Fix::when("fedora", "Install it.\n$ sudo dnf install python3"),
        Fix::when("rhel", "Install it.\n$ sudo dnf install python3.11"),
        Fix::when("arch", "Install it.\n$ sudo pacman -S python"),
    ],
};

/// Rust.
pub static RUST: Entry = Entry {
    id: "rust-old",
    severity: Severity::Error,
    title: "this Rust is too old for the embedded IOC",
    cause: "The sandbox builds its soft IOC and simulator from `tool/embedded/`, which names the Rust that it needs.",
    fixes: &[Fix::general("Update Rust.\n$ rustup update stable")],
};

/// An IOC of yesterday.
pub static IOC_STALE: Entry = Entry {
    id: "ioc-stale",
    severity: Severity::Warning,
    title: "an IOC was built, but not of the files as they are",
    cause: "Files of ioc/ have changed since Nix or `make` built it, or `make clean` took a part of it away. The sandbox has `make` \
            build it again where EPICS base is known, and refuses to run it otherwise.",
    fixes: &[Fix::general("Build it again, or let the sandbox run the soft IOC: --ioc embedded\n$ cargo xtask build")],
};

/// What `adopt` could not do.
pub static ADOPTED: Entry = Entry {
    id: "adoption-unfinished",
    severity: Severity::Note,
    title: "there is work left from `cargo xtask adopt`",
    cause: "An IOC was brought here, and not all of it could be adopted: TODO-adopt.md names the rest, a line each. The list is \
            yours.",
    fixes: &[Fix::general("Do it, and tick it there (`- [x]`) or delete the line\n$ cat TODO-adopt.md")],
};

/// Ports.
pub static PORTS: Entry = Entry {
    id: "ports-in-use",
    severity: Severity::Note,
    title: "ports of this IOC are in use on this machine",
    cause: "Checks have a network of their own and do not mind. `cargo xtask run` uses the machine's network: two IOCs share Channel Access ports badly, and a simulator cannot share its own.",
    fixes: &[Fix::general("See who listens, and stop it before `cargo xtask run`.\n$ ss -lntup")],
};
