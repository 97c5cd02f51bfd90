//! What a test script sees of the sandbox, function by function: as with nixpkgs' driver and a NixOS machine.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs")]

mod common;

use std::process::Command;

use common::{Run, Scratch};

/// Runs a script on a machine; all judgement is in the script.
#[track_caller]
fn passes(script: &str) {
    passes_on("", script);
}

/// Runs a script on the machines that `checks/it.toml` describes.
#[track_caller]
fn passes_on(settings: &str, script: &str) {
    let scratch = Scratch::new();
    scratch.check("it", script);
    scratch.write("checks/it.toml", settings);
    scratch.xtask(&["test", "it", "--backend", "sandbox"]).expect(0, &["PASS it"]);
}

#[test]
fn commands() {
    passes(include_str!("scripts/commands.py"));
}

#[test]
fn states_of_units() {
    passes(include_str!("scripts/units.py"));
}

#[test]
fn systemd_as_scripts_see_it() {
    passes(include_str!("scripts/systemd.py"));
}

#[test]
fn what_services_may_not_touch() {
    passes(include_str!("scripts/protect.py"));
}

#[test]
fn the_life_of_a_machine() {
    passes(include_str!("scripts/life.py"));
}

#[test]
fn a_service_finds_what_it_saved_before_the_power_went() {
    passes(include_str!("scripts/saved.py"));
}

#[test]
fn the_files_of_the_host_cannot_be_written() {
    passes(include_str!("scripts/host.py"));
}

/// One that takes its time to come up: nobody has to wait for a PV.
#[test]
fn an_ioc_is_active_once_it_serves_clients() {
    let scratch = Scratch::new();
    scratch.edit("ioc/iocBoot/iocExample/st.cmd", "iocInit()", "epicsThreadSleep(4)\niocInit()");
    // Programs that nobody reads any more end as C's do, and their status is told through a pipe.
    let unread = "import os, subprocess\nr, w = os.pipe()\nos.close(r)\nfor i in range(2):\n    \
                  print(subprocess.run(['caget', '-w', '3', 'VOLT', 'NONE'][: 4 + i], stdout=w, stderr=w, restore_signals=False).returncode)\n\
                  print(subprocess.run(['caget', '-w', '3', 'VOLT'], stdout=w).returncode)\n";
    scratch.check(
        "it",
        &format!(
            "machine.wait_for_unit('ioc.service')\nmachine.succeed('caget -w 3 VOLT')\n\
             machine.succeed('cat > /tmp/unread.py <<END\\n' + {unread:?} + 'END')\n\
             assert machine.succeed('python3 /tmp/unread.py') == '0\\n1\\n-13\\n'\n\
             machine.fail('caget NONE 2>&1 | cat')\n"
        ),
    );
    let run =
        scratch.xtask(&["test", "it", "--backend", "sandbox"]).expect(0, &["PASS it", "ioc.service: LockPersonality="]);
    assert_eq!(run.stderr.matches("have no effect in the sandbox").count(), 1, "{}", run.stderr);
}

#[test]
fn the_shell_of_the_ioc_has_a_port() {
    passes(include_str!("scripts/shell.py"));
}

#[test]
fn the_console() {
    passes(include_str!("scripts/console.py"));
}

#[test]
fn copies() {
    passes(include_str!("scripts/copies.py"));
}

#[test]
fn ports_and_files() {
    passes(include_str!("scripts/ports.py"));
}

#[test]
fn two_machines_on_a_cable() {
    let list = "ca_addr_list = [\"192.168.1.255\"]\n";
    passes_on(&format!("[nodes.alpha]\n{list}[nodes.beta]\nioc = false\n{list}"), include_str!("scripts/network.py"));
}

#[test]
fn a_search_stays_on_its_machine_as_on_nixos() {
    let scratch = Scratch::new();
    scratch.check("it", "alpha.wait_for_unit('ioc.service')\nbeta.succeed('caget -w 1 VOLT-RB')\n");
    scratch.write("checks/it.toml", "[nodes.alpha]\n[nodes.beta]\nioc = false\n");
    scratch.xtask(&["test", "it", "--backend", "sandbox"]).expect(
        1,
        &[
            "command `caget -w 1 VOLT-RB` failed (exit code 1)",
            "hint: a search for PVs stays on its machine: for those of others, ca_addr_list = [\"192.168.1.255\"]",
            "environment.epics.ca_addr_list in checks/it.nix",
        ],
    );
}

/// A unit that runs as an ordinary user, and what root says of it.
const OTHER_USERS: &str = include_str!("scripts/users.py");

#[test]
fn other_users_where_they_are_there() {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let alone = map.split_whitespace().nth(2) == Some("1") && map.lines().count() == 1;
    if !unix_is_root() || alone {
        common::skipped("only root is sure to have more than one user");
        return;
    }
    passes(&format!("{OTHER_USERS}{}", include_str!("scripts/users_there.py")));
}

fn unix_is_root() -> bool {
    String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0"
}

#[test]
fn where_there_is_one_user_only_the_unit_says_so() {
    let scratch = Scratch::new();
    scratch.check(
        "it",
        &format!(
            "{OTHER_USERS}
machine.fail('systemctl start mine')
t.assertIn('only one user', machine.succeed('journalctl -u mine -o cat --no-pager'))
t.assertEqual(machine.get_unit_property('mine', 'ExecMainStatus'), '217')
machine.succeed('journalctl --no-pager | grep \"dynamic.service: .* runs as root\"')
"
        ),
    );
    // Root of a user namespace that has one user has no others to give.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_foreign"), "test", "it", "--backend", "sandbox"]);
    scratch.environment(&mut command);
    Run::of(&command.output().unwrap()).expect(0, &["PASS it"]);
}
