# What scripts see of systemd 252, measured there: exit statuses, layouts, messages of PID 1, what services get.
import json
import textwrap

def unit(name, text):
    machine.succeed(f"mkdir -p $(dirname /etc/systemd/system/{name})",
                    f"cat > /etc/systemd/system/{name} <<'END'\n{textwrap.dedent(text)}\nEND")

def run(command):
    status, out = machine.execute(f"({command}) 2>&1")
    return status, out.rstrip("\n")

def journal(name, *more):
    return machine.succeed(f"journalctl -o cat -u {name} {' '.join(more)}").splitlines()

def props(name, names):
    return machine.succeed(f"systemctl show {name} -p {names}").splitlines()

def equal(command, status, out):
    t.assertEqual(run(command), (status, textwrap.dedent(out).strip("\n")), command)

# Refusals
t.assertIn("unrecognized option '--fancy'", run("systemctl --fancy")[1])
t.assertEqual(run("systemctl --user start nowhere")[0], 1)
equal("systemctl try-restart nowhere", 5, "Failed to try-restart nowhere.service: Unit nowhere.service not found.")
equal("systemctl try-reload-or-restart nowhere", 5,
      "Failed to reload-or-try-restart nowhere.service: Unit nowhere.service not found.")
unit("inst@.service", "[Unit]\nDescription=Instance %i\n[Service]\nExecStart=/bin/sleep infinity")
equal("systemctl start inst@.service", 1, """
    Failed to start inst@.service: Unit name inst@.service is missing the instance name.
    See system logs and 'systemctl status inst@.service' for details.""")
equal("systemctl is-active inst@.service", 1,
      "Failed to retrieve unit state: Unit name inst@.service is neither a valid invocation ID nor unit name.")
equal("systemctl kill -s FOO inst@a", 1, 'Failed to parse signal string "FOO".')
equal("systemctl list-units --type=foo", 1,
      "Unknown unit type or load state 'foo'.\nUse -t help to see a list of allowed values.")
unit("shy.service", "[Unit]\nRefuseManualStart=yes\n[Service]\nExecStart=/bin/true")
t.assertEqual(run("systemctl start shy")[0], 4)
machine.succeed("systemctl start inst@a")
t.assertEqual(run("systemctl reload inst@a")[0], 3)
t.assertEqual(run("systemctl kill --kill-whom=foo inst@a")[0], 1)

# Layouts
equal("systemctl list-units 'inst@*' | sed 's/^  //'", 0, """
    UNIT           LOAD   ACTIVE SUB     DESCRIPTION
    inst@a.service loaded active running Instance a

    LOAD   = Reflects whether the unit definition was properly loaded.
    ACTIVE = The high-level unit activation state, i.e. generalization of SUB.
    SUB    = The low-level unit activation state, values depend on unit type.
    1 loaded units listed. Pass --all to see loaded but inactive units, too.
    To show all installed unit files use 'systemctl list-unit-files'.""")
# Properties come in systemd's order, whatever was asked for first.
t.assertEqual(props("inst@a", "SubState,ActiveState,Id"), ["Id=inst@a.service", "ActiveState=active", "SubState=running"])
unit("many.service", """
    [Service]
    Type=oneshot
    Environment="TWO=a b" E=$HOME
    RestartSec=2500ms
    SuccessExitStatus=TEMPFAIL SIGUSR1
    StandardOutput=append:/tmp/many.out
    ExecStartPre=/bin/echo pre
    ExecStart=/bin/sh -c 'exit 4'
    """)
equal("systemctl start many", 1, """
    Job for many.service failed because the control process exited with error code.
    See "systemctl status many.service" and "journalctl -xeu many.service" for details.""")
t.assertEqual(props("many", "Environment,RestartUSec,SuccessExitStatus,StandardOutput"),
              ["RestartUSec=2.500000s", "SuccessExitStatus=75 USR1", 'Environment="TWO=a b" "E=\\$HOME"', "StandardOutput=append"])
