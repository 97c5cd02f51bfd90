"""Whole runs: exit statuses, the log, events, limits, signals."""
import signal
import time
from .base import WholeProcess


class Status(WholeProcess):
    def test_success(self):
        r = self.drive("machine.succeed('echo hello')\n")
        print(r.stderr, r.stdout, r.events)
        self.assertEqual(r.status, 0)
