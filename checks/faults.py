start_all()

machine.wait_for_unit("ioc.service")


def reads(field, value):
    """Has the IOC ask the device once more until it has this answer."""
    command = f"caput -c VOLT-RB.PROC 1 && caget -t {field} | grep -qxF '{value}'"
    machine.wait_until_succeeds(command, timeout=20)


with subtest("an answer that nobody can read"):
    machine.succeed("fault simulator garbled")
    reads("VOLT-RB.SEVR", "INVALID")

with subtest("a late one is still one"):
    machine.succeed("fault simulator late 0.1")
    reads("VOLT-RB.SEVR", "NO_ALARM")

with subtest("a wrong one is taken for true"):
    machine.succeed("fault simulator wrong 59.5")
    reads("VOLT-RB", "59.5")

with subtest("all is well again"):
    machine.succeed("fault simulator ok")
    reads("VOLT-RB", "0")