status, text = run("systemctl status many -n 0")
t.assertEqual(status, 3)
t.assertRegex(text, r"Loaded: loaded \(/etc/systemd/system/many.service; static\)\n")
t.assertRegex(text, r"    Process: \d+ ExecStartPre=/bin/echo pre \(code=exited, status=0/SUCCESS\)\n"
                    r"    Process: \d+ ExecStart=/bin/sh -c exit 4 \(code=exited, status=4\)\n"
                    r"   Main PID: \d+ \(code=exited, status=4\)")
t.assertIn("Main process exited, code=exited, status=4/NOPERMISSION", "\n".join(journal("many")))
pid = machine.get_unit_property("inst@a", "MainPID")
t.assertTrue(run(f"systemctl status {pid} -n 0")[1].startswith("● inst@a.service - Instance a\n"))
equal("systemctl is-system-running --wait", 1, "degraded")
machine.succeed("systemctl reset-failed many", "systemctl kill -s KILL inst@a")
machine.wait_until_succeeds("systemctl is-failed inst@a", timeout=60)
t.assertIn("Started inst@a.service - Instance a.", journal("inst@a"))
t.assertIn(f"inst@a.service: Sent signal SIGKILL to main process {pid} (sleep) on client request.", journal("inst@a"))

# Unit files
unit("wanted.service", "[Service]\nExecStart=/bin/sleep 9\n[Install]\nWantedBy=multi-user.target\nAlias=also.service")
equal("systemctl enable --runtime wanted", 0, """
    Created symlink /run/systemd/system/also.service → /etc/systemd/system/wanted.service.
    Created symlink /run/systemd/system/multi-user.target.wants/wanted.service → /etc/systemd/system/wanted.service.""")
machine.succeed("systemctl disable --runtime wanted", "systemctl enable wanted")
equal("systemctl is-enabled wanted also multi-user.target inst@b", 0, "enabled\nalias\nstatic\nstatic")
machine.succeed("systemctl mask --runtime inst@b.service")
equal("systemctl is-enabled inst@b", 1, "masked-runtime")
equal("systemctl get-default; systemctl set-default basic.target; systemctl get-default", 0, """
    multi-user.target
    Created symlink /etc/systemd/system/default.target → /lib/systemd/system/basic.target.
    basic.target""")
machine.succeed("systemctl set-default multi-user.target")
unit("a-.service.d/all.conf", "[Service]\nEnvironment=FROM=prefix")
unit("a-b.service", "[Service]\nType=oneshot\nExecStart=/bin/echo ${FROM}")
machine.succeed("systemctl daemon-reload", "systemctl start a-b")
t.assertIn("prefix", journal("a-b"))


# Files that are newer than what is in memory
stale = "systemctl show -P NeedDaemonReload stale"
unit("stale.service", "[Service]\nExecStart=/bin/sleep infinity")
machine.succeed("systemctl start stale")
equal(stale, 0, "no")
unit("stale.service", "[Service]\nExecStart=/bin/sleep 1000")
equal(stale, 0, "yes")
equal("systemctl restart stale", 0, """
    Warning: The unit file, source configuration file or drop-ins of stale.service changed on disk. Run 'systemctl daemon-reload' to reload units.""")
equal("ps -o args= $(systemctl show -P MainPID stale)", 0, "/bin/sleep infinity")
machine.succeed("systemctl daemon-reload")
equal(stale, 0, "no")
unit("stale.service.d/one.conf", "[Service]\nNice=1")
equal(stale, 0, "no")
machine.succeed("systemctl daemon-reload")
unit("stale.service.d/two.conf", "[Service]\nNice=2")
equal(stale, 0, "yes")
machine.succeed("systemctl daemon-reload", "touch -d 'now + 1 hour' /etc/systemd/system/stale.service")
equal(stale, 0, "yes")

