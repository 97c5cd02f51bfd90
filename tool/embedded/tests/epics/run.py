#!/usr/bin/env python3
"""Runs differential cases against C EPICS with the soft IOC, and compares with what C answered.

    run.py FOLDER-OF-PROGRAMS [CASE...]

A case is a folder beside this file; README.md says what is in it. Each part of an answer that differs must stand in accepted.txt
with a reason, and what stands there as `always` must differ: the list only shrinks. `sometimes` is for what hangs on
time. Exit status: 0 as listed, 1 not.
"""

import concurrent.futures
import fnmatch
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = ("client", "rc", "dev", "out", "err")
# Ports of the recordings: Channel Access, the device.
CA_PORT, DEVICE_PORT = "5064", "9998"
READY = "READY-FOR-CLIENTS"
# What the recordings say otherwise because their IOC knew no texts of its error numbers, and a variable of its machine.
NUMBERS = {"Error (511,13)": "Illegal choice", "Error (511,15)": "Illegal field value", "Error (512,11)": "Bad Field value"}
OF_MACHINE = ("##", "epics>", "Warning: Duplicate EPICS CA Address list entry")
PATIENCE, READY_AFTER = 30, 20


TAKEN = []


def free_port():
    """A port that is free for TCP and UDP, of five digits, as `common/port.rs` takes them."""
    for port in (20_000 + (os.getpid() + more) % 12_000 for more in range(12_000)):
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.bind(f"\0xtask-test-port-{port}")
            with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                tcp.bind(("0.0.0.0", port))
                udp.bind(("0.0.0.0", port))
        except OSError:
            ours.close()
            continue
        TAKEN.append(ours)
        return str(port)
    raise OSError("no port from 20000 to 31999 is free")


