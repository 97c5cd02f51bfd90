//! Machines of a NixOS test in the sandbox: units that a real Nix evaluates by nix/sandbox.nix, with programs that it
//! builds. The flake is of plain derivations, in the shape of NixOS tests. No network.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod common;
#[path = "common/nix.rs"]
#[allow(dead_code, reason = "tests/nix.rs uses the rest")]
mod fixture;

use std::fs;
use std::path::Path;

use common::{Run, copy};
use fixture::Fixture;

/// Two machines as NixOS evaluates them: what every machine has, and what the check declares.
const WEB: &str = r#"
{ nixosTest, sh, ... }:
let
  bare = import ../nix/bare.nix;
  script = name: text: sh name { inherit text; passAsFile = [ "text" ]; } "cp $textPath $out; chmod +x $out";
  file = name: text: sh name { inherit text; passAsFile = [ "text" ]; } "cp $textPath $out";
  foo = script "unit-script-foo" ''
    #!/bin/sh
    echo "$0 as $(id -un) of $(cat /etc/foo.conf)"
    greet
    exec sleep infinity
  '';
  machine = number: hostName: extra: {
    systemd.units = bare.systemd.units // extra.units or { };
    systemd.tmpfiles.rules = bare.systemd.tmpfiles.rules ++ extra.rules or [ ];
    environment.etc = bare.environment.etc // extra.etc or { };
    users.users = bare.users.users // extra.users or { };
    users.groups = bare.users.groups;
    virtualisation.vlans = extra.vlans or [ 1 ];
    virtualisation.test.nodeNumber = number;
    networking = {
      inherit hostName;
      primaryIPAddress = "192.168.1.${toString number}";
      hosts = { "127.0.0.2" = [ hostName ]; } // extra.hosts or { };
      extraHosts = "192.168.1.1 client\n192.168.1.2 server\n" + extra.extraHosts or "";
      interfaces.eth1.ipv4.addresses = [ { address = "192.168.1.${toString number}"; } ] ++ extra.addresses or [ ];
      firewall.extraCommands = bare.networking.firewall.extraCommands + "iptables -A nixos-fw -p tcp --dport 22 -j nixos-fw-accept\n" + extra.rules4 or "";
    };
    environment.variables = bare.environment.variables // { SITE = "the lab"; } // extra.variables or { };
    boot.kernel.sysctl = bare.boot.kernel.sysctl // extra.sysctl or { };
    system.path = sh "system-path" { } "mkdir -p $out/bin; echo '#!/bin/sh' > $out/bin/greet; echo 'echo hello from NixOS' >> $out/bin/greet; chmod +x $out/bin/greet";
  };
  unit = text: wantedBy: { inherit text wantedBy; enable = true; overrideStrategy = "asDropinIfExists"; };
in
nixosTest { } "mkdir $out" // {
  config.name = "web";
  config.globalTimeout = 70;
  config.testScriptString = builtins.readFile ./web.script;
  nodes.server = machine 2 "server" {
    vlans = [ 1 2 ];
    units."foo.service" = unit ''
      [Unit]
      Description=Says hello
      X-Reload-Triggers=nothing

      [Service]
      Environment="LOCALE_ARCHIVE=/no/such"
      Environment="PATH=/run/current-system/sw/bin:/usr/bin:/bin"
      X-RestartIfChanged=false
      ExecStart=${foo}
      User=bob
      MemoryMax=1G
    '' [ "multi-user.target" ];
    units."echo@.service" = unit ''
      [Service]
      Type=oneshot
      RemainAfterExit=true
      ExecStart=/bin/echo instance %i
    '' [ ];
    units."echo@one.service" = unit "[Service]\nExecStartPost=/bin/echo more\n" [ "multi-user.target" ] // { overrideStrategy = "asDropin"; };
    units."network-addresses-eth2.service" = unit "[Service]\nExecStart=/no/such/ip\n" [ "multi-user.target" ];
    etc."foo.conf" = { target = "foo.conf"; source = file "etc-foo.conf" "a file of Nix"; mode = "symlink"; };
    etc.secret = { target = "app/secret"; source = file "etc-secret" "x"; mode = "0400"; };
    users.bob = { uid = 0; group = "root"; home = "/home/bob"; createHome = true; isNormalUser = true; shell = ""; extraGroups = [ "wheel" ]; };
  };
  nodes.client = machine 1 "client" { EXTRA };
}
"#;

const SCRIPT: &str = r#"
start_all()
server.wait_for_unit("foo.service")
assert "hello from NixOS" == server.succeed("greet").strip()
server.wait_until_succeeds("journalctl -u foo.service | grep 'hello from NixOS'", timeout=60)
journal = server.succeed("journalctl -u foo.service -o cat")
assert "MemoryMax= has no effect" in journal, journal
assert "unit-script-foo as " in journal and "of a file of Nix" in journal, journal
server.succeed("test $(stat -c %a /etc/app/secret) = 400")
server.wait_for_unit("echo@one.service")
echoed = server.succeed("journalctl -u echo@one.service -o cat")
assert "instance one" in echoed and "more" in echoed, echoed
server.succeed("id bob; test -d /home/bob; grep wheel:x:1:bob /etc/group")
assert "the lab" == client.succeed("printenv SITE").strip()
client.fail("printenv EDITOR")
assert "hello" == server.succeed("systemd-run -qP echo hello").strip()
server.fail("systemctl cat nscd.service")
server.fail("systemctl cat network-addresses-eth2.service")
server.succeed("ip -br address show eth2 | grep 192.168.2.2")
client.fail("systemctl cat foo.service")
client.fail("getent passwd operator1")
client.wait_for_unit("multi-user.target")
"#;