# What services get
machine.succeed("systemctl set-environment SHARED='two words'")
equal("systemctl show-environment | grep SHARED", 0, "SHARED=$'two words'")
machine.succeed("printf 'A=\"x\\ny\"\\nB=plain words # kept\\nexport C=1\\n' > /tmp/one.env")
unit("gets.service", """
    [Service]
    Type=oneshot
    EnvironmentFile=/tmp/*.env
    StandardInputData=Ym9vCg==
    ExecStart=/bin/sh -c 'cat; echo "$SHARED/$A/$B/$C"; ulimit -Sn; echo %y'
    """)
machine.succeed("systemctl start gets")
t.assertEqual(journal("gets")[:-2],
              ["gets.service: Ignoring invalid environment assignment 'export C=1': /tmp/one.env", "Starting gets.service...", "boo",
               "two words/x", "y/plain words # kept/", "1024", "/etc/systemd/system/gets.service"])
machine.succeed("systemctl unset-environment SHARED")
unit("lost.service", "[Service]\nType=oneshot\nEnvironmentFile=/tmp/none\nExecStart=/bin/true")
t.assertEqual(run("systemctl start lost")[0], 1)
t.assertEqual(journal("lost"), ["lost.service: Failed to load environment files: No such file or directory",
                                "lost.service: Failed to run 'start' task: No such file or directory",
                                "lost.service: Failed with result 'resources'.", "Failed to start lost.service."])
unit("told@.service", """
    [Service]
    Type=oneshot
    ExecStart=/bin/sh -c 'echo $MONITOR_UNIT $MONITOR_SERVICE_RESULT $MONITOR_EXIT_CODE $MONITOR_EXIT_STATUS'
    """)
unit("tells.service", "[Unit]\nOnFailure=told@%p.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 5'")
machine.execute("systemctl start tells")
machine.wait_until_succeeds("journalctl -o cat -u told@tells | grep -x 'tells.service exit-code exited 5'", timeout=60)

# Messages of PID 1 and the output of the service stand in their order.
unit("order.service", """
    [Service]
    ExecStartPre=/bin/sh -c 'echo pre; echo "<3>bad"'
    ExecStart=/bin/sh -c 'echo main; exec sleep infinity'
    ExecStop=/bin/echo stop
    ExecStopPost=/bin/sh -c 'echo post $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'
    """)
machine.succeed("systemctl start order")
machine.wait_until_succeeds("journalctl -o cat -u order | grep -x main", timeout=60)
machine.succeed("systemctl stop order")
t.assertEqual(journal("order"), ["Starting order.service...", "pre", "bad", "Started order.service.", "main",
                                 "Stopping order.service...", "stop", "post success killed TERM", "order.service: Deactivated successfully.",
                                 "Stopped order.service."])
t.assertEqual(journal("order", "-p err"), ["bad"])
unit("quick.service", "[Service]\nRemainAfterExit=yes\nExecStart=/bin/true")
machine.succeed("systemctl start quick")
machine.wait_until_succeeds("test $(systemctl show -P SubState quick) = exited", timeout=60)
machine.succeed("systemctl stop quick")
t.assertEqual(journal("quick"),
              ["Started quick.service.", "quick.service: Deactivated successfully.", "Stopped quick.service."])
unit("never.service", "[Unit]\nConditionPathExists=|/none\nConditionPathExists=|!/etc\n[Service]\nExecStart=/bin/true")
machine.succeed("systemctl start never")
t.assertEqual(journal("never"), ["never.service was skipped because no trigger condition checks were met."])
unit("loud.service", "[Service]\nType=oneshot\nLogLevelMax=warning\nExecStart=/bin/sh -c 'echo said; echo \"<4>warned\"'")
machine.succeed("systemctl start loud")
t.assertEqual(journal("loud"), ["warned"])

# Forking services: a PID file that comes late, several processes left, folders and files that go with the service.
unit("late.service", """
    [Service]
    Type=forking
    PIDFile=/run/late.pid
    RuntimeDirectory=late
    ExecStart=/bin/bash -c '(sleep 0.3; sleep infinity & echo $! > /run/late.pid; wait) & disown'
    """)
