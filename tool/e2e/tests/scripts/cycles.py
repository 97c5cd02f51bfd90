import os
from pathlib import Path


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[1])


def below(top):
    """Processes below one, as the host numbers them."""
    children = {}
    for entry in Path("/proc").iterdir():
        try:
            children.setdefault(parent(entry.name), []).append(int(entry.name))
        except (OSError, ValueError):
            continue
    found = [top]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


# /proc is the host's, so its numbers are, too.
driver_pid = int(os.readlink("/proc/self"))
host = parent(driver_pid)


def held():
    return {
        "descriptors of the driver": len(os.listdir("/proc/self/fd")),
        "descriptors of sandbox-keeper": len(os.listdir(f"/proc/{host}/fd")),
        "threads of the driver": len(os.listdir("/proc/self/task")),
        "threads of sandbox-keeper": len(os.listdir(f"/proc/{host}/task")),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "processes": len(below(host)),
    }


def cycle(number):
    machine.start()
    machine.succeed("sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 & true")
    if number % 2:
        machine.crash()
    else:
        machine.shutdown()


for number in range(4):
    cycle(number)
before = held()
for number in range(CYCLES):
    cycle(number)


def leaked():
    return {what: count - before[what] for what, count in held().items() if count > before[what]}


# Threads that have done their work need a moment to end.
retry(lambda last: not leaked() or (last and t.fail(f"after {CYCLES} cycles there are more: {leaked()}")), 5)