/// A project with the check `web` on evaluated machines; `extra` is more of its client.
fn project(extra: &str) -> Option<Fixture> {
    let fixture = Fixture::new()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    copy(&source.join("driver"), &fixture.root.join("tool/driver"));
    fixture.write("checks/web.nix", &WEB.replace("EXTRA", extra));
    fixture.write("checks/web.script", SCRIPT);
    fixture.write("checks/web.toml", "services = \"nixos\"\n");
    fixture.git(&["add", "."]);
    Some(fixture)
}

fn sandbox(fixture: &Fixture) -> Run {
    fixture.xtask(&["test", "web", "--backend", "sandbox"])
}

#[test]
fn a_check_written_for_nixos_alone_runs_in_the_sandbox() {
    let Some(fixture) = project("") else { return };
    let run = sandbox(&fixture);
    let run = run.expect(
        0,
        &[
            "services from checks/web.nix, evaluated by Nix",
            "(checks/web.toml says so)",
            "sandbox with the services of NixOS (asked for)\nuntested: its boot",
            "warning: checks/web.nix: foo.service: MemoryMax= has no effect in the sandbox",
            "PASS web",
        ],
    );
    assert_eq!(run.stderr.matches("MemoryMax=").count(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains("soft IOC"), "nothing of embedded/ is needed: {}", run.stderr);
    let spec = fixture.result("web/sandbox.json");
    assert!(spec.contains("\"global_timeout\": 70"), "{spec}");
    fixture.write("checks/web.script", "start_all()\nclient.succeed(\"false\")\n");
    let failed = sandbox(&fixture).expect(1, &["FAIL web", "client.succeed(\"false\")"]);
    assert!(failed.stderr.contains("/web/script.py:2\n"), "{}", failed.stderr);
    fixture.write("checks/web.script", "import os\nstart_al()\n");
    let wrong =
        sandbox(&fixture).expect(1, &["checks/web.nix:1:1: error[undefined-name]: undefined name `start_al` (line 2"]);
    assert!(wrong.stderr.contains("`os` imported but unused (line 1\n    of its testScript)"), "{}", wrong.stderr);
    fixture.write("checks/web.script", SCRIPT);
    // Nothing is left to build.
    let again = sandbox(&fixture).expect(0, &["PASS web"]);
    assert!(!again.stderr.contains("nix: building"), "{}", again.stderr);
}

#[test]
fn what_the_sandbox_cannot_do_is_named_before_anything_runs() {
    let extra = r#"
      rules = [ "d /var/lib/foo" ];
      hosts."10.0.0.1" = [ "device" ];
      extraHosts = "10.0.0.2 other\n";
      addresses = [ { address = "10.1.1.1"; } ];
      rules4 = "iptables -A nixos-fw -s 192.168.1.9 -j DROP\n";
      variables.EDITOR = "$HOME/editor";
      sysctl."net.core.somaxconn" = 5;
      sysctl."kernel.panic" = 3;
      units."nscd.service" = unit "[Service]\nExecStart=/no/such/other\n" [ ];
      units."foo.timer" = unit "[Timer]\nOnBootSec=1\n" [ "timers.target" ];
      units."bar.service" = unit "[Service]\nExecStart=/bin/true\nBindPaths=/x\n" [ ];
      units."foo@1.service" = unit "[Service]\nUser=x\n" [ ] // { overrideStrategy = "asDropin"; };
    "#;
    let Some(fixture) = project(extra) else { return };
    sandbox(&fixture).expect(
        3,
        &[
            "checks/web.nix: the sandbox cannot do all of it",
            "machine `client`: boot.kernel.sysctl: kernel.panic = 3, net.core.somaxconn = 5\n",
            "machine `client`: environment.variables: EDITOR\n",
            "machine `client`: networking.firewall.extraCommands: iptables -A nixos-fw -s 192.168.1.9 -j DROP\n",
            "machine `client`: networking.hosts: 10.0.0.1 device, 10.0.0.2 other\n",
            "machine `client`: networking.interfaces: eth1 10.1.1.1\n",
            "machine `client`: systemd.units: nscd.service\n",
            "machine `client`: systemd.tmpfiles.rules: d /var/lib/foo\n",
            "machine `client`: foo.timer: units of kind .timer are not offered by the sandbox",
            "machine `client`: bar.service:3: directive `BindPaths` of [Service] is not known to the sandbox",
            "machine `client`: foo@1.service: it adds to a unit that the check does not bring along",
            "hint: cargo xtask test web --backend nixos has it",
        ],
    );
    assert!(!fixture.root.join("target/checks").exists(), "no run has begun");
}

#[test]
fn errors_of_nix_are_sorted() {
    let Some(fixture) = project("units = undefinedName;") else { return };
    sandbox(&fixture).expect(3, &["undefined variable 'undefinedName'", "checks/web.nix:"]);
    fixture.write("checks/web.nix", &WEB.replace("EXTRA", "users.x.shell = sh \"shell\" { } \"exit 3\";"));
    sandbox(&fixture).expect(1, &["Nix could not build it", "failed with exit code 3"]);
    let mut command = fixture.command(&["test", "web", "--backend", "sandbox"]);
    let python = fixture.dir.path().join("bin");
    fs::create_dir(&python).unwrap();
    std::os::unix::fs::symlink("/usr/bin/python3", python.join("python3")).unwrap();
    command.env("PATH", &python);
    let run = Run::of(&command.output().unwrap());
    run.expect(5, &["check `web` takes its services from Nix, which is not here", "[nodes.NAME]"]);
    fixture.write("checks/web.nix", &WEB.replace("EXTRA", ""));
    let run = fixture.xtask(&["test", "web", "--backend", "sandbox", "--ioc", "make"]);
    run.expect(2, &["`--ioc` cannot be honoured: check `web` has the IOC that Nix builds"]);
}

/// An IOC as `services.iocs` of EPNix writes it, on a port of its own.
const IOC: &str = r#"
  units."psu.service" =
    let
      top = sh "top" { } ''
        mkdir -p $out/iocBoot/iocExample $out/db $out/dbd
        echo > $out/dbd/example.dbd
        echo 'record(ao, "X") {}' > $out/db/x.db
        printf '%s\n' '#!../../bin/linux-x86_64/example' 'dbLoadDatabase("../../dbd/example.dbd")' 'example_registerRecordDeviceDriver(pdbbase)' \
          'dbLoadRecords("../../db/x.db")' 'iocInit()' > $out/iocBoot/iocExample/st.cmd
      '';
      procServ = script "procServ" ''
        #!/bin/bash
        cd "''${1#--chdir=}" && exec ${../soft-ioc} --app example st.cmd < <(exec sleep infinity)
      '';
    in
    unit ''
      [Service]
      Environment="EPICS_CA_SERVER_PORT=5070"
      Environment="PATH=/usr/bin:/bin"
      ExecStart=${procServ} --chdir=${top}/iocBoot/iocExample --foreground --logfile=- 2000 \
        ./st.cmd
    '' [ "multi-user.target" ];
"#;

#[test]
fn an_ioc_of_the_nixos_configuration_is_recorded_or_the_page_says_why_not() {
    let Some(fixture) = project(IOC) else { return };
    let embedded = common::embedded();
    let state = fs::read_to_string(embedded.join("built")).unwrap();
    fs::copy(embedded.join(state.trim()).join("soft-ioc"), fixture.root.join("soft-ioc")).unwrap();
    fixture.git(&["add", "soft-ioc"]);
    fixture.write("checks/web.script", "client.start()\nclient.wait_for_unit('psu.service')\n");
    sandbox(&fixture).expect(0, &["PASS web"]);
    let page = || fs::read_to_string(fixture.xtask(&["report"]).expect(0, &[]).stdout.trim()).unwrap();
    let why = "Process variables of client: not recorded: the recorder is not built; cargo xtask build";
    assert!(page().contains(why));
    assert_eq!(page().matches("not recorded: ").count(), 1, "the server has no IOC");

    std::os::unix::fs::symlink(embedded, fixture.root.join("target/embedded")).unwrap();
    let record = fixture.root.join("target/checks/latest/web/record/client.jsonl");
    let script = format!(
        "import os, time\nclient.start()\n\
         while not os.path.exists({record:?}) or '\"pv\":\"X\",\"value\":0' not in open({record:?}).read():\n    time.sleep(0.02)\n"
    );
    fixture.write("checks/web.script", &script);
    sandbox(&fixture).expect(0, &["PASS web"]);
    assert!(fs::read_to_string(&record).unwrap().contains("\"port\":5070,\"recorded\":1,"));
    assert!(!page().contains("not recorded: "));

    // A check whose machines Nix describes gets no packages of ours, whatever runs beside it.
    fixture.write("checks/web.script", "client.start()\n");
    fixture.write("checks/web.toml", "services = \"nixos\"\npython = [\"no-such-package\"]\n");
    fixture.write("checks/plain.py", "machine.start()\n");
    fixture.write("checks/plain.toml", "[nodes.machine]\nioc = false\n");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/ioc"), &fixture.root.join("ioc"));
    fixture.git(&["add", "checks", "ioc"]);
    let mut both = fixture.command(&["test", "web", "plain", "--backend", "sandbox", "--no-lint"]);
    Run::of(&both.env("PIP_NO_INDEX", "1").output().unwrap()).expect(0, &["PASS web", "PASS plain"]);
}
