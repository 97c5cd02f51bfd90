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

machine.wait_for_unit("ioc.service")
seen = [boots()]
for again in [
    lambda: (machine.shutdown(), machine.start()),
    lambda: (machine.crash(), machine.start(allow_reboot=True)),
    lambda: machine.reboot(),
]:
    machine.succeed("mkdir -p /data", "touch " + " ".join(disk + memory), "sleep 1000 >/dev/null 2>&1 &")
    again()
    check_disk()
    seen.append(boots())
t.assertEqual(len(set(seen)), 4)
t.assertIn("Stopping ioc.service", machine.succeed("journalctl -b -1 -o cat --no-pager"))
t.assertGreaterEqual(int(machine.succeed("journalctl --list-boots --no-pager | wc -l")), 4)
t.assertEqual(machine.execute("poweroff", check_return=False)[0], -1)
machine.wait_for_shutdown()
t.assertFalse(machine.is_up())
