"""The JUnit report."""
import xml.etree.ElementTree as ElementTree

from .base import WholeProcess


class Report(WholeProcess):
    def cases(self, script, **more):
        r = self.drive(script, junit="sub/report.xml", **more)
        suite = ElementTree.parse(self.peer.out / "sub/report.xml").getroot().find("testsuite")
        self.assertEqual(suite.get("name"), "NixOS integration test")
        cases = {c.get("name"): c for c in suite}
        self.assertEqual(int(suite.get("tests")), len(cases))
        self.assertEqual(int(suite.get("failures")), sum(c.find("failure") is not None for c in cases.values()))
        failed = {name for name, c in cases.items() if c.find("failure") is not None}
        return r, cases, failed

    def test_a_run_that_passes(self):
        r, cases, failed = self.cases("with subtest('a'):\n    machine.succeed('echo x >&2')\nwith subtest('b'):\n    pass\n")
        self.assertEqual((r.status, set(cases), failed), (0, {"a", "b", "main"}, set()))
        self.assertIn("must succeed: echo x", cases["a"].find("system-out").text)
        self.assertNotIn("must succeed", cases["b"].find("system-out").text or "")

    def test_a_failure_is_told_of_its_subtest_and_of_main(self):
        _r, cases, failed = self.cases("with subtest('good'):\n    pass\nwith subtest('bad'):\n    machine.succeed('exit 4')\n")
        self.assertEqual(failed, {"bad", "main"})
        self.assertIn("(exit code 4)", cases["bad"].find("failure").get("message"))

    def test_failures_outside_of_subtests(self):
        for script in ("raise KeyError('k')\n", "log.error('x')\n", "def broken(:\n", "nosuchname\n", "import sys\nsys.exit(2)\n"):
            with self.subTest(script):
                self.setUp()
                r, _cases, failed = self.cases(script)
                self.assertNotEqual(r.status, 0)
                self.assertEqual(failed, {"main"})

    def test_a_run_that_is_cut_off(self):
        r, _cases, failed = self.cases("import time\nwith subtest('s'):\n    time.sleep(60)\n", global_timeout=3)
        self.assertEqual(r.status, 143)
        self.assertEqual(failed, {"s", "main"})

    def test_any_text_is_valid(self):
        _r, cases, failed = self.cases("name = ''.join(map(chr, [0, 8, 9, 27, 34, 38, 60, 62, 127, 0xfffe, 0xdc80, 0x1f600]))\n"
                                       "with subtest(name):\n    raise ValueError(']]>' + name)\n")
        self.assertEqual(len(failed), 2)
        self.assertIn("\U0001f600", "".join(cases))

    def test_a_folder_that_cannot_be_written_is_a_warning(self):
        (self.peer.out / "file").write_text("")
        r = self.drive("pass\n", junit="file/report.xml")
        self.assertEqual(r.status, 0)
        self.assertIn("warning: cannot write the JUnit report", r.stderr)
