#!/usr/bin/env python3
"""guest.py FOLDER PROJECT CHECK: runs a check on Debian guests under emulation, by nixpkgs' own driver.

Real systemd, with the units, addresses and firewall scripts that Nix evaluates for the check: FOLDER/machines.json. What else
FOLDER holds, ci/guest.sh says.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

BACKDOOR = """[Unit]
Description=Shell of the driver
Requires=dev-hvc0.device
After=dev-hvc0.device

[Service]
ExecStart=/bin/bash -c 'cd /tmp; source /etc/profile; exec < /dev/hvc0 > /dev/hvc0 2> /dev/ttyS0; stty raw -echo; echo "Spawning backdoor root shell..."; exec bash --norc /dev/hvc0'
Environment=HOME=/root USER=root
KillSignal=SIGHUP
"""


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def want(root, name, by):
    link = root / "etc/systemd/system" / f"{by}.wants" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../{name}")


def machine(root, name, config, programs, ioc):
    """Writes what sets one machine apart from the bare guest."""
    write(root / "etc/hostname", name + "\n")
    # A busy computer gives an emulated machine little of its time.
    write(root / "etc/systemd/system.conf", "[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n")
    write(root / "etc/hosts", "127.0.0.1 localhost\n" + config["hosts"])
    plain = {key: value for key, value in config["variables"].items() if re.match("EPICS_", key)}
    lines = [f"export {key}='{value}'" for key, value in plain.items()]
    write(root / "etc/profile", "\n".join([*lines, "export PATH=/usr/local/bin:/usr/bin:/usr/sbin", ""]))
    for unit, what in config["units"].items():
        write(root / "etc/systemd/system" / unit, what["text"])
        for by in what["wantedBy"]:
            want(root, unit, by)
    write(root / "etc/systemd/system/backdoor.service", BACKDOOR)
    want(root, "backdoor.service", "multi-user.target")
    for path, text in config["files"].items():
        write(root / path.lstrip("/"), text, 0o755)
    local = root / "usr/local/bin"
    local.mkdir(parents=True)
    for program in programs.iterdir():
        shutil.copy2(program, local / f".{program.name}")
        # Emulated, and beside others: a client gets longer than the second that it gives an answer by itself.
        option = " -w 20" if program.name in ("caget", "caput") else ""
        write(local / program.name, f'#!/bin/sh\nexec /usr/local/bin/.{program.name}{option} "$@"\n', 0o755)
    texts = [what["text"] for what in config["units"].values()] + list(config["files"].values())
    for path in sorted(set(re.findall(r"/nix/store/[a-z0-9]{32}-[^/ \n:\"']+", "\n".join(texts)))):
        place = root / path.lstrip("/")
        if any(text.startswith(path) for text in config["files"]):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if re.search(f"{re.escape(path)}/iocBoot/", "\n".join(texts)):
            shutil.copytree(ioc, place)
            app = next(place.glob("*App")).name.removesuffix("App")
            script = f'#!/bin/sh\nexec /usr/local/bin/soft-ioc --app {app} "$@"\n'
            write(place / f"bin/linux-{os.uname().machine}/{app}", script, 0o755)
        elif "-procServ-" in path:
            # Debian's 2.7 does not know --oneshot, by which systemd and not procServ starts the IOC anew.
            write(place / "bin/procServ", '#!/bin/bash\nexec /usr/bin/procServ "${@/#--oneshot/--quiet}"\n', 0o755)
        elif path.endswith("-psu-simulator"):
            place.symlink_to("/usr/local")
        else:
            place.symlink_to("/usr")


def archive(tree, file):
    names = subprocess.run(["find", ".", "-print0"], cwd=tree, check=True, stdout=subprocess.PIPE).stdout
    with open(file, "ab") as out:
        subprocess.run(["cpio", "--null", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names, stdout=out, check=True)


def main():
    folder, project, check = sys.argv[1:]
    folder, project = Path(folder).resolve(), Path(project).resolve()
    os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
    nodes = json.loads((folder / "machines.json").read_text())[check]
    with tempfile.TemporaryDirectory(prefix="guest-") as scratch:
        starts = []
        for name, config in nodes.items():
            place = Path(scratch) / name
            machine(place / "root", name, config, folder / "programs", project / "ioc")
            shutil.copyfile(folder / "base.cpio", place / "initrd")
            archive(place / "root", place / "initrd")
            mac = f"52:54:00:12:01:{config['number']:02x}"
            start = place / f"run-{name}-vm"
            write(start, f"""#!/bin/sh
exec qemu-system-x86_64 -accel tcg,tb-size=1024 -m 1024 -kernel {folder}/vmlinuz -initrd {place}/initrd \\
  -append "console=ttyS0 net.ifnames=0 panic=1 quiet mitigations=off no_timer_check" -display none \\
  -netdev user,id=user -device virtio-net-pci,netdev=user,romfile= \\
  -netdev vde,id=vlan1,sock="$QEMU_VDE_SOCKET_1" -device virtio-net-pci,netdev=vlan1,mac={mac},romfile= "$@"
""", 0o755)
            # `exec`: the driver ends the process that it has started, and that is to be QEMU.
            starts.append(f"exec {start}")
        out = Path(scratch) / "out"
        out.mkdir()
        # Drivers before 2025 have no `t`.
        script = Path(scratch) / "script.py"
        write(script, 'import unittest; t = globals().get("t") or unittest.TestCase()\n' + (project / "checks" / f"{check}.py").read_text())
        driver = [sys.executable, "-c", "import test_driver; test_driver.main()"]
        driver += ["--start-scripts", *starts, "--vlans", "1", "--global-timeout", "1800", "-o", str(out), str(script)]
        environment = dict(os.environ, PYTHONPATH=str(folder), TMPDIR=scratch, XDG_RUNTIME_DIR=scratch)
        # In a PID namespace: with the driver go its QEMUs, whatever ends it.
        driver = ["nice", "-n", "19", "unshare", "--pid", "--fork", "--kill-child", *driver]
        return subprocess.run(driver, env=environment, timeout=2000).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
