#!/usr/bin/env python3
"""Spoils what a device says, for a check: `fault psu late 2`. It runs on the machines of checks, here and on NixOS.

A relay stands between the IOC and the simulator, so no simulator knows of it. It is told over a socket what to do with
the answers, and says when it does so: what is answered from then on is spoiled, or is not any more.
"""
import os
import queue
import re
import select
import socket
import sys
import threading
import time

USAGE = """\
usage: fault NAME ok             what the simulator says goes through again
       fault NAME late SECONDS   each answer comes so much later
       fault NAME wrong TEXT     TEXT instead of each answer; a line's end stays
       fault NAME garbled        answers that no protocol can read
       fault NAME silent         no answer
       fault NAME dropped        the connection is closed, and no new one is taken
"""
# Seconds: an answer is over, with or without a line's end, when nothing more has come for so long.
SILENCE = 0.2
WITH_VALUE = ("late", "wrong")
KINDS = ("ok", "garbled", "silent", "dropped") + WITH_VALUE


def spoiled(kind, value, data, over=False, going_on=False):
    """What is said instead of data, and what waits for the rest of its line, if the answer is not over; of nothing,
    nothing is said. If it is going on, the text up to the first line's end was told before.
    """
    if kind == "silent":
        return b"", b""
    if kind == "wrong":
        if going_on:
            data = re.sub(rb"\A[^\0-\x1f]+(?=[\0-\x1f])", b"", data)
        *lines, rest = re.split(rb"(?<=[\0-\x1f])(?![\0-\x1f])", data)
        if over:
            lines, rest = [*lines, rest], b""
        return b"".join(re.sub(rb"[^\0-\x1f]+", lambda _: value.encode(), line, count=1) for line in lines), rest
    if kind == "garbled":
        return re.sub(rb"[^\0-\x1f]", lambda byte: bytes([byte.group()[0] | 0x80]), data), b""
    return data, b""


