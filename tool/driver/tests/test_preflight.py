"""The look at a script before it runs."""
import json
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from ..preflight import check
from .base import InProcess


class Preflight(InProcess):
    def found(self, text):
        names = self.driver.test_symbols(show=False)
        return [(p.line, p.message) for p in check(textwrap.dedent(text), names, {"machine": self.machine})]

    def clean(self, text):
        self.assertEqual(self.found(text), [])

    def test_scripts_of_the_usual_kind_are_clean(self):
        self.clean("""\
            import os.path as p
            import time
            from typing import List
            start_all()
            with subtest("a") as nothing:
                for i, m in enumerate(machines):
                    m.screenshot
                    m.wait_for_unit("x"), print(i, nothing, p, time, __name__, List)
            """)
        self.clean("exit() if retry else quit(0)\n")
        self.clean("""\
            def outer(a, *b, c=retry, **d):
                local = [x + y for x in b for y in range(x) if x]
                def inner():
                    nonlocal local
                    global made
                    made = local
                    return a, c, d, later
                return inner
            class C(Exception):
                attr = len(__module__)
                other = attr
                def f(self):
                    return super().args, __class__, self.other
            def later(q, /, *, w):
                return q, w, C, outer, made
            if (n := 3) > 2:
                del n
            try:
                pass
            except Exception as e:
                print(e)
            assert t.assertEqual(1, 1) is None and log and driver and debug and os
            @polling_condition
            def holds(): ...
            """)

    def test_arguments_of_methods(self):
        self.clean("machine.wait_for_unit('a', timeout=3, user=None)\nmachine.execute('a', **{})\n")
        self.assertEqual(self.found("machine.succeed('a', timout=3)\n"), [(1, "`succeed` takes no argument `timout`")])
        (problem,) = check("machine.succeed(\n 'a', timout=3)\n", {"machine": 1}, {"machine": self.machine})
        self.assertEqual((problem.line, problem.column, problem.hint), (2, 7, "did you mean `timeout`?"))
        self.clean("def succeed(x): ...\nclass M: ...\nM.succeed = succeed\nM.succeed(x=3)\n")

    def test_undefined_names(self):
        self.assertEqual(self.found("a = 1\n\ndef f():\n    return machne.succeed(a)\nMachine\n"),
                         [(4, "undefined name `machne`"), (5, "undefined name `Machine`")])
        self.assertEqual(self.found("print(__file__)\n"), [(1, "undefined name `__file__`")])
        (problem,) = check("start_al()", {"start_all": 1}, {})
        self.assertEqual(problem.hint, "did you mean `start_all`?")
        (problem,) = check("zzzzqqq", {"start_all": 1}, {})
        self.assertEqual(problem.hint, "define or import it")

    def test_names_that_the_script_expects_to_be_missing(self):
        self.clean("try:\n    Machine\nexcept NameError:\n    pass\n")
        self.assertEqual(len(self.found("try:\n    Machine\nexcept Exception:\n    pass\n")), 1)
        self.clean("try:\n    machine.screenshot('x')\nexcept Exception:\n    pass\n")
        self.clean("try:\n    machine.nosuch\nexcept (KeyError, AttributeError):\n    pass\n")
        self.assertEqual(len(self.found("try:\n    pass\nexcept NameError:\n    Machine\n")), 1)

    def test_methods(self):
        self.assertEqual(self.found("def f():\n    machine.screenshot('x')\n"),
                         [(2, "machine.screenshot() is not in the sandbox: there is no display")])
        self.assertEqual(self.found("machine.wait_for_units('x')\n"), [(1, "a machine has no `wait_for_units`")])
        self.assertEqual(self.found("create_machine('qemu')\n")[0][0], 1)
        self.clean("machine.booted, machine.connected, machine.pid, machine.mine\nmachine.mine = 1\n")
        self.clean("def f(machine):\n    machine.screenshot('x')\n")
        self.clean("for machine in []:\n    machine.anything()\n")
        self.clean("def create_machine(x): pass\ncreate_machine(1)\n")
        (problem,) = check("machine.wait_for_open_prt(1)", {"machine": 1}, {"machine": self.machine})
        self.assertEqual(problem.hint, "did you mean `wait_for_open_port`?")

    def test_what_does_not_compile_is_left_to_the_run(self):
        self.clean("def broken(:\n")
        self.clean("x = '\0'\n")
        self.clean("return 3\nundefined_name\n")

    def test_findings_are_in_order_and_once_a_line(self):
        self.assertEqual(self.found("nope, nope\nnope\n"), [(1, "undefined name `nope`"), (2, "undefined name `nope`")])


