"""The look at a script before it runs."""
import textwrap

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
