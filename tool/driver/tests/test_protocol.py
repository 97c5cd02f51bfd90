"""What the driver says and hears is what xtask hears and says: samples of both are recorded by the tests of its types."""
import json
import subprocess
import sys
import tempfile
import types
from pathlib import Path

from .. import channel
from ..errors import MachineError, RequestedAssertionFailed
from . import peer
from .base import InProcess, WholeProcess

SAMPLES = json.loads(Path(__file__).with_name("protocol.json").read_text(encoding="utf-8"))
SCRIPT = """\
with subtest("voltage"):
    machine.succeed("false")
"""


def shape(value):
    """A message without what differs from run to run, as text."""
    told = {"id": 1, "pid": 7, "error": "...", "seconds": 0.5}
    if isinstance(value.get("id", 1), int):
        value = {key: told.get(key, content) for key, content in value.items()}
    return json.dumps(value, sort_keys=True)


def kinds(value):
    """The types of all that a message has."""
    if isinstance(value, dict):
        return {key: kinds(content) for key, content in value.items()}
    if isinstance(value, list):
        return [kinds(content) for content in value]
    return type(value).__name__


class Channels(InProcess):
    def test_requests_and_replies(self):
        said, heard = [], []
        for module, messages in ((channel, said), (peer, heard)):
            def dumps(value, messages=messages):
                messages.append(dict(value))
                return json.dumps(value)
            module.json = types.SimpleNamespace(dumps=dumps, loads=json.loads)
            self.addCleanup(setattr, module, "json", json)
        m = self.machine
        m.execute("echo x", timeout=None)
        m.execute("exit 0", timeout=2.5)
        m.wait_for_closed_port(1)
        with self.assertRaises(RequestedAssertionFailed):
            m.wait_for_open_unix_socket("/nowhere", timeout=0)
        m.block()
        m.unblock()
        m.shell_interact()
        m.crash()
        with self.assertRaises(MachineError):
            m._host.call("link", machine="machine", up=True)
        expected = SAMPLES["keeper"]["said"] + SAMPLES["shell"]["said"]
        self.assertEqual({shape(v) for v in said}, {shape(v) for v in expected})
        # The peer stands for xtask in all other tests: it says nothing that xtask would not say.
        known = {shape(v) for v in SAMPLES["keeper"]["heard"] + SAMPLES["shell"]["heard"]}
        self.assertEqual({shape(v) for v in heard} - known, set())
        self.assertGreater(len({shape(v) for v in heard}), 5)


class Whole(WholeProcess):
    def test_events(self):
        told = self.drive(SCRIPT)
        samples = {sample["event"]: {key: value for key, value in sample.items() if value is not None}
                   for sample in SAMPLES["events"]}
        for kind in ("enter", "leave", "failure"):
            seen = [e for e in told.event(kind) if e.get("kind", "subtest") == "subtest"][-1]
            self.assertEqual({**seen, **samples[kind], "seconds": 0}, {**seen, "seconds": 0}, kind)

    def test_remarks(self):
        ends = "import sys\n\nsys.exit()\n"
        sample = next(sample for sample in SAMPLES["events"] if sample["event"] == "remark")
        self.assertEqual([e["text"] for e in self.drive(ends).event("remark")], [sample["text"]])

    def test_remark_of_a_thread(self):
        dies = "from threading import Thread\n\none = Thread(target=lambda: 1 / 0)\none.start()\none.join()\n"
        told = self.drive(dies)
        self.assertEqual([e["text"] for e in told.event("remark")],
                         ["a thread ended with ZeroDivisionError: division by zero, in line 3"])
        self.assertIn("Traceback", told.stderr)

    def test_configuration(self):
        # The one that all other tests are run with.
        self.assertEqual(kinds(self.peer.config(junit="x", lib="x", events_fd=1, vlans=[1, 2])), kinds(SAMPLES["config"]))

    def test_preflight(self):
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "simple.py")
            script.write_text('machne.start()\nmachine.succeed("caget VOLT")\n')
            request = [{**sample, "script": str(script)} for sample in SAMPLES["lint"]["heard"]]
            answer = subprocess.run([sys.executable, "-B", str(peer.DRIVER), "--preflight"], check=True,
                                    input=json.dumps(request).encode(), stdout=subprocess.PIPE).stdout
        self.assertEqual(kinds(json.loads(answer)), kinds(SAMPLES["lint"]["said"]))
