"""The type check: what is asked, what is made of the answer, and the names that scripts have."""
import ast
import inspect
import os
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import typecheck, vmonly
from ..machine import BaseMachine
from ..vm import QemuMachine
from .base import InProcess, WholeProcess

WRONG = "x = machine.succeed('true')\n\nmachine.succeed(3)\nclient.suceed('x')\nlog.info('x')\nos.getpid()\nimport nosuchmodule\n"


class Stub(InProcess):
    """typings/script_names.pyi and the driver have the same names, and the same parameters."""

    def setUp(self):
        super().setUp()
        self.tree = ast.parse(typecheck.NAMES.read_text())
        self.classes = {n.name: n for n in self.tree.body if isinstance(n, ast.ClassDef)}

    def members(self, name):
        return {n.name: n for n in self.classes[name].body if isinstance(n, ast.FunctionDef)}

    def test_names(self):
        names = {n.name for n in self.tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
        names |= {n.target.id for n in self.tree.body if isinstance(n, ast.AnnAssign)} | {"os"}
        symbols = set(self.driver.test_symbols(show=False)) - {"machine", "vlan1"}
        self.assertEqual({n for n in names if not n.startswith("_")}, symbols)

    def test_methods(self):
        stubs = {**self.members("BaseMachine"), **self.members("QemuMachine")}
        public = {n for n in dir(QemuMachine) if not n.startswith("_") and callable(getattr(QemuMachine, n))}
        self.assertEqual(set(stubs), public - {"run_callbacks", "retire"})

    def test_parameters(self):
        for name, node in {**self.members("BaseMachine"), **self.members("QemuMachine")}.items():
            if name == "kill" or name in vmonly.METHODS:
                continue
            mine = list(inspect.signature(getattr(QemuMachine, name)).parameters)
            args = node.args
            theirs = [a.arg for a in [*args.args, *([args.vararg] if args.vararg else []), *args.kwonlyargs]]
            with self.subTest(name):
                self.assertEqual(mine, theirs)

    def test_base(self):
        for name in self.members("BaseMachine"):
            self.assertTrue(hasattr(BaseMachine, name) or hasattr(QemuMachine, name), name)


def fake(folder, name, text):
    """A program of that name on a PATH of its own, which looks like a type checker."""
    program = Path(folder, name)
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


class Answers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def check(self, name, text, scripts=(("a\nb\n", ["machine"], [1]),)):
        with mock.patch.dict(os.environ, PATH=fake(self.folder, name, text)):
            found = typecheck.check(scripts, (name, shutil.which(name)), self.folder)
        self.assertEqual(os.listdir(self.folder), [name])
        return [[(p.line, p.column, p.message, p.severity) for p in problems] for problems in found]

    def test_ty(self):
        answer = ("echo 'script0.py:2:5: error[missing-attribute] Object has no attribute `x`'\n"
                  "echo 'script0.py:2:5: warning[possibly-unbound] Name `x`'\n"
                  "echo 'script0.py:1:8: error[unresolved-import] Cannot resolve imported module `epics`'\n"
                  "echo 'Found 2 diagnostics'\n")
        self.assertEqual(self.check("ty", answer), [[(2, 5, "ty: Object has no attribute `x`", "error")]])

    def test_mypy(self):
        answer = ("echo 'script0.py:3:5: error: \"int\" has no attribute \"x\"  [attr-defined]'\n"
                  "echo 'script0.py:2:1: error: Cannot find implementation  [import-not-found]'\n"
                  "echo 'script0.py:2:1: note: See the docs'\n")
        self.assertEqual(self.check("mypy", answer), [[(2, 5, 'mypy: "int" has no attribute "x"', "warning")]])

    def test_each_script_has_its_answer(self):
        answer = "for f in script*.py; do echo \"$f:1:1: error[x] $(cat $f) $(grep -c '^m1: ' __builtins__.pyi)\"; done"
        scripts = [("a", ["m1"], [1]), ("b", ["m2"], [1]), ("c", ["m1"], [1])]
        self.assertEqual([p[0][2] for p in self.check("ty", answer, scripts)], ["ty: a 1", "ty: b 0", "ty: c 1"])

    def test_a_checker_that_cannot_run_finds_nothing(self):
        self.assertEqual(self.check("ty", "echo broken >&2; exit 2\n"), [[]])


class Real(unittest.TestCase):
    def lines(self, name):
        tool = typecheck.checker((name,))
        if tool is None:
            self.skipTest(f"there is no {name}")
        (problems,) = typecheck.check([(WRONG, ["machine", "client"], [1])], tool)
        return [p.line for p in problems]

    def test_ty(self):
        self.assertEqual(self.lines("ty"), [3, 4])

    def test_modules_of_the_project_have_types(self):
        for name in ("ty", "mypy"):
            tool = typecheck.checker((name,))
            if tool is None:
                self.skipTest(f"there is no {name}")
            with self.subTest(name), tempfile.TemporaryDirectory() as lib:
                Path(lib, "helpers.py").write_text("def wait(seconds: int) -> int:\n    return seconds\n")
                script = "from helpers import nosuch, wait\nimport nosuchmodule\n\nwait('x')\nwait(1)\n"
                (problems,) = typecheck.check([(script, ["machine"], [1])], tool, lib=lib)
                self.assertEqual([p.line for p in problems], [1, 4])

    def test_mypy(self):
        self.assertEqual(self.lines("mypy"), [3, 4])
