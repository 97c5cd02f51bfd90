import re

machine.succeed("echo said on stderr >&2; echo written > /dev/console; echo wired > /dev/ttyS0; logger -t me logged")
machine.wait_for_console_text("said on stderr", timeout=60)
machine.wait_until_succeeds("journalctl --no-pager | grep 'me.*logged'")
# The lines of several writers come in any order, and the last after its command has ended.
for part in ["said on stderr", "written", "wired", r"\] me\[\d+\]: logged\n"]:
    retry(lambda _, part=part: re.search(part, machine.get_console_log()), 60)
with t.assertRaises(Exception):
    machine.wait_for_console_text("never said", timeout=1)
# The kernel's messages are the host's: nothing is written there in silence.
machine.fail("echo said > /dev/kmsg")
machine.fail("grep said /dev/kmsg")
