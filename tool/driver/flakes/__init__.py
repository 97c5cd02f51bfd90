"""What pyflakes and ruff's rules `F` find: nixpkgs builds no driver for a script that has such findings.

Written anew on `ast`, so that every host gives the same verdict: neither program comes with Python, and versions differ.
Names and numbers of the rules are ruff's; where the two programs differ, ruff is followed, as NixOS 26.05 runs it.
"""
import re

from .bindings import link
from .expressions import Expressions
from .names import Names
from .style import Style

NOQA = re.compile(r"#\s*noqa(?::\s*(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*))?", re.IGNORECASE)
NOQA_FILE = re.compile(r"^\s*#\s*(?:flake8|ruff)\s*:\s*noqa\s*$", re.IGNORECASE | re.MULTILINE)


def check(tree, text, known):
    """The Findings of a module, in the order of its lines. `known`: names that are there anyway."""
    if NOQA_FILE.search(text):
        return []
    link(tree)
    lines = text.split("\n")
    try:
        found = [*Names(known).run(tree), *Expressions().run(tree), *Style(lines).run(tree)]
    except RecursionError:  # Python itself takes deeper expressions than code in Python can walk
        return []
    found = [f for f in found if not excused(lines, f)]
    return sorted(found, key=lambda f: (f.node.lineno, f.node.col_offset, f.code))


def excused(lines, finding):
    """Whether `# noqa` or `# noqa: CODE` stands at the end of the finding's line, or of its last one."""
    for number in {finding.node.lineno, finding.node.end_lineno or finding.node.lineno}:
        match = NOQA.search(lines[number - 1]) if number <= len(lines) else None
        if match and (not match["codes"]
                      or any(finding.code.startswith(c.upper()) for c in re.split(r"[,\s]+", match["codes"]))):
            return True
    return False
