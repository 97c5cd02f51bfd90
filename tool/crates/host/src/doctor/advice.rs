//! Causes of trouble beyond KVM, with their fixes.

use crate::finding::{all, entries, when};

entries! {
    PROJECT "project-broken" Error "the project cannot be read"
    "Every backend starts from ioc.toml, which is missing or has an error." [
        all("Mend what is named, or take the file back from Git.\n$ git checkout -- ioc.toml"),
    ]

    NOT_LINUX "userns-not-linux" Error "the sandbox needs Linux"
    "The sandbox is made of Linux namespaces, which no other system has." [
        all("Run the checks on a Linux machine, in a Linux VM, or in CI."),
    ]

    USERNS_APPARMOR "userns-apparmor" Error "AppArmor keeps ordinary programs from using user namespaces"
    "Ubuntu, since 23.10, lets only programs with a profile of their own use what a user namespace gives." [
        all("Switch the restriction off, now and at every start.\n\
            $ sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0\n\
            $ echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/60-userns-apparmor.conf"),
    ]

    USERNS_DEBIAN "userns-debian-switch" Error "user namespaces are switched off for ordinary users"
    "kernel.unprivileged_userns_clone is a switch of Debian's and some hardened kernels." [
        all("Switch them on, now and at every start.\n\
            $ sudo sysctl -w kernel.unprivileged_userns_clone=1\n\
            $ echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/60-userns-clone.conf"),
    ]

    USERNS_MAX "userns-max-zero" Error "no more user namespaces may be made"
    "user.max_user_namespaces is zero or used up, here or in a namespace around this one. RHEL 7 and hardened machines set it to zero." [
        all("Raise the limit, now and at every start.\n\
            $ sudo sysctl -w user.max_user_namespaces=28633\n\
            $ echo user.max_user_namespaces=28633 | sudo tee /etc/sysctl.d/60-userns-max.conf"),
    ]

    USERNS_CONTAINER "userns-container" Error "this container may not make namespaces"
    "The seccomp filter of the container forbids it, or its masked /proc forbids mounting a new one, or SELinux or AppArmor do. Switches of the kernel that are seen in here are those of its host, and can be set only there." [
        all("Start the container without these limits, or run the checks on its host."),
        when("docker", "Where the container is started, give it these options (`…`: the rest of your command; GitLab: in config.toml, `security_opt` of the runner), or run the checks on its host.\n\
            $ docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined --security-opt label=disable …"),
        when("podman", "Where the container is started, give it these options (`…`: the rest of your command), or run the checks on its host.\n\
            $ podman run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt unmask=ALL --security-opt label=disable …"),
        when("lxc", "On the host, allow the container NAME to nest (Incus: `incus` for `lxc`).\n$ lxc config set NAME security.nesting=true"),
        when("kubernetes", "Give the container of the pod this `securityContext`, and the pod `hostUsers: false`, or run the checks outside: `seccompProfile: { type: Unconfined }`, `appArmorProfile: { type: Unconfined }`, `procMount: Unmasked`."),
    ]

    USERNS_CONTAINER_HOST "userns-container-host" Error "the host of this container lets no ordinary program make namespaces"
    "A container has its host's kernel, and so its switches: in here /proc/sys shows them and cannot be written. A container that is root of its host (`--privileged`) may make namespaces all the same." [
        all("On the host of the container, not in here: `cargo xtask doctor` there says how to switch them on. Then start the container with the options that `userns-container` names."),
        when("docker", "Where the container is started: make it privileged (`…`: the rest of your command), or switch namespaces on (`cargo xtask doctor` on its host says how) and give the container the options that `userns-container` names.\n\
            $ docker run --privileged …"),
        when("podman", "Where the container is started: make it privileged (`…`: the rest of your command), or switch namespaces on (`cargo xtask doctor` on its host says how) and give the container the options that `userns-container` names.\n\
            $ podman run --privileged …"),
    ]

    USERNS_KERNEL "userns-not-in-kernel" Error "this kernel has no user namespaces"
    "It was built without CONFIG_USER_NS or one of the other namespaces." [
        all("Run a kernel of a distribution."),
    ]

    USERNS_UNKNOWN "userns-unknown-error" Error "namespaces cannot be made, for a reason that we have no name for"
    "A security module or a filter of system calls refuses a step; none of the switches that we know is off." [
        all("See whether util-linux meets the same, and what the kernel says.\n\
            $ unshare --user --map-root-user --mount --pid --fork --mount-proc true\n\
            $ sudo dmesg | tail"),
    ]

    NIX_MISSING "nix-missing" Note "Nix is not installed: VM checks cannot run"
    "The backends `nixos` and `driver` build a virtual machine with Nix. The sandbox needs none." [
        all("Install Nix as your site does it (https://nixos.org/download), or stay with the sandbox:\n$ cargo xtask test --backend sandbox"),
    ]

    NIX_OLD "nix-old" Warning "this Nix is too old for EPNix"
    "EPNix follows nixpkgs, which cannot be evaluated by Nix before 2.18." [
        all("Install a current Nix (https://nixos.org/download); distributions often ship an old one."),
    ]

    NIX_NO_DAEMON "nix-no-daemon" Warning "Nix is installed, but you cannot build with it"
    "The store belongs to another user and no daemon listens, so Nix has nobody to ask." [
        all("Start the daemon.\n$ sudo systemctl enable --now nix-daemon.socket"),
        when("debian", "Install the daemon's part of the package.\n$ sudo apt-get install nix-setup-systemd"),
        when("ubuntu", "Install the daemon's part of the package.\n$ sudo apt-get install nix-setup-systemd"),
        when("container", "Nothing starts it in a container: do so as root.\n$ nix-daemon &"),
    ]

    NIX_SHUT_OUT "nix-shut-out" Warning "Nix's daemon does not let you in"
    "Its socket is there, but only a group may use it: Debian calls it nix-users." [
        all("Join the group that `ls -ld` names, then log out and in again.\n\
            $ ls -ld /nix/var/nix/daemon-socket\n\
            $ sudo usermod -aG nix-users \"$USER\""),
    ]

    INPUTS "inputs-unreachable" Warning "the sources of the flake cannot be reached"
    "Nix fetches EPNix and nixpkgs from there the first time, and after every update of flake.lock." [
        all("Check the network, the proxy (`https_proxy`) and the firewall; what is in the Nix store already is not fetched again.\n$ nix --extra-experimental-features 'nix-command flakes' flake archive"),
    ]

    GIT_MISSING "git-no-tree" Warning "this folder is not a Git tree"
    "Nix reads a flake from its Git tree. Without one it copies the whole folder, build results included." [
        all("Make it one.\n$ git init\n$ git add ."),
        when("the folder belongs to another user", "Git reads no tree of someone else, and so does Nix; tell it to trust this one.\n\
            $ git config --global --add safe.directory \"$PWD\""),
    ]

    GIT_UNTRACKED "git-untracked" Warning "files are unknown to Git: Nix will not see them"
    "A flake in a Git tree consists of the files that Git knows. Nix reports the others as missing." [
        all("Make them known, without adding their content yet; or list them in .gitignore.\n$ git add --intent-to-add ."),
    ]

    DISK "disk-low" Warning "little disk space is left"
    "The closure of one VM check takes several GiB in /nix; the embedded IOC and the results of checks take about one in target/." [
        all("Free some space.\n$ cargo clean"),
        when("nix", "Free some space: remove what Nix no longer needs.\n$ nix-collect-garbage --delete-older-than 14d"),
    ]

    PYTHON "python-missing" Error "no Python 3.9 or later was found"
    "Check scripts are Python; the sandbox runs them with the machine's python3, from its standard library alone." [
        all("Install Python 3 with the package manager of this system, so that `python3` is on PATH."),
        when("debian", "Install it.\n$ sudo apt-get install python3"),
        when("ubuntu", "Install it.\n$ sudo apt-get install python3"),
        when("fedora", "Install it.\n$ sudo dnf install python3"),
        when("rhel", "Install it.\n$ sudo dnf install python3.11"),
        when("arch", "Install it.\n$ sudo pacman -S python"),
    ]

    RUST "rust-old" Error "this Rust is too old for the embedded IOC"
    "The sandbox builds its soft IOC and simulator from `tool/embedded/`, which names the Rust that it needs." [
        all("Update Rust.\n$ rustup update stable"),
    ]

    IOC_STALE "ioc-stale" Warning "an IOC was built, but not of the files as they are"
    "Files of ioc/ have changed since Nix or `make` built it, or `make clean` took a part of it away. The sandbox has `make` \
            build it again where EPICS base is known, and refuses to run it otherwise." [
        all("Build it again, or let the sandbox run the soft IOC: --ioc embedded\n$ cargo xtask build"),
    ]

    ADOPTED "adoption-unfinished" Note "there is work left from `cargo xtask adopt`"
    "An IOC was brought here, and not all of it could be adopted: TODO-adopt.md names the rest, a line each. The list is \
            yours." [
        all("Do it, and tick it there (`- [x]`) or delete the line\n$ cat TODO-adopt.md"),
    ]

    PORTS "ports-in-use" Note "ports of this IOC are in use on this machine"
    "Checks have a network of their own and do not mind. `cargo xtask run` uses the machine's network: two IOCs share Channel Access ports badly, and a simulator cannot share its own." [
        all("See who listens, and stop it before `cargo xtask run`.\n$ ss -lntup"),
    ]
}
