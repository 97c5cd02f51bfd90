"""The PVs that a script's commands name."""
import textwrap
import unittest

from ..pvs import pvs


class Pvs(unittest.TestCase):
    def names(self, text):
        return [pv.name for pv in pvs(textwrap.dedent(text))]

    def test_names_in_commands(self):
        self.assertEqual(pvs("x = 1\nmachine.succeed('é; caget A:B')\n"), [("A:B", 2, 27, True)])
        self.assertEqual(self.names("m.succeed(\"caget -t -w 5 A.SEVR 'B.DESC$' | grep -q C && caput D 42\")"),
                         ["A", "B", "D"])
        self.assertEqual(self.names("m.succeed('camonitor -t sI A B > /tmp/x; cainfo C')"), ["A", "B", "C"])
        self.assertEqual([pv[:3] for pv in pvs("m.succeed(\"\"\"\n  caput -c A 3\n  caget B\n\"\"\")\n")],
                         [("A", 2, 12), ("B", 3, 9)])

    def test_what_a_variable_decides_and_what_must_fail_is_left_out(self):
        self.assertEqual(self.names("""\
            m.succeed(f'caget {pv}')
            m.succeed('caget ' + pv)
            m.succeed('caget %s' % pv)
            m.succeed('caget {}'.format(pv))
            m.succeed('caget $PV A$N B* C{1,2} "$P"D')
            m.fail('caget unknown')
            m.wait_until_fails('caget unknown')
            m.succeed('my-caget-wrapper')
            """), [])

    def test_where_a_failure_may_be_meant_no_pv_must_be_there(self):
        for text in ("m.execute('caget VOTL')", "m.succeed('! caget VOTL')", "m.succeed('caget VOTL || true')",
                     "m.succeed('if caget VOTL; then exit 1; fi')", "cmd = 'caget VOTL'", "m.succeed('pvget VOTL')",
                     "with t.assertRaises(Exception):\n    m.succeed('caget VOTL')",
                     "try:\n    m.succeed('caget VOTL')\nexcept Exception:\n    pass",
                     "m.succeed('softIoc -d /tmp/x.db &', 'caget VOTL')"):
            with self.subTest(text):
                self.assertEqual([pv.sure for pv in pvs(text)], [False])
