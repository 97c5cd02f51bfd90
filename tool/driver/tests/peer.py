"""A real peer for the driver's channels: plays sandbox-keeper and the machines, running commands with bash on this host.

Sockets, pipes, processes and their deaths are real; only the isolation is missing.
"""
import array
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

DRIVER = Path(__file__).resolve().parents[1]
# `systemctl poweroff`, `systemctl reboot` and `poweroff` tell this peer.
POWER = """#!/bin/sh
echo "${1-poweroff}" >"$CONTROL"
exec sleep 60
"""


class Machine:
    """One boot of one machine."""

    def __init__(self, peer, name):
        self.peer, self.name = peer, name
        self.shell, self.shell_far = socket.socketpair()
        console, self.console = os.pipe()
        self.console_far = os.fdopen(console, "rb", 0)
        self.running, self.lock, self.dead = set(), threading.Lock(), False
        self.control = str(peer.top / f"{name}.{peer.boots}.control")
        peer.boots += 1
        os.mkfifo(self.control)
        self.control_fd = os.open(self.control, os.O_RDWR)
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.obey, daemon=True).start()

    def say(self, line):
        os.write(self.console, line.encode() + b"\n")

    def obey(self):
        with os.fdopen(self.control_fd, "rb", 0) as fifo:
            word = fifo.readline().decode().strip()
        if word in ("poweroff", "reboot"):
            self.end({"poweroff": 0, "reboot": 3}[word])

    def listen(self):
        with self.shell.makefile("rb") as stream:
            while True:
                size = stream.read(4)
                if len(size) < 4:
                    break
                head = json.loads(stream.read(int.from_bytes(size, "big")))
                body = stream.read(head.get("body", 0))
                threading.Thread(target=self.serve, args=(head, body), daemon=True).start()

    def reply(self, head, body=b""):
        if body:
            head["body"] = len(body)
        text = json.dumps(head).encode()
        with self.lock:
            if not self.dead:
                self.shell.sendall(len(text).to_bytes(4, "big") + text + body)

    def serve(self, head, body):
        number, op = head["id"], head["op"]
        if op == "execute":
            status, out = self.execute(body, head["timeout"])
            self.reply({"id": number, "status": status}, out)
        elif op in ("tcp", "unix"):
            self.reply({"id": number, "open": self.connects(op, head)})
        elif op == "never":
            pass
        else:
            self.reply({"id": number, "error": f"unknown op {op}"})

    def execute(self, body, timeout):
        words = [] if timeout is None else ["timeout", str(timeout)]
        env = {"PATH": f"{self.peer.bin}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "CONTROL": self.control}
        with self.lock:
            if self.dead:
                return 137, b""
            process = subprocess.Popen([*words, "bash", "-c", b"set -euo pipefail; " + body], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=self.console, cwd=self.peer.top, env=env,
                                       start_new_session=True)
            self.running.add(process)
        out, _ = process.communicate()
        status = process.returncode
        return status if status >= 0 else 128 - status, out

    @staticmethod
    def connects(op, head):
        try:
            if op == "tcp":
                socket.create_connection((head["addr"], head["port"]), timeout=1).close()
            else:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if head["datagram"] else socket.SOCK_STREAM) as s:
                    s.connect(head["path"])
            return True
        except OSError:
            return False

    def end(self, status):
        with self.lock:
            if self.dead:
                return
            self.dead = True
            for process in self.running:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for process in self.running:
            process.wait()
        self.shell.shutdown(socket.SHUT_RDWR)
        self.shell.close()
        os.close(self.console)
        fifo = os.open(self.control, os.O_RDWR)  # both ways: does not wait for a reader
        os.write(fifo, b"\n")  # ends `obey`
        os.close(fifo)
        self.peer.send({"event": "exit", "machine": self.name, "status": status})


class Peer:
    """Plays sandbox-keeper. `driver_fd` is the driver's end of the channel."""

    def __init__(self, top, names=("machine",)):
        self.top = Path(top)
        self.bin, self.out = self.top / "bin", self.top / "out"
        for folder in (self.bin, self.out):
            folder.mkdir()
        for name in ("systemctl", "poweroff"):
            self.add_program(name, POWER)
        self.names, self.machines, self.links, self.refuse, self.boots = names, {}, [], None, 0
        self.sock, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.driver_fd = far.detach()
        self.sending = threading.Lock()
        for name in names:
            for kind in ("shared", "state"):
                (self.top / f"{name}-{kind}").mkdir()
        threading.Thread(target=self.listen, daemon=True).start()

    def add_program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def config(self, script="", **more):
        path = self.top / "script.py"
        path.write_text(script)
        return {"vlans": [1], "global_timeout": 60, "script": str(path), "lib": None, "check": "simple", "out_dir": str(self.out),
                "junit": None, "interactive": False, "debug": False, "keeper_fd": self.driver_fd, "events_fd": None,
                "machines": [{"name": n, "shared_dir": str(self.top / f"{n}-shared"),
                              "state_dir": str(self.top / f"{n}-state")} for n in self.names], **more}

    def send(self, message, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with self.sending:
            try:
                self.sock.sendmsg([json.dumps(message).encode()], rights)
            except OSError:
                pass

    def listen(self):
        while True:
            try:
                packet = self.sock.recv(1 << 16)
            except OSError:
                return
            if not packet:
                return
            request = json.loads(packet)
            number, op, name = request["id"], request["op"], request["machine"]
            if self.refuse:
                self.send({"id": number, "error": self.refuse})
            elif op != "start" and self.machines[name].dead:
                self.send({"id": number, "error": f"machine `{name}` is not running"})
            elif op == "start":
                machine = self.machines[name] = Machine(self, name)
                self.send({"id": number, "pid": os.getpid()}, [machine.shell_far.fileno(), machine.console_far.fileno()])
                machine.shell_far.close()
                machine.console_far.close()
            elif op == "kill":
                self.send({"id": number})
                self.machines[name].end(137)
            elif op == "link":
                self.links.append((name, request["up"]))
                self.send({"id": number})
            elif op == "interact":
                self.links.append((name, "interact"))
                self.send({"id": number})

    def close(self):
        for machine in list(self.machines.values()):
            machine.end(137)
        self.sock.close()


class Result:
    """What a whole run of the driver gave."""

    def __init__(self, status, stdout, stderr, events):
        self.status, self.stdout, self.stderr, self.events = status, stdout, stderr, events

    def event(self, kind):
        return [e for e in self.events if e["event"] == kind]


def drive(peer, script="", stdin="", during=None, **config):
    """Runs the driver as its own process on a script text. `during(process)` is called once it runs."""
    path = peer.top / "config.json"
    read, write = os.pipe()
    path.write_text(json.dumps(peer.config(script, events_fd=write, **config)))
    command = [sys.executable, "-B", str(DRIVER), str(path)]
    environment = {**os.environ, "XTASK_HISTORY": str(peer.top / "history"), "TMPDIR": str(peer.top)}
    events = []
    process = subprocess.Popen(command, pass_fds=(peer.driver_fd, write), stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=peer.top, env=environment)
    os.close(write)

    def follow():
        with os.fdopen(read) as stream:
            for line in stream:
                events.append(json.loads(line))
                if during and events[-1].get("text") == "ready":
                    during(process)

    reader = threading.Thread(target=follow)
    reader.start()
    stdout, stderr = process.communicate(stdin, timeout=60)
    reader.join(10)
    os.close(peer.driver_fd)
    peer.close()
    return Result(process.returncode, stdout, stderr, events)
