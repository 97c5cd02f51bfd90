"""Whole runs of the driver as a process: exit statuses, the log, the events, limits and signals."""
import os
import re
import signal
import subprocess
import sys
import unittest

from .base import WholeProcess
from .peer import DRIVER

TIMES = re.compile(r"\d+\.\d\d(?= seconds|s$)")
PIDS = re.compile(r"\(pid \d+\)")


def plain(stderr):
    """The log without times, process ids and console lines."""
    lines = [PIDS.sub("(pid N)", TIMES.sub("T", line)) for line in stderr.splitlines()]
    return [line for line in lines if " # " not in line]


class Status(WholeProcess):
    def test_log_of_a_run_that_passes(self):
        r = self.drive("with subtest('one'):\n    machine.succeed('echo hello; echo talk >&2')\n")
        self.assertEqual(r.status, 0)
        self.assertEqual(plain(r.stderr), """\
Test will time out and terminate in 60 seconds
run the VM test script
subtest: one
machine: must succeed: echo hello; echo talk >&2
machine: waiting for the VM to finish booting
machine: starting vm
machine: sandbox running (pid N)
machine: connected to guest root shell
machine: (connecting took T seconds)
machine: (finished: waiting for the VM to finish booting, in T seconds)
machine: (finished: must succeed: echo hello; echo talk >&2, in T seconds)
(finished: subtest: one, in T seconds)
(finished: run the VM test script, in T seconds)
test script finished in Ts
cleanup
kill QemuMachine (pid N)
(finished: cleanup, in T seconds)""".splitlines())
        self.assertIn("machine # talk", r.stderr.splitlines())
        self.assertTrue(r.stdout.startswith("additionally exposed symbols:\n    machine,\n    vlan1,\n    start_all, "))

    def test_log_of_a_failed_command(self):
        r = self.drive("def helper():\n    machine.succeed('echo out; exit 7')\n\nwith subtest('s'):\n    helper()\n")
        self.assertEqual(r.status, 1)
        log = plain(r.stderr)
        self.assertEqual(log[log.index("machine: output: out"):], [
            "machine: output: out", "",
            '!!! Test "s" failed with error: "command `echo out; exit 7` failed (exit code 7)"',
            "!!! Traceback (most recent call last):",
            '!!!   File "<string>", line 5, in <module>',
            "!!!     helper()",
            '!!!   File "<string>", line 2, in helper',
            "!!!     machine.succeed('echo out; exit 7')",
            "!!! ",
            "!!! RequestedAssertionFailed: command `echo out; exit 7` failed (exit code 7)",
            "cleanup",
            "kill QemuMachine (pid N)",
            "(finished: cleanup, in T seconds)"])
        (failure,) = r.event("failure")
        self.assertEqual(failure["class"], "RequestedAssertionFailed")
        self.assertEqual(failure["line"], 2)
        self.assertEqual(failure["source"], "machine.succeed('echo out; exit 7')")
        self.assertEqual(failure["subtest"], "s")
        self.assertIn("failed (exit code 7)", failure["message"])

    def test_other_exceptions_give_pythons_traceback_after_the_cleanup(self):
        r = self.drive("def f():\n    raise ValueError('bad')\ntry:\n    f()\nexcept ValueError as e:\n    raise KeyError('x') from e\n")
        self.assertEqual(r.status, 1)
        self.assertNotIn("driver/", r.stderr)
        tail = r.stderr[r.stderr.index("(finished: cleanup"):]
        self.assertIn('  File "<string>", line 2, in f\n    raise ValueError(\'bad\')', tail)
        self.assertIn("ValueError: bad\n\nThe above exception was the direct cause", tail)
        self.assertTrue(tail.endswith("KeyError: 'x'\n"))
        self.assertEqual(r.event("failure")[0]["line"], 6)

    def test_syntax_error(self):
        r = self.drive("x = 1\ndef broken(:\n    pass\n")
        self.assertEqual(r.status, 1)
        self.assertIn("run the VM test script\n", r.stderr)
        self.assertIn("SyntaxError: invalid syntax", r.stderr)
        self.assertEqual([r.event("failure")[0][k] for k in ("class", "line", "source")],
                         ["SyntaxError", 2, "def broken(:"])

    def exits(self, script, status, **more):
        r = self.drive(script, **more)
        self.assertEqual(r.status, status, r.stderr)
        self.assertNotIn("test script finished", r.stderr)
        return r

    def test_exit_0(self):
        r = self.exits("import sys\nsys.exit(0)\n", 0)
        self.assertIn("(finished: cleanup", r.stderr)
        self.assertEqual(r.event("failure"), [])
        self.assertEqual(r.event("end")[0]["status"], 0)

    def test_raise_system_exit(self):
        self.exits("raise SystemExit\n", 0)

    def test_exit_3(self):
        r = self.exits("import sys\n\nsys.exit(3)\n", 3)
        self.assertEqual(r.event("failure")[0]["line"], 3)
        self.assertEqual(r.event("end")[0]["status"], 3)

    def test_exit_with_text(self):
        r = self.exits("import sys\nsys.exit('some text')\n", 1)
        self.assertIn("some text\n", r.stderr)

    def test_os_exit_leaves_without_cleanup(self):
        self.assertNotIn("cleanup", self.exits("os._exit(9)\n", 9).stderr)

    def test_log_error_ends_the_run(self):
        r = self.exits("log.error('my line')\nprint('never')\n", 1)
        self.assertIn("my line\ncleanup", r.stderr)
        self.assertNotIn("never", r.stdout)

    def test_machine_error_is_reported_without_our_frames(self):
        self.peer.refuse = "no user namespaces here"
        r = self.exits("start_all()\n", 1)
        self.assertIn('!!!   File "<string>", line 1, in <module>\n!!!     start_all()\n', r.stderr)
        self.assertIn("!!! machine: no user namespaces here", r.stderr)
        self.assertNotIn("driver/", r.stderr)

    def test_bytes_that_are_not_utf8_keep_message_and_place(self):
        r = self.drive("with subtest('reads'):\n    got = b'PSU \\xff'.decode(errors='surrogateescape')\n"
                       "    assert got == 1, f'the device says {got}'\n")
        self.assertEqual(r.status, 1)
        self.assertIn("AssertionError: the device says PSU \\udcff\n", r.stderr)
        (failure,) = r.event("failure")
        self.assertEqual([failure[k] for k in ("message", "line", "subtest")],
                         ["the device says PSU \\udcff\ngot = 'PSU \\udcff'", 3, "reads"])

    def test_non_ascii_and_broken_output(self):
        r = self.drive("out = machine.succeed(r\"printf 'ü\\377x'; printf 'e\\377\\n' >&2\")\nassert out == 'ü\ufffdx', out\n")
        self.assertEqual(r.status, 0, r.stderr)
        self.assertEqual([e["text"] for e in r.event("console")], ["e\ufffd"])