class Device(threading.Thread):
    """Answers lines as its script says, and notes them."""

    def __init__(self, script, port):
        super().__init__(daemon=True)
        self.script, self.got, self.asked = script, [], {}
        self.server = socket.create_server(("127.0.0.1", int(port)))

    def run(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()
            if "unsolicited" in self.script:
                threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        for delay, text in self.script["unsolicited"]:
            time.sleep(delay)
            try:
                client.sendall(text.encode("latin-1"))
            except OSError:
                return

    def serve(self, client):
        rest = b""
        while True:
            try:
                data = client.recv(4096)
            except OSError:
                return
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if not self.script.get("quiet"):
                    self.got.append("%s %r" % (DEVICE_PORT, line))
                answer = self.answer(line.decode("latin-1"))
                if answer == "CLOSE":
                    client.close()
                    return
                if answer is not None:
                    client.sendall(answer.encode("latin-1"))

    def answer(self, line):
        for pattern, answer, *delay in self.script["rules"]:
            if line == pattern or ("*" in pattern and fnmatch.fnmatchcase(line, pattern)):
                time.sleep(delay[0] if delay else 0)
                if isinstance(answer, list):
                    times = self.asked[pattern] = self.asked.get(pattern, 0) + 1
                    answer = answer[min(times, len(answer)) - 1]
                return answer
        return None


class Reader(threading.Thread):
    """Reads a stream to its end, and tells when a line is there."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.text, self.ready = stream, b"", threading.Event()
        self.start()

    def run(self):
        for line in self.stream:
            self.text += line
            # The echo of the script's line comes before it.
            if line.strip() == READY.encode():
                self.ready.set()
        self.ready.set()


def sweep(home, kind):
    """Adds what all sweeps of puts share, and a record of the type `kind` for each field of the case's list."""
    shutil.copytree(os.path.join(HERE, "sweep"), home, dirs_exist_ok=True)
    with open(os.path.join(home, "list")) as fields, open(os.path.join(home, "x.db"), "w") as database:
        database.writelines('record(%s,"%s"){}\n' % (kind, line.split()[0]) for line in fields)


def run(programs, case):
    """What the soft IOC answers: the text of each part."""
    ports = {CA_PORT: free_port(), DEVICE_PORT: free_port()}
    folder = tempfile.mkdtemp()
    device = None
    try:
        home = os.path.join(folder, "case")
        shutil.copytree(os.path.join(HERE, case), home, ignore=shutil.ignore_patterns("expected"))
        if os.path.exists(os.path.join(home, "list")):
            sweep(home, case.rsplit("-", 1)[1])
        for name in os.listdir(home):
            path = os.path.join(home, name)
            if os.path.isdir(path):
                continue
            with open(path, encoding="latin-1", newline="") as file:
                text = file.read()
            for old, new in ports.items():
                text = text.replace(old, new)
            if name == "st.cmd":
                text = text.replace('dbLoadDatabase("$(DBD)")', "#-")
            os.chmod(path, 0o644)
            with open(path, "w", encoding="latin-1", newline="") as file:
                file.write(text)
        tools = os.path.join(folder, "bin")
        os.mkdir(tools)
        for tool in ("caget", "caput", "camonitor", "cainfo"):
            os.symlink(os.path.join(programs, tool + "-rs"), os.path.join(tools, tool))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EPICS_")}
        environment.update(
            PATH=tools + ":" + os.environ["PATH"], NO_COLOR="1", TMPDIR=folder,
            EPICS_CA_SERVER_PORT=ports[CA_PORT], EPICS_CA_ADDR_LIST="127.0.0.1", EPICS_CA_AUTO_ADDR_LIST="NO",
            EPICS_CAS_INTF_ADDR_LIST="127.0.0.1", EPICS_CAS_BEACON_ADDR_LIST="127.0.0.1", EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO",
        )
        of_ioc = dict(environment)
        if os.path.exists(os.path.join(home, "env")):
            with open(os.path.join(home, "env")) as file:
                of_ioc.update(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        if os.path.exists(os.path.join(home, "dev.json")):
            with open(os.path.join(home, "dev.json")) as file:
                device = Device(json.load(file), ports[DEVICE_PORT])
            device.start()
        answer = converse(os.path.join(programs, "soft-ioc"), home, of_ioc, environment)
        answer["dev"] = "".join(line + "\n" for line in device.got) if device else ""
        for part, text in answer.items():
            for old, new in ports.items():
                text = text.replace(new, old)
            answer[part] = text.replace(home, "<path>")
        return answer
    finally:
        if device:
            device.server.close()
        shutil.rmtree(folder)


def converse(soft_ioc, home, of_ioc, of_clients):
    """Starts the IOC, runs the clients' commands, ends the IOC's input."""
    ioc = subprocess.Popen(
        [soft_ioc, "--app", "streamApp", "st.cmd"], cwd=home, env=of_ioc,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    try:
        out, err = Reader(ioc.stdout), Reader(ioc.stderr)
        # One that stops in its script never says so.
        out.ready.wait(READY_AFTER)
        client, of_clients = "", dict(of_clients, IOC_PID=str(ioc.pid))
        if READY.encode() not in out.text.split(b"\n"):
            client = "NOT READY\n"
        elif os.path.exists(os.path.join(home, "client.sh")):
            with open(os.path.join(home, "client.sh")) as file:
                commands = file.read().splitlines()
            for command in commands:
                if command.startswith("@sleep "):
                    time.sleep(float(command.split()[1]))
                elif command:
                    done = subprocess.run(
                        ["bash", "-c", command], cwd=home, env=of_clients, stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=6 * PATIENCE,
                    )
                    client += "$ %s\n%s[rc=%d]\n" % (command, done.stdout.decode("latin-1"), done.returncode)
        ioc.stdin.close()
        try:
            code = str(ioc.wait(PATIENCE))
        except subprocess.TimeoutExpired:
            code = "hang"
            ioc.kill()
        out.join()
        err.join()
    finally:
        ioc.kill()
        ioc.wait()
    texts = {"client": client, "rc": code + "\n"}
    texts.update((name, reader.text.decode("latin-1")) for name, reader in (("out", out), ("err", err)))
    return texts


def comparable(part, text):
    """What is compared: times, addresses, colours, the banner and line ends are not."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ... .\d 20\d\d [0-9:.]+", "<time>", text)
    text = re.sub(r"\b20\d\d[-/]\d\d[-/]\d\d[ T][0-9:.]+", "<time>", text)
    for number, meaning in NUMBERS.items():
        text = text.replace(number, meaning)
    text = re.sub(r"\b0x[0-9a-f]{8,}\b|127\.0\.0\.1:\d{5}\b", "<address>", text)
    text = re.sub(r"<path>[\w/.]+", "<path>", text)
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line for line in lines if not line.startswith(OF_MACHINE)]
    if part in ("out", "err"):
        return set(lines) - {'dbLoadDatabase("<path>")', ""}
    return [line for line in lines if line] if part == "rc" else lines


def differing(programs, case):
    """The parts of a case that differ, each with a line of it."""
    got, found = run(programs, case), {}
    for part in PARTS:
        path = os.path.join(HERE, case, "expected", part)
        if not os.path.exists(path):
            continue
        with open(path, encoding="latin-1", newline="") as file:
            want = comparable(part, file.read())
        have = comparable(part, got[part])
        if want != have:
            pairs = zip(sorted(want - have) or [None], sorted(have - want) or [None]) if isinstance(want, set) else zip(
                want + [None] * len(have), have + [None] * len(want))
            found[part] = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
            if os.environ.get("KEEP"):
                with open(os.path.join(os.environ["KEEP"], "%s.%s" % (case, part)), "w") as file:
                    file.write(got[part])
    return found


def accepted():
    """The accepted differences: case and part, and whether they are always there. A reason must follow."""
    with open(os.path.join(HERE, "accepted.txt")) as file:
        lines = [line.split(None, 3) for line in file if line.strip() and not line.startswith("#")]
    return {(case, part): {"always": True, "sometimes": False}[when] for case, part, when, _reason in lines}


def main():
    programs = os.path.abspath(sys.argv[1])
    everything = sorted(name for name in os.listdir(HERE) if os.path.isdir(os.path.join(HERE, name, "expected")))
    cases = sys.argv[2:] or everything
    listed, wrong, same = accepted(), 0, dict.fromkeys(PARTS, 0)
    # They mostly wait.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for case, found in zip(cases, pool.map(lambda case: differing(programs, case), cases)):
            for part in PARTS:
                same[part] += part not in found
                if part in found and (case, part) not in listed:
                    print("%s %s: C has %r, ours %r" % ((case, part) + tuple(found[part])))
                    wrong += 1
                elif part not in found and listed.get((case, part)):
                    print("%s %s: is as C has it; take it out of accepted.txt" % (case, part))
                    wrong += 1
    for case, part in listed:
        if case not in everything or part not in PARTS:
            print("%s %s: no such case" % (case, part))
            wrong += 1
    print("of %d cases as C: %s" % (len(cases), ", ".join("%s %d" % pair for pair in same.items())))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