class Survey(unittest.TestCase):
    def ask(self, text, sandbox=True):
        with tempfile.TemporaryDirectory(prefix="größe ") as folder:
            script = Path(folder, "a b.py")
            script.write_bytes(text)
            request = [{"script": str(script), "text": None, "machines": ["my-ioc"], "vlans": [1], "sandbox": sandbox,
                        "lib": None, "thorough": True}]
            run = subprocess.run([sys.executable, "-B", str(Path(__file__).parents[1]), "--preflight"],
                                 input=json.dumps(request).encode(), capture_output=True, check=True)
        self.assertEqual(run.stderr, b"")
        (answer,) = json.loads(run.stdout)
        return [(p["line"], p["column"], p["kind"]) for p in answer["problems"] if p["severity"] == "error"]

    def test_good_scripts(self):
        self.assertEqual(self.ask(b""), [])
        self.assertEqual(self.ask(b"start_all()\r\nmy_ioc.succeed('\\d')\r\nmachine.crash()\r\n"), [])

    def test_scripts_that_do_not_compile(self):
        self.assertEqual(self.ask(b"start_all()\nx = (1,\n")[0][2], "SyntaxError")
        self.assertEqual(self.ask(b"if True:\n        a = 1\n\tb = 2\n")[0][0], 3)
        self.assertEqual(self.ask(b"a = 1\nb = '\xff'\n"), [(2, 6, "SyntaxError")])
        self.assertEqual(self.ask(b"a = '\0'\n")[0][0], 1)
        self.assertEqual(self.ask(b"\xef\xbb\xbfstart_all()\n")[0][::2], (1, "SyntaxError"))

    def test_places_and_backends(self):
        text = "'é'.join(machne.succeed('x'))\nmachine.\\\n  suceed('x')\nmachine.screenshot('x')\n".encode()
        self.assertEqual(self.ask(text), [(1, 10, "NameError"), (3, 3, "AttributeError"), (4, 9, "NotInSandbox")])
        self.assertEqual(self.ask(text, sandbox=False), [(1, 10, "NameError"), (3, 3, "AttributeError")])

    def problems(self, script, nix, **more):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.py").write_text(script)
            Path(folder, "a.nix").write_text(nix)
            request = [{"script": f"{folder}/a.py", "text": None, "machines": ["machine"], "sandbox": True, "vlans": [1, 2],
                        "lib": None, "thorough": True, **more}]
            run = subprocess.run([sys.executable, "-B", str(Path(__file__).parents[1]), "--preflight"],
                                 input=json.dumps(request), capture_output=True, text=True, check=True)
        (answer,) = json.loads(run.stdout)
        return [(p["line"], p["kind"], p["severity"]) for p in answer["problems"]]

    def test_the_nix_file_can_skip_the_lint_but_not_what_cannot_run(self):
        script = "import time\nmachne.start()\nprint(vlan2)\n"
        self.assertEqual(self.problems(script, "{ }"), [(1, "unused-import", "error"), (2, "NameError", "error")])
        self.assertEqual(self.problems(script, "{ skipLint = true; }"), [(2, "NameError", "error")])

    def test_a_text_that_stands_elsewhere(self):
        self.assertEqual(self.problems("machne", "{ }", text="\nimport os\n"), [(2, "unused-import", "error")])
        self.assertEqual(self.problems("", "{ skipLint = true; }", text="import os\n"), [])
        self.assertEqual(self.problems("", "", text="x = (\n"), [(1, "SyntaxError", "error")])

    def test_a_module_that_scripts_import(self):
        with tempfile.TemporaryDirectory() as lib:
            def found(text, name="helpers.py"):
                script = Path(lib, name)
                script.write_text(text)
                request = [{"script": str(script), "text": None, "lib": lib, "machines": [], "sandbox": True, "vlans": [],
                            "thorough": False}]
                run = subprocess.run([sys.executable, "-B", str(Path(__file__).parents[1]), "--preflight"],
                                     input=json.dumps(request), capture_output=True, text=True, check=True)
                (answer,) = json.loads(run.stdout)
                return [(p["line"], p["kind"], p["severity"]) for p in answer["problems"]]

            self.assertEqual(found("def wait(machine):\n    machine.screenshot(__file__)\n"), [])
            self.assertEqual(found("import os\n\ndef wait(m):\n    retry(m)\n"),
                             [(1, "unused-import", "warning"), (4, "NameError", "error")])
            self.assertEqual(found("x = (\n"), [(1, "SyntaxError", "error")])
            if sys.version_info >= (3, 10):
                self.assertEqual(found("", "json.py"), [(1, "hidden-helper", "error")])
            Path(lib, "helpers").mkdir()
            Path(lib, "helpers", "limits.csv").touch()
            self.assertEqual(found(""), [])
            Path(lib, "helpers", "more.py").touch()
            self.assertEqual(found(""), [(1, "hidden-helper", "error")])

    def test_odd_texts_that_python_takes(self):
        for text in ("a = 1\nb = " + " + ".join(["a"] * 900), "'{²}'.format(1)", "from typing import Annotated\nx: Annotated[()] = 1",
                     "if start_all: pass\n" + "elif start_all: pass\n" * 400):
            with self.subTest(text[:40]):
                self.assertNotIn("SyntaxError", [kind for _, kind, _ in self.problems(text, "")])