class Helpers(WholeProcess):
    """Modules that scripts import from checks/lib/."""

    def failure(self, helper, script):
        lib = self.peer.top / "checks" / "lib"
        lib.mkdir(parents=True)
        (lib / "helpers.py").write_text(helper)
        r = self.drive(script, lib=str(lib))
        self.assertEqual(r.status, 1)
        (failure,) = r.event("failure")
        return r, failure

    def test_a_failed_command_tells_both_places(self):
        r, failure = self.failure("def read(machine, pv):\n    return machine.succeed(f'false {pv}')\n",
                                  "from helpers import read\n\nread(machine, 'VOLT')\n")
        self.assertEqual((failure["line"], failure["source"]), (3, "read(machine, 'VOLT')"))
        self.assertTrue(failure["message"].endswith(
            "\nin checks/lib/helpers.py:2: return machine.succeed(f'false {pv}')\npv = 'VOLT'"), failure["message"])
        self.assertIn(f'!!!   File "{self.peer.top}/checks/lib/helpers.py", line 2, in read\n'
                      "!!!     return machine.succeed(f'false {pv}')\n", r.stderr)

    def test_an_assertion_shows_the_values_of_its_own_line(self):
        _, failure = self.failure("def same(got, want):\n    assert got == want\n",
                                  "import helpers\ngot = 'of the script'\nhelpers.same(1, want=2)\n")
        self.assertEqual(failure["message"], "in checks/lib/helpers.py:2: assert got == want\ngot = 1\nwant = 2")
        self.assertEqual(failure["line"], 3)

    def test_modules_of_python_go_first(self):
        lib = self.peer.top / "lib"
        lib.mkdir()
        (lib / "json.py").write_text("raise OSError")
        self.assertEqual(self.drive("import json\njson.dumps(1)\n", lib=str(lib)).status, 0)


