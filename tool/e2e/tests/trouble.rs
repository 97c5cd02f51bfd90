//! What a host forbids or lacks is told as its trouble, and never as the failure of a check.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::process::Command;

use common::{Run, Scratch};

/// Runs a check as root of a user namespace in which a shell command has changed something first; or as an ordinary user in it.
fn in_namespace(scratch: &Scratch, prepare: &str, ordinary: bool) -> Run {
    let user = if ordinary { "unshare --user --map-user=1000 --map-group=1000" } else { "" };
    let script = format!("set -e; {prepare}; exec {user} \"$XTASK\" test simple --backend sandbox");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "bash", "-c", &script]);
    scratch.environment(&mut command);
    command.env("XTASK", env!("CARGO_BIN_EXE_foreign")).env("DIR", scratch.scratch_dir());
    Run::of(&command.output().unwrap())
}

#[test]
fn host_trouble_is_no_failure_of_a_check() {
    let scratch = Scratch::new();
    let cases = [
        // As Docker masks it.
        ("mount -t tmpfs none /proc/driver", "cannot mount /proc: EPERM"),
        ("echo 1 > /proc/sys/user/max_mnt_namespaces", "\nsudo sysctl -w user.max_mnt_namespaces="),
        ("echo 1 > /proc/sys/user/max_pid_namespaces", "\nsudo sysctl -w user.max_pid_namespaces="),
        ("echo 1 > /proc/sys/user/max_net_namespaces", "\nsudo sysctl -w user.max_net_namespaces="),
        ("echo 0 > /proc/sys/user/max_uts_namespaces", "\nsudo sysctl -w user.max_uts_namespaces="),
        ("echo 0 > /proc/sys/user/max_ipc_namespaces", "\nsudo sysctl -w user.max_ipc_namespaces="),
        ("echo 1 > /proc/sys/user/max_user_namespaces", "user.max_user_namespaces="),
        (
            "mount -t tmpfs none /mnt; for d in null zero random urandom tty; do : > /mnt/$d; mount --bind /dev/$d /mnt/$d; done; \
             ln -s /proc/self/fd /mnt/fd; mount --rbind /mnt /dev",
            "cannot bind /dev/full",
        ),
        ("export PYTHONHOME=/nowhere", "hint: PYTHONHOME is `/nowhere`: unset PYTHONHOME"),
    ];
    for ordinary in [false, true] {
        for (prepare, told) in cases {
            let run = in_namespace(&scratch, prepare, ordinary);
            assert!(!run.stderr.contains("FAIL"), "{prepare}: {}", run.stderr);
            // A limit of a namespace around ours is not to be seen.
            let told = if ordinary && prepare.contains("max_") { "ENOSPC" } else { told };
            run.expect(5, &["1 could not run", told]);
        }
    }
}

/// What the kernel lets nobody raise is told before anything starts.
#[test]
fn a_limit_that_is_too_low_is_named() {
    let scratch = Scratch::new();
    for (limit, told, usual) in [
        ("-s 128", "the stack is 128", "-s 8192"),
        ("-n 32", "open files is 32", "-n 1024"),
        ("-u 100", "processes is 100", "-u 4096"),
        ("-f 1", "the size of files is 1", "-f unlimited"),
        ("-v 200000", "a process's memory is 200000", "-v unlimited"),
        ("-d 20000", "a process's data is 20000", "-d unlimited"),
        ("-t 20", "a process's time is 20", "-t unlimited"),
    ] {
        let told = format!("the limit of {told} (ulimit {}), and no check runs", &limit[..2]);
        let run = in_namespace(&scratch, &format!("ulimit {limit}"), true);
        run.expect(5, &[&told, &format!("begins: ulimit {usual}")]);
    }
    assert!(!scratch.root.join("target/checks").exists());
    let script = "ulimit -f 1; exec \"$0\" man >\"$1\"";
    let ordinary = ["--user", "--map-user=1000", "--map-group=1000", "bash", "-c", script];
    let mut command = Command::new("unshare");
    command.args(ordinary).arg(env!("CARGO_BIN_EXE_foreign")).arg(scratch.scratch_dir().join("man"));
    scratch.environment(&mut command);
    Run::of(&command.output().unwrap()).expect(5, &["File too large", "begins: ulimit -f unlimited"]);
}

#[test]
fn a_host_without_proc_or_dev_is_told_so() {
    let scratch = Scratch::new();
    for (place, needed) in [("/proc", "/proc/self/fd"), ("/dev", "/dev/null")] {
        let run = in_namespace(&scratch, &format!("mount -t tmpfs none {place}"), false);
        run.expect(5, &[&format!("error: there is no {needed}\n\nhint: sudo m")]);
    }
}

/// As the seccomp filters of containers do.
#[test]
fn a_forbidden_system_call_is_the_hosts_trouble() {
    let scratch = Scratch::new();
    scratch.write("refuse.py", include_str!("scripts/refuse.py"));
    for (call, told) in [
        ("pivot_root", "cannot change to the machine's root file system"),
        ("seccomp", "(seccomp)"),
        ("unshare", "a user namespace cannot be made"),
    ] {
        let mut command = Command::new("python3");
        command.args(["refuse.py", call, env!("CARGO_BIN_EXE_foreign"), "test", "simple", "--backend", "sandbox"]);
        scratch.environment(&mut command);
        Run::of(&command.output().unwrap()).expect(5, &["1 could not run", told]);
    }
}

/// /usr/local is a link into /var where the system is one image (ostree), and need not have programs.
#[test]
fn machines_have_their_programs_whatever_usr_local_is() {
    let scratch = Scratch::new();
    let empty = "mkdir -p \"$DIR/empty\"; mount --bind \"$DIR/empty\" /usr/local";
    in_namespace(&scratch, empty, false).expect(0, &["PASS simple"]);
    let link = "mount -t tmpfs none /mnt; mkdir /mnt/lower /mnt/upper /mnt/work; mount --rbind /usr /mnt/lower; \
                ln -s ../var/usrlocal /mnt/upper/local; \
                mount -t overlay -o userxattr,lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work none /usr";
    in_namespace(&scratch, link, false).expect(0, &["PASS simple"]);
}