machine.succeed("systemctl start late")
t.assertEqual(machine.get_unit_property("late", "MainPID"), machine.succeed("cat /run/late.pid").strip())
machine.succeed("systemctl stop late")
equal("ls -d /run/late*", 2, "ls: cannot access '/run/late*': No such file or directory")
unit("pair.service", "[Service]\nType=forking\nExecStart=/bin/bash -c 'sleep 7001 & sleep 7002 & disown -a'")
machine.succeed("systemctl start pair")
# A shell that is about to become one of them loses the signal.
machine.wait_until_succeeds("test $(pgrep -cxf 'sleep 700[12]') = 2", timeout=60)
machine.succeed("pkill -xf 'sleep 700[12]'")
machine.wait_until_succeeds("test $(systemctl is-active pair) = inactive", timeout=60)
unit("needless.service", "[Unit]\nStopWhenUnneeded=yes\n[Service]\nExecStart=/bin/sleep infinity")
machine.execute("systemctl start needless")
machine.wait_until_succeeds("test $(systemctl is-active needless) = inactive", timeout=60)

# The journal
machine.succeed("logger -t tag Hello", "logger -t tag -p local0.info world")
machine.wait_until_succeeds("journalctl -t tag -o cat | grep -x world", timeout=60)
equal("journalctl -t tag -o cat --facility=local0", 0, "world")
equal("journalctl -t tag -o cat -g hello --case-sensitive", 1, "")
equal("journalctl -u 'zz*'", 1, "Failed to add filter for units: No data available")
equal("journalctl --since @20 --until @10", 1, "--since= must be before --until=.")
equal("journalctl foo=bar", 1, "Failed to add match 'foo=bar': Invalid argument")
equal("journalctl -t tag -o cat --lines 1", 0, "world")
equal("journalctl -t tag -o cat -n 1 --cursor-file=/tmp/cursor; logger -t tag more", 0, "world")
machine.wait_until_succeeds("journalctl -t tag -o cat | grep -x more", timeout=60)
equal("journalctl -t tag -o cat --cursor-file=/tmp/cursor", 0, "more")
machine.succeed("printf '  a \\001  \\n' | systemd-cat -t raw")
machine.wait_until_succeeds("journalctl -t raw -q | grep 'blob data'", timeout=60)
t.assertEqual(json.loads(machine.succeed("journalctl -t raw -o json"))["MESSAGE"], [32, 32, 97, 32, 1])

# Transient services
equal("systemd-run --unit=brief --wait sh -c 'exit 3' 2>&1 | sed /runtime/d", 3, """
    Running as unit: brief.service
    Finished with result: exit-code
    Main processes terminated with: code=exited/status=3""")
t.assertEqual(run("systemctl is-active brief")[1], "failed")
equal("systemd-run --unit=brief -q true", 1,
      "Failed to start transient service unit: Unit brief.service was already loaded or has a fragment file.")
machine.succeed("systemctl reset-failed brief")
equal("echo in | systemd-run -qP -E X=1 -p WorkingDirectory=/tmp sh -c 'cat; pwd; echo $X; exit 6'", 6, "in\n/tmp\n1")
equal("systemd-run -q --collect --wait --unit=gone false || systemctl show -P LoadState gone", 0, "not-found")
machine.succeed("systemd-run -q --unit=stays sleep infinity")
t.assertEqual(props("stays", "Description,Transient"), ["Description=/usr/bin/sleep infinity", "Transient=yes"])
machine.succeed("systemctl stop stays")
equal("systemd-run -qP -p User=nosuch true", 217, "")
equal("systemd-run -qP -p SupplementaryGroups=nosuch true", 216, "")
t.assertEqual(run("systemctl show -P LoadState stays; ls /run/systemd/transient | grep stays || true")[1], "not-found")
t.assertIn("--on-active", run("systemd-run --on-active=5 true")[1])