class Threads(WholeProcess):
    """The driver ends when the script has, whatever the script left running."""

    LEAVE = "import threading\nthreading.Thread(target=threading.Event().wait, name='my worker').start()\n"

    def test_a_pass(self):
        r = self.drive(self.LEAVE + "import atexit\natexit.register(print, 'at exit')\nmachine.succeed('true')\n")
        self.assertEqual(r.status, 0, r.stderr)
        self.assertIn("test script finished", r.stderr)
        self.assertIn("what it left running ends now, too: my worker\n", r.stderr)
        self.assertIn("at exit", r.stdout)
        self.assertEqual(r.event("end")[0]["status"], 0)

    def test_a_failure(self):
        r = self.drive(self.LEAVE + "assert False, 'as planned'\n")
        self.assertEqual(r.status, 1)
        self.assertEqual([r.event("failure")[0][k] for k in ("message", "line")], ["as planned", 3])
        self.assertEqual(r.event("end")[0]["status"], 1)

    def test_exits(self):
        self.assertEqual(self.drive(self.LEAVE + "raise SystemExit(3)\n").status, 3)

    def test_an_exit_with_text(self):
        r = self.drive(self.LEAVE + "raise SystemExit('some text')\n")
        self.assertEqual(r.status, 1)
        self.assertIn("some text\n", r.stderr)

    def test_its_machines_are_not_started_again(self):
        r = self.drive("import threading\n"
                       "def work():\n    while True:\n        machine.execute('true')\n"
                       "threading.Thread(target=work).start()\nmachine.succeed('true')\n")
        self.assertEqual(r.status, 0, r.stderr)
        self.assertNotIn("Traceback", r.stderr)
        self.assertEqual(self.peer.boots, 1)


class Forks(WholeProcess):
    def test_a_forked_process_is_told_that_it_has_no_machines(self):
        r = self.drive("import os\nmachine.start()\nif os.fork() == 0:\n    machine.succeed('true')\n"
                       "assert os.waitstatus_to_exitcode(os.wait()[1]) == 1\nmachine.succeed('true')\n")
        self.assertEqual(r.status, 0, r.stderr)
        self.assertIn("a process that the script has forked cannot use machines", r.stderr)


class Limits(WholeProcess):
    def test_global_timeout_in_python_runs_no_finally(self):
        r = self.drive("import time\ntry:\n    time.sleep(50)\nfinally:\n    print('finally')\n", global_timeout=3)
        self.assertEqual(r.status, 143)
        self.assertIn("timeout reached; test terminating...", r.stderr)
        self.assertNotIn("finally", r.stdout)
        self.assertEqual(r.event("end")[0]["status"], 143)
        (failure,) = r.event("failure")
        self.assertEqual((failure["line"], failure["source"]), (3, "time.sleep(50)"))

    def test_what_was_waited_for_when_the_limit_came_is_told(self):
        r = self.drive("with subtest('reads'):\n    machine.wait_until_succeeds('false')\n", global_timeout=3)
        (failure,) = r.event("failure")
        self.assertEqual((failure["class"], failure["line"], failure["subtest"]), ("TimeLimit", 2, "reads"))
        self.assertRegex(failure["message"], r"^the limit of 3 seconds was reached while waiting for success: false "
                                             r"\(tried \d+ times\)$")
        self.assertEqual([e["count"] for e in r.event("try")][:1], [2])

    def test_a_breakpoint_says_what_to_use_instead(self):
        r = self.drive("breakpoint()\n")
        self.assertEqual(r.status, 1)
        self.assertIn("hint: cargo xtask test NAME --debug", r.event("failure")[0]["message"])

    def test_global_timeout_in_a_command_kills_the_machine_and_says_no_more(self):
        r = self.drive("try:\n    machine.succeed('sleep 50')\nfinally:\n    print('finally')\n", global_timeout=0.5)
        self.assertEqual(r.status, 143)
        self.assertTrue(plain(r.stderr)[-1].startswith("kill QemuMachine"), r.stderr)
        self.assertNotIn("finally", r.stdout)

    def signalled(self, number, **more):
        script = "try:\n    log.log('ready')\n    machine.succeed('sleep 50')\nfinally:\n    print('finally')\n"
        return self.drive(script, during=lambda p: p.send_signal(number), **more)

    def test_sigterm_ends_at_once(self):
        r = self.signalled(signal.SIGTERM)
        self.assertEqual(r.status, 143)
        self.assertNotIn("cleanup", r.stderr)
        self.assertNotIn("finally", r.stdout)
        self.assertEqual(r.event("end")[0]["status"], 143)

    def test_sigint_cleans_up(self):
        r = self.signalled(signal.SIGINT)
        self.assertEqual(r.status, 130)
        self.assertIn("(finished: cleanup", r.stderr)
        self.assertIn("finally", r.stdout)
        self.assertNotIn("Traceback", r.stderr)

    def test_host_that_goes_away_is_an_error_not_a_hang(self):
        self.peer.add_program("gone", "#!/bin/sh\nsleep 60\n")

        def vanish(_process):
            self.peer.sock.shutdown(2)
            for machine in self.peer.machines.values():
                machine.shell.shutdown(2)

        script = "machine.succeed('true')\nlog.log('ready')\nmachine.succeed('gone')\n"
        r = self.drive(script, during=vanish)
        self.assertEqual(r.status, 1)
        self.assertIn("MachineError: machine is down: the sandbox is gone; the command `gone` has no status", r.stderr)