class Relay:
    """Passes on what goes from one TCP port to another, and the answers as they are to be."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.told = threading.Condition()
        self.fault = ("ok", "")
        self.links = set()
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                with self.told:
                    if listener is not self.listener or self.fault[0] == "dropped":
                        return
                    self.told.wait(0.1)  # too many are open, say
                continue
            try:
                device = socket.create_connection(("localhost", self.target))
            except OSError:  # the device is not there: the IOC shall see that
                client.close()
                continue
            with self.told:
                self.links.update((client, device))
                if self.fault[0] == "dropped":
                    self.cut()
            said, asked = queue.Queue(1000), threading.Event()
            for task in ((self.ask, client, device, asked), (self.hear, device, said),
                         (self.answer, said, device, client, asked)):
                threading.Thread(target=task[0], args=task[1:], daemon=True).start()

    def ask(self, client, device, asked):
        """What the IOC says goes through as it is."""
        try:
            data = client.recv(65536)
            while data:
                asked.set()
                device.sendall(data)
                data = client.recv(65536)
        except OSError:
            pass
        self.end(client, device)

    @staticmethod
    def hear(device, said):
        """What the device says, and when; nothing at its end."""
        data = b"-"
        while data:
            try:
                data = device.recv(65536)
            except OSError:
                data = b""
            said.put((time.monotonic(), data))

    def answer(self, said, device, client, asked):
        rest, data, paused = b"", None, False
        while data != b"":
            try:
                came, data = said.get(timeout=SILENCE if rest else None)
            except queue.Empty:  # as of a device whose answers end in `;`, or in nothing
                data, paused = None, True
            going_on = paused and bool(data) and not asked.is_set()
            if data and not rest:  # an answer begins: what is asked from now on has another one, however soon it is asked
                asked.clear()
            try:
                select.select([], [client], [])  # a command does not wait for an IOC that does not read
                with self.told:  # what the command has said holds for all that is sent after it
                    answer, rest = self.spoil(rest + (data or b""), came, over=not data, going_on=going_on)
                    sent = client.send(answer, socket.MSG_DONTWAIT) if answer else 0
                client.sendall(answer[sent:])
                paused = paused and (not data or bool(rest))
            except (OSError, ValueError):
                break
        self.end(device, client)
        while data != b"":  # who hears the device may wait for room
            data = said.get()[1]

    def spoil(self, data, came, over, going_on):
        kind, value = fault = self.fault
        if kind == "late":
            self.told.wait_for(lambda: self.fault != fault, timeout=max(0, came + float(value) - time.monotonic()))
            kind, value = self.fault if self.fault[0] != "late" else ("ok", "")
        return spoiled(kind, value, data, over, going_on)

    def end(self, *ends):
        with self.told:
            for end in ends:
                self.links.discard(end)
                self.shut(end)

    def cut(self):
        while self.links:
            self.shut(self.links.pop())

    @staticmethod
    def shut(end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was closed by its other side

    def set(self, kind, value):
        with self.told:
            before = self.fault[0]
            if kind != "dropped" and before == "dropped":
                self.listen()  # if it cannot, all stays as it is
            self.fault = (kind, value)
            self.told.notify_all()
            if kind == "dropped" and before != "dropped":
                self.shut(self.listener)
                self.listener.close()
                self.cut()


def door(name):
    """Where the relay of a simulator is spoken to."""
    return os.path.join(os.environ.get("FAULT_DIR", "/run"), f"fault-{name}.socket")


def serve(name, port, target):
    """Runs until it is ended."""
    try:
        os.unlink(door(name))
    except FileNotFoundError:
        pass
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(door(name))
        listener.listen()
        relay = Relay(port, target)
        print(f"fault {name} on port {relay.port}", flush=True)
        if "NOTIFY_SOCKET" in os.environ:
            address = re.sub("^@", "\0", os.environ["NOTIFY_SOCKET"])
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.sendto(b"READY=1", address)
        while True:
            try:
                with listener.accept()[0] as command, command.makefile("rw", newline="\n") as words:
                    command.settimeout(2)  # who says nothing holds nobody up
                    kind, value = words.readline().rstrip("\n").split(" ", 1)
                    try:
                        relay.set(kind, value)
                    except OSError as error:
                        words.write(f"{error.strerror}\n")
                        raise
                    print(f"fault {name} {kind} {value}".rstrip(), flush=True)
                    words.write("done\n")
            except (OSError, ValueError) as error:  # who spoke is gone, or was no command
                print(f"fault {name}: a command was not taken: {error}", flush=True)


def tell(name, kind, value):
    """Tells a relay, and waits until it has done so. The exit status."""
    with socket.socket(socket.AF_UNIX) as relay:
        try:
            relay.connect(door(name))
        except OSError:
            print(f"fault: nothing stands before `{name}` on this machine\n\nhint: tool/docs/checks.md, \"A device that fails\"",
                  file=sys.stderr)
            return 2
        with relay.makefile("rw", newline="\n") as words:
            words.write(f"{kind} {value}\n")
            words.flush()
            said = words.readline().strip() or "it has ended"
            if said != "done":
                print(f"fault: {name} stays as it is: {said}\n\nhint: in the script: print(machine.succeed('journalctl -u {name}-faults'))", file=sys.stderr)
            return 0 if said == "done" else 1


def main(args):
    if args[:1] == ["--relay"]:
        return serve(args[1], int(args[2]), int(args[3]))
    if len(args) not in (2, 3) or args[1] not in KINDS or (len(args) == 3) != (args[1] in WITH_VALUE):
        print(USAGE, end="", file=sys.stderr)
        return 2
    name, kind, value = args[0], args[1], "".join(args[2:])
    if kind == "late":
        try:
            late = float(value)
        except ValueError:
            late = -1
        if not 0 <= late < 1e6:
            print(f"fault: `{value}` is no number of seconds\n\nhint: fault {name} late 2", file=sys.stderr)
            return 2
    if "\n" in value:
        print(f"fault: an answer is one line\n\nhint: fault {name} wrong 99", file=sys.stderr)
        return 2
    return tell(name, kind, value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
