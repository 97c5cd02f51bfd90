import threading

INSTANCE = r"[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
disk = ["/var/lib/x", "/tmp/x", "/root/x", "/etc/x", "/home/operator1/x", "/srv/x", "/data/x"]
memory = ["/run/x", "/dev/shm/x"]

def boots():
    return machine.succeed("cat /proc/sys/kernel/random/boot_id")

def check_disk():
    machine.wait_for_unit("ioc.service")
    for path in disk:
        machine.succeed(f"test -e {path}")
    for path in memory:
        machine.fail(f"test -e {path}")
    machine.fail("pgrep -x -f 'sleep 1000'")

# Not running: nothing to do.
machine.shutdown()
machine.crash()
machine.wait_for_unit("ioc.service")
machine.wait_for_unit("backdoor.service")
t.assertEqual(machine.execute("echo a", check_return=False), (-1, "a\n"))
with t.assertRaises(UnicodeDecodeError):
    machine.execute(r"printf '\377'", check_return=False)
t.assertEqual(machine.execute("echo a", timeout=-1), (125, ""))
t.assertEqual(machine.succeed("echo [$PAGER] $0"), "[] bash\n")
# Commands run side by side: the later one is answered first.
waits = threading.Thread(target=machine.execute, args=["until test -e /tmp/go; do sleep 0.05; done"], daemon=True)
waits.start()
machine.succeed("touch /tmp/go")
waits.join(60)
t.assertFalse(waits.is_alive())
# What is enabled comes up by itself, what was only started does not.
machine.succeed(f"printf '{INSTANCE}' > /etc/systemd/system/inst@.service", "systemctl daemon-reload",
                "systemctl start inst@a", "systemctl enable inst@b")
seen = [boots()]
for again in [
    lambda: (machine.shutdown(), t.assertEqual((machine.booted, machine.connected, machine.pid), (False, False, None)), machine.start()),
    lambda: (machine.crash(), machine.start(allow_reboot=True)),
    lambda: machine.reboot(),
]:
    machine.succeed("mkdir -p /data", "touch " + " ".join(disk + memory), "sleep 1000 >/dev/null 2>&1 &")
    again()
    check_disk()
    t.assertEqual(machine.execute("systemctl is-active inst@a inst@b")[1], "inactive\nactive\n")
    seen.append(boots())
t.assertEqual(len(set(seen)), 4)
t.assertIn("Stopping ioc.service", machine.succeed("journalctl -b -1 -o cat --no-pager"))
t.assertGreaterEqual(int(machine.succeed("journalctl --list-boots --no-pager | wc -l")), 4)
machine.succeed("systemctl disable inst@b; echo said before the reboot > /dev/console")
machine.reboot()
t.assertEqual((machine.booted, machine.connected), (True, False))
t.assertEqual(machine.execute("systemctl is-enabled inst@b || systemctl is-active inst@b")[1], "disabled\ninactive\n")
machine.wait_for_console_text("said before the reboot")
# A command that runs is no hindrance.
machine.execute("sleep infinity", check_output=False)
t.assertEqual(machine.execute("poweroff", check_return=False), (-1, ""))
# Until it is down, it answers.
with t.assertRaisesRegex(Exception, r"machine is down: it powered off; .*\nhint: .*wait_for_shutdown"):
    while True:
        machine.succeed("true")
t.assertTrue(machine.booted)  # only wait_for_shutdown() notices, as on NixOS
machine.start()
with t.assertRaisesRegex(Exception, "is down"):
    machine.wait_for_open_port(1)
machine.wait_for_shutdown()
t.assertFalse(machine.is_up())
# A reboot of a machine that may not is its end.
machine.start()
machine.reboot()
with t.assertRaisesRegex(Exception, "it rebooted"):
    while True:
        machine.succeed("true")
machine.wait_for_shutdown()
t.assertFalse(machine.is_up())
