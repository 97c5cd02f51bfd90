"""The two channels of the driver: to sandbox-keeper (packets, with descriptors) and to a machine's PID 1 (framed stream).

Each has one reader thread that always drains it, so neither peer ever waits for the driver. Any number of requests may
be under way at once; a reply finds its request by id.
"""
import json
import os
import socket
import threading
from queue import Empty, SimpleQueue

from .errors import ChannelClosed, MachineError

CLOSED = object()  # what waiters get when the peer is gone


class Pending:
    """One request under way."""

    def __init__(self):
        self.reply = SimpleQueue()

    def wait(self, timeout=None):
        """Returns (header, payload); None after `timeout` seconds; raises ChannelClosed when the peer is gone."""
        try:
            reply = self.reply.get(timeout=timeout)
        except Empty:
            return None
        if reply is CLOSED:
            self.reply.put(CLOSED)
            raise ChannelClosed
        return reply


class Requests:
    """Ids and waiters of one channel."""

    def __init__(self):
        self._lock = threading.Lock()
        self._pending, self._next, self._closed = {}, 1, False
        self._process = os.getpid()

    def open(self):
        if os.getpid() != self._process:
            raise MachineError("a process that the script has forked cannot use machines: the answers go to the script\n"
                               "hint: threads can: concurrent.futures.ThreadPoolExecutor")
        pending = Pending()
        with self._lock:
            if self._closed:
                raise ChannelClosed
            number, self._next = self._next, self._next + 1
            self._pending[number] = pending
        return number, pending

    def answer(self, number, reply):
        with self._lock:
            pending = self._pending.pop(number, None)
        if pending:
            pending.reply.put(reply)
        return pending is not None

    def close(self):
        with self._lock:
            self._closed = True
            waiting, self._pending = list(self._pending.values()), {}
        for pending in waiting:
            pending.reply.put(CLOSED)


class ShellChannel:
    """Requests to one booted machine: a 4-byte length, a JSON header, then header["body"] bytes; both ways."""

    def __init__(self, sock):
        self._sock = sock
        self._sending = threading.Lock()
        self._requests = Requests()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, op, payload=b"", **fields):
        """Sends a request and returns its Pending."""
        number, pending = self._requests.open()
        head = {"id": number, "op": op, **fields}
        if payload:
            head["body"] = len(payload)
        text = json.dumps(head).encode()
        try:
            with self._sending:
                self._sock.sendall(len(text).to_bytes(4, "big") + text + payload)
        except OSError:
            raise ChannelClosed from None
        return pending

    def _read(self):
        with self._sock, self._sock.makefile("rb") as stream:
            try:
                while True:
                    size = stream.read(4)
                    if len(size) < 4:
                        break
                    head = json.loads(stream.read(int.from_bytes(size, "big")))
                    length = head.get("body", 0)
                    payload = stream.read(length)
                    if len(payload) < length:
                        break
                    self._requests.answer(head.get("id"), (head, payload))
            except (OSError, ValueError):
                pass  # a peer that dies in the middle of a frame
            finally:
                self._requests.close()


class KeeperChannel:
    """Requests to sandbox-keeper, and the ends of machines that it reports."""

    def __init__(self, fd):
        os.set_inheritable(fd, False)
        self._sock = socket.socket(fileno=fd)
        self._sending = threading.Lock()
        self._requests = Requests()
        self._lock = threading.Lock()
        self._exits = {}
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, op, **fields):
        """Sends a request; returns (reply, descriptors). Raises MachineError with the host's own words."""
        try:
            number, pending = self._requests.open()
            with self._sending:
                self._sock.sendall(json.dumps({"id": number, "op": op, **fields}).encode())
            reply, fds = pending.wait()
        except (ChannelClosed, OSError):
            raise MachineError(f"the sandbox is gone: no answer to {op!r}") from None
        if "error" in reply:
            raise MachineError(reply["error"])
        return reply, fds

    def exits(self, machine):
        """Queue of the exit statuses of a machine's PID 1; CLOSED when the host is gone."""
        with self._lock:
            queue = self._exits.setdefault(machine, SimpleQueue())
            if self._closed:
                queue.put(CLOSED)
            return queue

    def _read(self):
        try:
            while True:
                packet, fds, _flags, _address = socket.recv_fds(self._sock, 1 << 16, 4, socket.MSG_CMSG_CLOEXEC)
                if not packet:
                    break
                message = json.loads(packet)
                if message.get("event") == "exit":
                    self.exits(message["machine"]).put(message.get("status"))
                elif not self._requests.answer(message.get("id"), (message, fds)):
                    for fd in fds:
                        os.close(fd)
        except (OSError, ValueError):
            pass
        finally:
            self._requests.close()
            with self._lock:
                self._closed = True
                for queue in self._exits.values():
                    queue.put(CLOSED)
