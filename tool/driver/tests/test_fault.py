"""Faults of devices: the relay and its command, over real sockets."""
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from driver import fault

PROGRAM = fault.__file__


class Echo(threading.Thread):
    """A device that answers what it hears."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("localhost", 0))
        self.port = self.listener.getsockname()[1]
        self.clients = []

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    @staticmethod
    def talk(client):
        with client:
            data = client.recv(100)
            while data:
                client.sendall(data)
                data = client.recv(100)


class Faults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.env = dict(os.environ, FAULT_DIR=folder.name, NOTIFY_SOCKET=os.path.join(folder.name, "notify"))
        device = self.device = Echo()
        device.start()
        self.addCleanup(device.listener.close)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(self.env["NOTIFY_SOCKET"])
            relay = subprocess.Popen([sys.executable, PROGRAM, "--relay", "psu", "0", str(device.port)],
                                     env=self.env, stdout=subprocess.PIPE, text=True)
            self.addCleanup(relay.stdout.close)
            self.addCleanup(relay.wait)
            self.addCleanup(relay.kill)
            self.port = int(relay.stdout.readline().split()[-1])
            self.assertEqual(systemd.recv(100), b"READY=1")

    def fault(self, *words, status=0):
        told = subprocess.run([sys.executable, PROGRAM, *words], env=self.env, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(told.returncode, status, told.stderr)
        return told.stderr.decode()

    def connect(self):
        client = socket.create_connection(("localhost", self.port), timeout=60)
        self.addCleanup(client.close)
        return client

    def test_each_fault_holds_until_the_next(self):
        client = self.connect()

        def ask(text):
            client.sendall(text)
            return client.recv(100)

        self.assertEqual(ask(b"1.5\r\n"), b"1.5\r\n")
        self.fault("psu", "wrong", "99 V")
        self.assertEqual([ask(b"1.5\r\n"), ask(b"1.5\n")], [b"99 V\r\n", b"99 V\n"])
        self.fault("psu", "garbled")
        self.assertEqual(ask(b"15\r\n"), b"\xb1\xb5\r\n")
        self.fault("psu", "late", "0.01")
        self.assertEqual(ask(b"2\n"), b"2\n")
        # The next fault ends the wait: nothing here waits for a time.
        self.fault("psu", "late", "3600")
        client.sendall(b"4\n")
        self.fault("psu", "ok")
        self.assertEqual(client.recv(100), b"4\n")
        self.assertEqual(fault.spoiled("silent", "", b"5\n"), (b"", b""))

    def test_an_answer_is_a_line_however_it_comes(self):
        wrong = [fault.spoiled("wrong", "99", data) for data in (b"1.5", b"1.5\r\n2.5\r\n3", b"\x021.5\x03\r\n", b"\n")]
        self.assertEqual(wrong, [(b"", b"1.5"), (b"99\r\n99\r\n", b"3"), (b"\x0299\x03\r\n", b""), (b"\n", b"")])
        client = self.connect()
        self.fault("psu", "wrong", "99\\1")
        client.sendall(b"1.")
        client.sendall(b"5\r")
        self.assertEqual(client.recv(100), b"99\\1\r")
        # One that has no such end is over when no more comes, and nothing of it comes later.
        client.sendall(b"6;")
        self.assertEqual(client.recv(100), b"99\\1")
        self.fault("psu", "ok")
        client.sendall(b"7;")
        self.assertEqual(client.recv(100), b"7;")
        self.assertEqual(fault.spoiled("wrong", "99", b"6;", over=True), (b"99", b""))

    def test_a_pause_in_a_line_begins_no_answer(self):
        client = self.connect()
        self.fault("psu", "wrong", "99")
        client.sendall(b"1.")
        self.assertEqual(client.recv(100), b"99")
        self.device.clients[0].sendall(b"5\r\n")
        self.assertEqual(client.recv(100), b"\r\n")
        # What the IOC has asked for since is an answer.
        client.sendall(b"2")
        self.assertEqual(client.recv(100), b"99")
        client.sendall(b"3\n")
        self.assertEqual(client.recv(100), b"99\n")

    def test_what_is_asked_before_the_silence_is_over_has_an_answer(self):
        here, there = socket.socketpair()
        near, far = socket.socketpair()
        relay = fault.Relay(0, 0)
        for end in (here, there, near, far, relay.listener):
            self.addCleanup(end.close)
        relay.set("wrong", "99")
        asked = threading.Event()

        class Said:
            def get(self, timeout=None):
                return next(steps)()

        def silence():
            asked.set()
            raise queue.Empty

        steps = iter([lambda: (0, b"1."), silence, lambda: (0, b"7.25\r\n"), lambda: (0, b"")])
        relay.answer(Said(), near, there, asked)
        self.assertEqual(here.recv(100), b"9999\r\n")

    def test_what_cannot_be_is_said(self):
        self.fault("psu", "dropped")
        with socket.create_server(("127.0.0.1", self.port)):
            told = self.fault("psu", "ok", status=1)
        self.assertIn("fault: psu stays as it is: Address already in use", told)
        self.assertIn("hint: in the script: print(machine.succeed('journalctl -u psu-faults'))", told)
        self.fault("psu", "ok")

    def test_who_does_not_read_and_who_says_nothing_hold_nobody_up(self):
        client = self.connect()
        client.setblocking(False)
        try:
            while True:
                client.sendall(b"x" * 65536)
        except BlockingIOError:
            pass
        with socket.socket(socket.AF_UNIX) as mute:
            mute.connect(os.path.join(self.env["FAULT_DIR"], "fault-psu.socket"))
            self.fault("psu", "silent")
            self.fault("psu", "ok")

    def test_a_connection_is_dropped_until_all_is_well(self):
        client = self.connect()
        client.sendall(b"1\n")
        self.assertEqual(client.recv(100), b"1\n")
        self.fault("psu", "dropped")
        self.assertEqual(client.recv(100), b"")
        self.assertRaises(ConnectionRefusedError, self.connect)
        self.fault("psu", "dropped")
        self.fault("psu", "ok")
        client = self.connect()
        client.sendall(b"2\n")
        self.assertEqual(client.recv(100), b"2\n")

    def test_what_cannot_be_is_refused(self):
        for words in (["psu"], ["psu", "broken"], ["psu", "late"], ["psu", "ok", "1"], []):
            self.assertIn("usage: fault NAME ok", self.fault(*words, status=2))
        for value in ("x", "-1", "nan", "inf"):
            self.assertIn("no number of seconds", self.fault("psu", "late", value, status=2))
        self.assertIn("one line", self.fault("psu", "wrong", "1\n2", status=2))
        self.assertIn("before `dmm`", self.fault("dmm", "ok", status=2))


if __name__ == "__main__":
    unittest.main()
