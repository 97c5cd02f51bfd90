"""Common ground of the tests: a driver in this process, connected to a real peer."""
import contextlib
import io
import tempfile
import unittest
from pathlib import Path

from .. import machine as machine_module
from ..channel import KeeperChannel
from ..driver import Driver
from ..events import Events
from ..logger import Logger
from .peer import Peer, drive


class InProcess(unittest.TestCase):
    """Gives `self.driver`, `self.machine`, `self.log()`; the machine is started by the first command."""

    names = ("machine",)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="driver test ")
        self.addCleanup(folder.cleanup)
        self.peer = Peer(folder.name, self.names)
        self.addCleanup(self.peer.close)
        self.stderr = io.StringIO()
        capture = contextlib.redirect_stderr(self.stderr)
        capture.__enter__()
        self.addCleanup(capture.__exit__, None, None, None)
        logger, events = Logger(Events()), Events()
        self.driver = Driver(self.peer.config(), "", self.peer.out, KeeperChannel(self.peer.driver_fd), logger, events,
                             terminate=lambda: None)
        self.machine = self.driver.machines[0]
        # On this host there is no /tmp/shared: the machine sees the shared directory where it is.
        old, machine_module.SHARED = machine_module.SHARED, Path(self.machine.shared_dir)
        self.addCleanup(setattr, machine_module, "SHARED", old)

    def log(self):
        return self.stderr.getvalue().splitlines()


class WholeProcess(unittest.TestCase):
    """Gives `self.drive(script)`: a run of the driver as a process."""

    names = ("machine",)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="driver test ")
        self.addCleanup(folder.cleanup)
        self.peer = Peer(folder.name, self.names)

    def drive(self, script="", **more):
        return drive(self.peer, script, **more)
