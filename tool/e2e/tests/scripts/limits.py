wanted = {"f": "unlimited", "s": "8192", "t": "unlimited", "v": "unlimited", "d": "unlimited", "n": "1024", "c": "0", "r": "0"}
asked = "; ".join(f"echo {name} $(ulimit -S -{name})" for name in wanted) + "; grep ^SigIgn: /proc/self/status"
for run in ["bash", "systemd-run --pipe --wait -q bash"]:
    machine.succeed(f"cat >/tmp/asked <<'END'\n{asked}\nEND")
    *limits, signals = machine.succeed(f"{run} /tmp/asked").splitlines()
    assert dict(line.split() for line in limits) == wanted, (run, limits)
    # SIGPIPE, as systemd has it; those from 32 on are the C library's own
    assert int(signals.split()[1], 16) & 0x7FFFFFFF == 0x1000, (run, signals)
machine.succeed("systemctl show -p LimitNOFILESoft --value ioc.service | grep -qx 1024")
machine.succeed("systemctl show -p LimitSTACKSoft --value ioc.service | grep -qx 8388608")
