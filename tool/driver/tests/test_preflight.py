"""The look at a script before it runs."""
import json
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from ..preflight import check, pvs
from .base import InProcess


class Preflight(InProcess):
    def found(self, text):
        names = self.driver.test_symbols(show=False)
        return [(p.line, p.message) for p in check(textwrap.dedent(text), names, {"machine": self.machine})]

    def clean(self, text):
        self.assertEqual(self.found(text), [])

    def test_scripts_of_the_usual_kind_are_clean(self):
        self.clean("""\
            import time, os.path as p
            from typing import *
            start_all()
            with subtest("a") as nothing:
                for i, m in enumerate(machines):
                    m.screenshot
                    m.wait_for_unit("x"), print(i, nothing, p, time, __name__, List)
            """)
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
            later = lambda q, /, *, w: (q, w, C, outer, made)
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
        self.assertEqual(self.found("nope; nope\nnope\n"), [(1, "undefined name `nope`"), (2, "undefined name `nope`")])


class Pvs(unittest.TestCase):
    def names(self, text):
        return [name for name, _, _ in pvs(textwrap.dedent(text))]

    def test_names_in_commands(self):
        self.assertEqual(pvs("x = 1\nmachine.succeed('é; caget A:B')\n"), [("A:B", 2, 27)])
        self.assertEqual(self.names("m.succeed(\"caget -t -w 5 A.SEVR 'B.DESC$' | grep -q C && caput D 42\")"),
                         ["A", "B", "D"])
        self.assertEqual(self.names("m.succeed('camonitor A B > /tmp/x; cainfo C')"), ["A", "B", "C"])
        self.assertEqual(pvs("m.succeed(\"\"\"\n  caput -c A 3\n  caget B\n\"\"\")\n"), [("A", 2, 12), ("B", 3, 9)])

    def test_what_a_variable_decides_and_what_must_fail_is_left_out(self):
        self.assertEqual(self.names("""\
            m.succeed(f'caget {pv}')
            m.succeed('caget ' + pv)
            m.succeed('caget %s' % pv)
            m.succeed('caget {}'.format(pv))
            m.succeed('caget $PV')
            m.fail('caget unknown')
            m.wait_until_fails('caget unknown')
            m.succeed('my-caget-wrapper')
            """), [])


class Survey(unittest.TestCase):
    def ask(self, text, sandbox=True):
        with tempfile.TemporaryDirectory(prefix="größe ") as folder:
            script = Path(folder, "a b.py")
            script.write_bytes(text)
            request = [{"script": str(script), "machines": ["my-ioc"], "sandbox": sandbox}]
            run = subprocess.run([sys.executable, "-B", str(Path(__file__).parents[1]), "--preflight"],
                                 input=json.dumps(request).encode(), capture_output=True, check=True)
        self.assertEqual(run.stderr, b"")
        (answer,) = json.loads(run.stdout)
        return [(p["line"], p["column"], p["kind"]) for p in answer["problems"]]

    def test_good_scripts(self):
        self.assertEqual(self.ask(b""), [])
        self.assertEqual(self.ask(b"\xef\xbb\xbfstart_all()\r\nmy_ioc.succeed('\\d')\r\nmachine.crash()\r\n"), [])

    def test_scripts_that_do_not_compile(self):
        self.assertEqual(self.ask(b"start_all()\nx = (1,\n")[0][2], "SyntaxError")
        self.assertEqual(self.ask(b"if True:\n        a = 1\n\tb = 2\n")[0][0], 3)
        self.assertEqual(self.ask(b"a = 1\nb = '\xff'\n"), [(2, 6, "SyntaxError")])
        self.assertEqual(self.ask(b"a = '\0'\n")[0][0], 1)

    def test_places_and_backends(self):
        text = "é = 1; machne.succeed('x')\nmachine.\\\n  suceed('x')\nmachine.screenshot('x')\n".encode()
        self.assertEqual(self.ask(text), [(1, 8, "NameError"), (3, 3, "AttributeError"), (4, 9, "NotInSandbox")])
        self.assertEqual(self.ask(text, sandbox=False), [(1, 8, "NameError"), (3, 3, "AttributeError")])
