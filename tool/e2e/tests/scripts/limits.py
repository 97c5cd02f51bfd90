# Limits that control groups keep: states, journals and files as with systemd 252 on Debian 12.


def unit(name, *lines):
    text = "\n".join(("[Service]", *lines))
    machine.succeed(f"cat > /etc/systemd/system/{name}.service <<'END'\n{text}\nEND")


def shows(name, **wanted):
    for key, value in wanted.items():
        t.assertEqual(machine.get_unit_property(name, key), value, f"{key} of {name}")


def said(name):
    return machine.succeed(f"journalctl -u {name} -o cat --no-pager").splitlines()


KILLED = "A process of this unit has been killed by the OOM killer."

start_all()
machine.wait_for_unit("multi-user.target")

with subtest("a service that wants too much memory is killed"):
    unit("hog", "ExecStart=/usr/bin/tail /dev/zero", "MemoryMax=30M", "MemorySwapMax=0")
    machine.succeed("systemctl start hog")
    machine.wait_until_succeeds("systemctl is-failed hog", timeout=120)
    shows("hog", ActiveState="failed", SubState="failed", Result="oom-kill", ExecMainCode="2", ExecMainStatus="9")
    shows("hog", MemoryMax="31457280", MemorySwapMax="0", MemoryHigh="infinity", MemoryCurrent="[not set]")
    t.assertEqual(
        said("hog"),
        [
            "Started hog.service.",
            f"hog.service: {KILLED}",
            "hog.service: Main process exited, code=killed, status=9/KILL",
            "hog.service: Failed with result 'oom-kill'.",
        ],
    )
    unit("once", "Type=oneshot", "ExecStart=/usr/bin/tail /dev/zero", "MemoryMax=30M", "MemorySwapMax=0")
    t.assertIn("out-of-memory (OOM)", machine.fail("systemctl start once 2>&1"))
    shows("once", Result="oom-kill")

with subtest("OOMPolicy= settles what becomes of the others"):
    for policy in "stop", "continue", "kill":
        unit(
            policy,
            "ExecStart=/bin/sh -c '/usr/bin/tail /dev/zero; exec sleep 1000'",
            "MemoryMax=30M",
            "MemorySwapMax=0",
            f"OOMPolicy={policy}",
        )
        machine.succeed(f"systemctl start {policy}")
        machine.wait_until_succeeds(f"journalctl -u {policy} | grep -F '{KILLED}'", timeout=120)
    machine.wait_until_succeeds("systemctl is-failed stop kill", timeout=20)
    shows("stop", Result="oom-kill", ExecMainStatus="15")
    shows("kill", Result="oom-kill", ExecMainStatus="9")
    machine.wait_until_succeeds("systemctl show -P MainPID continue | xargs -I@ grep -x sleep /proc/@/comm", timeout=20)
    shows("continue", ActiveState="active", Result="success")
    machine.succeed("systemctl stop continue")

with subtest("a service cannot have more tasks"):
    unit("bomb", "ExecStart=/bin/bash -c 'for i in {1..9}; do sleep 1000 & done; wait'", "TasksMax=5")
    machine.succeed("systemctl start bomb")
    machine.wait_until_succeeds("journalctl -u bomb | grep 'fork: retry: Resource temporarily unavailable'", timeout=20)
    shows("bomb", TasksMax="5", TasksCurrent="5", ActiveState="active")
    machine.succeed("systemctl stop bomb")

with subtest("the machine sees its own groups"):
    unit("quota", "ExecStart=/bin/sleep 1000", "CPUQuota=50%", "MemoryHigh=20M", "TasksMax=50%")
    machine.succeed("systemctl start quota")
    group = "/sys/fs/cgroup/system.slice/quota.service"
    t.assertEqual(machine.succeed(f"cat {group}/cpu.max {group}/memory.high"), "50000 100000\n20971520\n")
    t.assertEqual(machine.succeed(f"cat {group}/pids.max").strip(), machine.get_unit_property("quota", "TasksMax"))
    pid = machine.get_unit_property("quota", "MainPID")
    t.assertEqual(machine.succeed(f"cat /proc/{pid}/cgroup"), "0::/system.slice/quota.service\n")
    shows("quota", CPUQuotaPerSecUSec="500ms", TasksCurrent="1", ControlGroup="/system.slice/quota.service")
    t.assertGreater(int(machine.get_unit_property("quota", "MemoryCurrent")), 0)
    t.assertIn("0::/init.scope\n", machine.succeed("cat /proc/self/cgroup"))
    machine.succeed("systemctl stop quota")
    t.assertEqual(machine.succeed("find /sys/fs/cgroup/system.slice -mindepth 1 -type d"), "")

with subtest("a machine that starts again has them again"):
    machine.shutdown()
    machine.start()
    machine.succeed("systemctl start hog")
    machine.wait_until_succeeds("systemctl is-failed hog", timeout=120)
    shows("hog", Result="oom-kill")
    machine.crash()
    machine.start()
    machine.succeed("systemctl start quota")
    shows("quota", TasksCurrent="1")
