"""Runs scripts of the semantics tests statement by statement where real systemd is PID 1; writes down what does not hold."""
import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, "/work")
from driver.machine import BaseMachine  # noqa: E402

PATIENCE = 30  # seconds for a statement that never ends


class Silent:
    def log(self, *_):
        pass

    log_serial = tried = log

    @contextlib.contextmanager
    def nested(self, *_):
        yield


class Here(BaseMachine):
    """The machine that this program runs on; commands run as the test driver runs them."""

    def _execute(self, command, check_return, check_output, timeout):
        with open("/run/command", "w") as file:
            file.write(f"set -euo pipefail\n{command}\n")
        if not check_output:
            subprocess.Popen(["bash", "-c", command], cwd="/tmp", stdout=subprocess.DEVNULL)
            return -2, ""
        # SIGPIPE is ignored, as Python leaves it: so it is on a machine.
        child = subprocess.Popen(["bash", "/run/command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/tmp",
                                 start_new_session=True, restore_signals=False)
        try:
            out, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            out, _ = child.communicate()
            return 124, out.decode(errors="replace")
        return child.returncode if child.returncode >= 0 else 128 - child.returncode, out.decode(errors="replace")


def late(*_):
    raise TimeoutError(f"not done after {PATIENCE} s")


def ask(name):
    """What does not hold in a script, and how many statements it has."""
    with open(f"/work/{name}") as file:
        source = file.read()
    machine = Here("machine", "/tmp", "/tmp/shared", "/tmp/state", Silent())
    scope = {"machine": machine, "t": unittest.TestCase()}
    scope["t"].maxDiff = None
    body, differ = ast.parse(source).body, []
    for statement in body:
        signal.alarm(PATIENCE)
        try:
            exec(compile(ast.Module([statement], []), name, "exec"), scope)
        except Exception as error:
            text = ast.get_source_segment(source, statement).splitlines()[0]
            differ.append({"statement": f"{name}: {text}", "why": f"{type(error).__name__}: {error}"})
        finally:
            signal.alarm(0)
    return {"count": len(body), "differ": differ}


signal.signal(signal.SIGALRM, late)
with open("/work/scripts.json") as file:
    answers = {name: ask(name) for name in json.load(file)}
with open("/work/answers.json", "w") as file:
    json.dump(answers, file)
