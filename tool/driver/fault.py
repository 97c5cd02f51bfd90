#!/usr/bin/env python3
"""Spoils what a device says, for a check: `fault psu late 2`. It runs on the machines of checks, here and on NixOS.

A relay stands between the IOC and the simulator, so no simulator knows of it. It is told over a socket what to do with
the answers, and says when it does so: what is answered from then on is spoiled, or is not any more.
"""
import os
import re
import socket
import sys
import threading

USAGE = """\
usage: fault NAME ok             what the simulator says goes through again
       fault NAME late SECONDS   each answer comes so much later
       fault NAME wrong TEXT     TEXT instead of each answer; the line's end stays
       fault NAME garbled        answers that no protocol can read
       fault NAME silent         no answer
       fault NAME dropped        the connection is closed, and no new one is taken
"""
WITH_VALUE = ("late", "wrong")
KINDS = ("ok", "garbled", "silent", "dropped") + WITH_VALUE


def spoiled(kind, value, data):
    """What is said instead of data; None is nothing."""
    end = re.search(rb"[\0-\x1f]*\Z", data).group()
    if kind == "silent":
        return None
    if kind == "wrong":
        return value.encode() + end
    if kind == "garbled":
        return bytes(byte | 0x80 for byte in data[:len(data) - len(end)]) + end
    return data


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
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client = listener.accept()[0]
                device = socket.create_connection(("localhost", self.target))
            except ConnectionError:  # the device is not there: the IOC shall see that
                client.close()
                continue
            except OSError:  # nobody is to be listened to any more
                return
            with self.told:
                self.links.update((client, device))
                if self.fault[0] == "dropped":
                    self.cut()
            for pump in ((client, device, lambda data: data), (device, client, self.answer)):
                threading.Thread(target=self.pass_on, args=pump, daemon=True).start()

    def pass_on(self, source, sink, change):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                with self.told:  # what the command has said holds for all that is sent after it
                    data = change(data)
                    if data is not None:
                        sink.sendall(data)
        except OSError:
            pass
        with self.told:
            for end in (source, sink):
                self.links.discard(end)
                self.shut(end)

    def answer(self, data):
        kind, value = fault = self.fault
        if kind == "late":
            self.told.wait_for(lambda: self.fault != fault, timeout=float(value))
            kind, value = self.fault if self.fault[0] != "late" else ("ok", "")
        return spoiled(kind, value, data)

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
            before, self.fault = self.fault, (kind, value)
            self.told.notify_all()
            if kind == "dropped" and before[0] != "dropped":
                self.shut(self.listener)
                self.listener.close()
                self.cut()
            if kind != "dropped" and before[0] == "dropped":
                self.listen()


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
        if "NOTIFY_SOCKET" in os.environ:
            address = re.sub("^@", "\0", os.environ["NOTIFY_SOCKET"])
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.sendto(b"READY=1", address)
        while True:
            with listener.accept()[0] as command, command.makefile("rw") as words:
                kind, value = words.readline().rstrip("\n").split(" ", 1)
                relay.set(kind, value)
                print(f"fault {name} {kind} {value}".rstrip(), flush=True)
                words.write("done\n")


def tell(name, kind, value):
    """Tells a relay, and waits until it has done so. The exit status."""
    with socket.socket(socket.AF_UNIX) as relay:
        try:
            relay.connect(door(name))
        except OSError:
            print(f"fault: nothing stands before `{name}` on this machine\n\nhint: tool/docs/checks.md, \"A device that fails\"",
                  file=sys.stderr)
            return 2
        with relay.makefile("rw") as words:
            words.write(f"{kind} {value}\n")
            words.flush()
            return 0 if words.readline() == "done\n" else 1


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
