"""JUnit report: one case per subtest, and `main` for the whole script."""
import os
import re
import time

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0


def xml(text):
    text = FORBIDDEN.sub("", text)
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, name)
    return text


class Case:
    """One test case. A context manager, so that a subtest that is entered again adds to its time."""

    def __init__(self, report, name):
        self.report, self.name = report, name
        self.seconds, self.out, self.errors = 0.0, [], []

    def __enter__(self):
        self.report.open.append((self, time.monotonic()))

    def __exit__(self, *_):
        _case, begin = self.report.open.pop()
        self.seconds += time.monotonic() - begin


class Junit:
    def __init__(self, path):
        self.path = path
        self.main, self.cases, self.open = Case(self, "main"), {}, []
        self.begin = time.monotonic()

    def subtest(self, name):
        return self.cases.setdefault(name, Case(self, name))

    def line(self, text):
        for case in {id(c): c for c in [self.main, *(c for c, _ in self.open[-1:])]}.values():
            case.out.append(text)

    def error(self, text):
        for case in [self.main, *(c for c, _ in self.open[-1:])]:
            case.errors.append(str(text))

    def write(self):
        """Writes the report. Raises OSError."""
        self.main.seconds = time.monotonic() - self.begin
        cases = [*self.cases.values(), self.main]
        failed = sum(bool(c.errors) for c in cases)
        out = ['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>",
               f'<testsuite name="NixOS integration test" tests="{len(cases)}" failures="{failed}" errors="0"'
               f' time="{self.main.seconds:.3f}">']
        for case in cases:
            out.append(f'<testcase name="{xml(case.name)}" time="{case.seconds:.3f}">')
            if case.errors:
                out.append(f'<failure type="failure" message="{xml(case.errors[0])}"/>')
            out.append(f"<system-out>{xml(chr(10).join(case.out))}</system-out>")
            out.append(f"<system-err>{xml(chr(10).join(case.errors))}</system-err>")
            out.append("</testcase>")
        out += ["</testsuite>", "</testsuites>", ""]
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("\n".join(out))
