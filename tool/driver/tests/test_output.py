"""The log's colours and levels, and the event stream towards bad readers."""
import contextlib
import io
import json
import os
import unittest

from ..events import Events
from ..logger import Logger
from .base import WholeProcess


class Log(unittest.TestCase):
    def setUp(self):
        self.text = io.StringIO()
        capture = contextlib.redirect_stderr(self.text)
        capture.__enter__()
        self.addCleanup(capture.__exit__, None, None, None)

    def test_colours_are_the_real_drivers(self):
        log = Logger(Events(), color=True)
        with log.nested("block", {"machine": "m"}) as value:
            log.log_serial("line", "m")
            log.log_test_error("bad")
            log.log("plain", {"machine": "other"})
        self.assertIsNone(value)
        self.assertEqual(self.text.getvalue().splitlines()[:4], [
            "m: \x1b[1m\x1b[32mblock\x1b[0m", "\x1b[2mm # line\x1b[0m", "\x1b[31m!!! \x1b[0mbad", "other: plain"])

    def test_levels(self):
        log = Logger(Events())
        for level in ("debug", "info", "warning", "error"):
            log.set_log_level(level)
            log.debug("d")
            log.info("i", {"machine": "m"})
            log.warning("w", machine="m")
            log.log("always")
        self.assertEqual(self.text.getvalue().split("\n"), [
            "d", "m: i", "m: w", "always", "m: i", "m: w", "always", "m: w", "always", "always", ""])
        with self.assertRaises(SystemExit) as caught:
            log.error("e")
        self.assertEqual(caught.exception.code, 1)

    def test_a_log_that_nobody_reads_is_no_error(self):
        with contextlib.redirect_stderr(None):
            Logger(Events()).log("x")


class Stream(unittest.TestCase):
    def test_the_start_is_told_before_a_script_can_kill_the_driver(self):
        read, write = os.pipe()
        os.set_blocking(read, False)
        events = Events(write)
        events.start(check="x")
        self.assertEqual(json.loads(os.read(read, 1000))["event"], "start")
        events.close()
        for fd in (read, write):
            os.close(fd)

    def test_a_reader_that_sleeps_does_not_stop_the_driver(self):
        read, write = os.pipe()
        events = Events(write)
        for i in range(20_000):
            events.emit("log", text=str(i))
        events.close(patience=0.01)
        stream = os.fdopen(read)  # now it wakes up
        self.addCleanup(stream.close)
        lines = iter(stream)
        self.assertEqual([json.loads(next(lines))["text"] for _ in range(20_000)], [str(i) for i in range(20_000)])
        os.close(write)

    def test_odd_text_arrives(self):
        read, write = os.pipe()
        events = Events(write)
        events.emit("log", text="\udc80\0", other=object)
        with os.fdopen(read) as stream:
            event = json.loads(stream.readline())
        self.assertEqual((event["text"], event["other"]), ("\\udc80\0", "<class 'object'>"))
        # The reader is gone now: what comes is dropped, and nobody waits.
        for _ in range(3):
            events.emit("log", text="x" * 100_000)
        events.close(patience=60)
        self.assertFalse(events._thread.is_alive())


class Plain(WholeProcess):
    def test_a_pipe_gets_no_colours(self):
        self.assertNotIn("\x1b", self.drive("machine.succeed('true')\n").stderr)
