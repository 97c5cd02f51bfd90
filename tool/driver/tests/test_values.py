"""Values that a failure tells."""
import unittest

from .. import failure, values

SCRIPT = """\
def read(n):
    return "1" * n

class Odd:
    def __repr__(self):
        raise RuntimeError("code of the script must not run")

odd, value = Odd(), "12"

def compared():
    assert read(2).strip() == "13", "why"

def named():
    for i in range(3):
        assert i < 1 or not value

def chained():
    assert 1 < len(value) < len(read(2)) < 9

def own():
    assert [odd, 1] == value

def called():
    assert all(x == "1"
               for x in value)

def other():
    return {"a": 1}[value]

def long():
    assert read(1000) == value
"""


class Values(unittest.TestCase):
    def message(self, call):
        text = f"{SCRIPT}{call}()\n"
        try:
            exec(values.compiled(text), {})
        except Exception as error:
            return failure.event(error, text, None, values.told(error, text, failure.where(error)))["message"].splitlines()
        self.fail("it passes")

    def test_operands_of_an_assertion(self):
        self.assertEqual(self.message("compared"), ["why", "read(2).strip() = '11'"])
        self.assertEqual(self.message("chained"), ["value = '12'", "len(value) = 2", "len(read(2)) = 2"])
        self.assertEqual(self.message("called"), ["value = '12'", "all(x == \"1\" for x in value) = False"])

    def test_names_in_the_line(self):
        self.assertEqual(self.message("named"), ["i = 1", "value = '12'"])
        self.assertEqual(self.message("other"), ["'12'", "value = '12'"])

    def test_no_code_of_the_script_runs_and_nothing_is_endless(self):
        self.assertEqual(self.message("own"), ["value = '12'", "[odd, 1] = [<Odd>, 1]"])
        self.assertLess(len(self.message("long")[1]), 160)

    def test_what_python_says_of_a_script_is_not_changed(self):
        for text in ("assert (x := 3) and x == 3\nassert x", "assert 1 == 1 == 1, 'no'\n", "async def f(): assert (await f()) == 1"):
            exec(values.compiled(text), {})
        with self.assertRaises(SyntaxError) as caught:
            values.compiled("if x\n  pass")
        self.assertEqual((caught.exception.filename, caught.exception.lineno), ("<string>", 1))
        with self.assertRaises(SyntaxError):
            values.compiled("return 1")
