machine.succeed("echo said on stderr >&2; echo written > /dev/console; echo wired > /dev/ttyS0; logger -t me logged")
machine.wait_for_console_text("said on stderr", timeout=20)
machine.wait_until_succeeds("journalctl --no-pager | grep 'me.*logged'")
log = machine.get_console_log()
for part in ["said on stderr", "written", "wired"]:
    t.assertIn(part, log)
t.assertRegex(log, r"\] me\[\d+\]: logged\n")
with t.assertRaises(Exception):
    machine.wait_for_console_text("never said", timeout=1)
# The kernel's messages are the host's: nothing is written there in silence.
machine.fail("echo said > /dev/kmsg")
machine.fail("grep said /dev/kmsg")