class Events(WholeProcess):
    def test_blocks_have_lines_depths_and_verdicts(self):
        r = self.drive("with subtest('outer'):\n    with subtest('inner'):\n        machine.fail('false')\n"
                       "    machine.succeed('exit 3')\n")
        enters = [(e["kind"], e["name"], e["line"], e["depth"]) for e in r.event("enter") if e["line"]]
        self.assertEqual(enters, [("subtest", "outer", 1, 2), ("subtest", "inner", 2, 3),
                                  ("nested", "must fail: false", 3, 4),
                                  ("nested", "waiting for the VM to finish booting", 3, 5),
                                  ("nested", "must succeed: exit 3", 4, 3)])
        leaves = {e["name"]: (e["ok"], e.get("error")) for e in r.event("leave")}
        error = "command `exit 3` failed (exit code 3)"
        self.assertEqual(leaves["inner"], (True, None))
        self.assertEqual(leaves["outer"], (False, error))
        self.assertEqual([e["state"] for e in r.event("machine")], ["starting", "up", "down"])
        self.assertEqual([r.events[0]["event"], r.events[-1]["event"]], ["start", "end"])
        self.assertTrue(all(isinstance(e["t"], float) for e in r.events))

    def test_unit_of_a_failure_is_named(self):
        self.peer.add_program("systemctl", "#!/bin/sh\necho ActiveState=failed\n")
        r = self.drive("machine.wait_for_unit('ioc.service')\n")
        (failure,) = r.event("failure")
        self.assertEqual((failure["machine"], failure["unit"]), ("machine", "ioc.service"))
        self.assertIn('unit "ioc.service" reached state "failed"', failure["message"])

    def test_generated_code_is_not_taken_for_the_script(self):
        r = self.drive("from dataclasses import dataclass\n\n@dataclass\nclass P:\n    x: int\n\n    def __post_init__(self):\n"
                       "        raise ValueError(self.x)\n\nP(1)\n")
        self.assertEqual(r.event("failure")[0]["line"], 8)


class CommandLine(unittest.TestCase):
    def expect(self, status, text, *arguments):
        r = subprocess.run([sys.executable, "-B", str(DRIVER), *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertIn(text, r.stderr + r.stdout)
        self.assertNotIn("Traceback", r.stderr)

    def test_usage(self):
        self.expect(0, "usage: ", "--help")
        self.expect(2, "usage: ")
        self.expect(2, "usage: ", "--nope")
        self.expect(3, "cannot read the configuration /none: ", "/none")


class Several(WholeProcess):
    names = ("server", "client-2")

    def test_variables_and_order(self):
        r = self.drive("start_all()\nassert [m.name for m in machines] == ['client-2', 'server'], machines\n"
                       "assert client_2.succeed('echo a') == server.succeed('echo a')\n"
                       "assert machines_nspawn == [] and machines_qemu == machines\n"
                       "assert isinstance(server, QemuMachine) and vlan1.nr == 1\n")
        self.assertEqual(r.status, 0, r.stderr)


class OtherName(WholeProcess):
    names = ("ioc",)

    def test_machine_is_an_alias_that_warns(self):
        r = self.drive("machine.succeed('true')\nmachine.connected = True\nassert ioc.is_up()\n")
        self.assertEqual(r.status, 0, r.stderr)
        self.assertIn("only machine is called ioc", r.stderr)
