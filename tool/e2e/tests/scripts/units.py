import textwrap

def unit(name, text):
    machine.succeed(f"cat > /etc/systemd/system/{name} <<'END'\n{textwrap.dedent(text)}\nEND")

def raises(call, *parts):
    with t.assertRaises(Exception) as caught:
        call()
    for part in parts:
        t.assertIn(part, str(caught.exception))

def state(name):
    info = machine.get_unit_info(name)
    return [info["ActiveState"], info["SubState"], info["Result"]]

def status(command):
    return machine.execute(command)[0]

unit("good.service", "[Service]\nExecStart=/bin/sleep 1000")
unit("oneshot.service", "[Service]\nType=oneshot\nExecStart=/bin/true")
unit("bad.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'")
unit("needy.service", "[Unit]\nRequires=bad.service\nAfter=bad.service\n[Service]\nExecStart=/bin/sleep 1000")
unit("crasher.service", "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=50ms\n[Unit]\nStartLimitIntervalSec=0")
unit("limited.service", "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=10ms\n[Unit]\nStartLimitBurst=3")
unit("ready.service", "[Service]\nType=notify\nExecStart=/bin/sh -c 'sleep 0.2; systemd-notify --ready --status=here; exec sleep 1000'\nNotifyAccess=all")
# Short-lived senders: PID 1 must know whose word it is before they are gone, of root also where only the main process may speak.
for access in "main", "all":
    unit(f"said-{access}.service",
         f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nTimeoutStartSec=60\nNotifyAccess={access}\nExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep 1000'")
unit("slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 1.5")
unit("behind.service", "[Unit]\nAfter=slow.service\n[Service]\nExecStart=/bin/sleep 1000")
unit("stuck.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity")
unit("missing.service", "[Service]\nType=exec\nExecStart=/no/such/program")
unit("group.service", "[Service]\nExecStart=/bin/sh -c 'setsid sleep 1001 & env -i sleep 1002 & wait'")
unit("reborn.service", "[Service]\nExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=10ms")
unit("odd.service", "[Service]\nExecStart=/bin/true\nColour=blue")
machine.systemctl("daemon-reload")

machine.succeed("systemctl start good ready oneshot")
machine.wait_for_unit("good")
machine.wait_for_unit("ready.service")
machine.require_unit_state("good")
raises(lambda: machine.require_unit_state("good", "failed"), "but it is in state 'active'")
raises(lambda: machine.get_unit_property("good", "Nope"), "produced invalid output")
raises(lambda: machine.wait_for_unit(""), 'retrieving systemctl property "ActiveState" for unit "" failed with exit code 1')
t.assertEqual(state("good"), ["active", "running", "success"])
t.assertEqual(machine.get_unit_property("ready", "StatusText"), "here")
for _ in range(10):
    machine.succeed("systemctl restart said-main said-all")
raises(lambda: machine.wait_for_unit("oneshot.service"), 'unit "oneshot.service" is inactive and there are no pending jobs')
raises(lambda: machine.wait_for_unit("nowhere.service"), 'unit "nowhere.service" is inactive and there are no pending jobs')
t.assertEqual(machine.start_job("nowhere"), (5, ""))
# A job is waited for as long as it is there, at most until the limit.
machine.systemctl("start --no-block slow behind")
machine.wait_for_unit("behind", timeout=60)
machine.systemctl("start --no-block stuck")
raises(lambda: machine.wait_for_unit("stuck", timeout=1), "action timed out after ", " (timeout=1)")
t.assertEqual(machine.stop_job("stuck"), (0, ""))
t.assertEqual(status("systemctl start bad"), 1)
t.assertEqual(status("systemctl start needy"), 1)
raises(lambda: machine.wait_for_unit("bad"), 'unit "bad" reached state "failed"')
t.assertEqual(state("bad"), ["failed", "failed", "exit-code"])
t.assertEqual(status("systemctl is-active good bad"), 0)
t.assertEqual(status("systemctl is-failed bad"), 0)
t.assertEqual(status("systemctl status bad"), 3)
t.assertEqual(status("systemctl status nowhere"), 4)
machine.succeed("systemctl reset-failed bad")
t.assertEqual(state("bad")[0], "inactive")

machine.succeed("systemctl kill -s KILL good")
machine.wait_until_succeeds("systemctl is-failed good", timeout=60)
t.assertEqual(state("good"), ["failed", "failed", "signal"])
machine.succeed("systemctl start good", "systemctl stop good")
t.assertEqual(state("good"), ["inactive", "dead", "success"])
t.assertEqual(machine.execute("systemctl is-active good"), (3, "inactive\n"))
t.assertEqual(status("systemctl start missing"), 1)
t.assertEqual(machine.get_unit_property("missing", "ExecMainStatus"), "203")
# Its processes are found also in a session of their own, and without its environment.
machine.succeed("systemctl start group")
machine.wait_until_succeeds("test $(pgrep -c -f '^sleep 100[12]$') = 2", timeout=60)
machine.succeed("systemctl stop group")
machine.fail("pgrep -f '^sleep 100[12]$'")

machine.systemctl("start --no-block crasher limited")
machine.wait_until_succeeds("test $(systemctl show -P NRestarts crasher) -ge 4", timeout=60)
t.assertIn(state("crasher")[0], ["activating", "active"])
machine.succeed("systemctl stop crasher")
# Starts by hand begin the count anew.
machine.succeed("systemctl start reborn", "systemctl kill -s KILL reborn")
machine.wait_until_succeeds("test $(systemctl show -P NRestarts reborn) = 1 && systemctl is-active reborn", timeout=60)
machine.succeed("systemctl restart reborn")
t.assertEqual(machine.get_unit_property("reborn", "NRestarts"), "0")
machine.wait_until_succeeds("systemctl is-failed limited", timeout=60)
# A directive that the sandbox does not know is refused by its name.
t.assertNotEqual(status("systemctl start odd"), 0)
t.assertIn("Colour", machine.execute("systemctl status odd 2>&1; systemctl start odd 2>&1")[1] + machine.execute("journalctl --no-pager 2>&1")[1])

# Tables: services before targets, and as JSON with the keys in the order of the columns.
unit("zone.target", "[Unit]\nDescription=Zone")
unit("area.target", "[Unit]\nDescription=Area")
machine.succeed("systemctl daemon-reload", "systemctl start good zone.target area.target")
names = machine.succeed("systemctl list-units --plain --no-legend area.target good.service zone.target | cut -d' ' -f1")
t.assertEqual(names.split(), ["good.service", "area.target", "zone.target"])
t.assertEqual(machine.succeed("systemctl list-units -o json area.target"),
              '[{"unit":"area.target","load":"loaded","active":"active","sub":"active","description":"Area"}]\n')
t.assertEqual(machine.succeed("systemctl list-unit-files -o json good.service"),
              '[{"unit_file":"good.service","state":"static","preset":null}]\n')
t.assertEqual(machine.execute("systemctl show good --property="), (0, ""))
t.assertEqual(machine.succeed("ps -p 1 -o comm="), "systemd\n")

# An entry that no datagram holds comes as a sealed memfd, as libsystemd sends it.
machine.succeed("""python3 -B - <<'END'
import array, fcntl, os, socket
fd = os.memfd_create("entry", os.MFD_ALLOW_SEALING)
os.write(fd, b"SYSLOG_IDENTIFIER=large\\nMESSAGE=" + b"y" * 300000 + b"\\n")
fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 15)
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect("/run/systemd/journal/socket")
sender.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
END""")
machine.wait_until_succeeds("test $(journalctl -t large -o cat | wc -c) = 300001", timeout=60)
