# Not even root of a machine writes to the host: its folders, and the programs that the machine was given.
machine.wait_for_unit("ioc.service")
for folder in ("/usr", "/usr/local", "/sys", "/machine/host/etc"):
    t.assertIn("Read-only file system", machine.fail(f"touch {folder}/written 2>&1"))
ioc = machine.succeed("readlink /proc/$(systemctl show -P MainPID ioc)/exe").strip()
for program in ("/machine/xtask", ioc):
    t.assertRegex(machine.fail(f"{{ echo >> {program}; }} 2>&1"), "Read-only file system|Text file busy|Permission denied")
    t.assertIn("Read-only file system", machine.fail(f"chmod 700 {program} 2>&1"))
# Nor does anything run with descriptors of the sandbox, or of whoever started it.
machine.succeed("printf '[Service]\nExecStart=/bin/sleep 1000\n' > /etc/systemd/system/plain.service", "systemctl start plain")
for process in ("$$", "$(systemctl show -P MainPID plain)"):
    t.assertEqual(machine.succeed(f"ls /proc/{process}/fd; :"), "0\n1\n2\n")
