"""What a check's Nix file says about the checks of its script. Nix is not asked: its text is read.

`skipLint = true;` and `skipTypeCheck = true;` count where they stand outside of comments and texts, wherever in the file.
Any other value, and what is put together in other files, counts as not said.
"""
import os
import re

OPAQUE = re.compile(r"""#[^\n]*|/\*.*?\*/|''(?:[^']|'(?!')|''['$\\])*''|"(?:\\.|[^"\\])*\"""", re.DOTALL)
SKIP = re.compile(r"(?<![\w.'-])(skipLint|skipTypeCheck)\s*=\s*true\s*;")


def skips(script):
    """The set of "skipLint" and "skipTypeCheck" that stand in NAME.nix beside the script NAME.py."""
    try:
        with open(os.path.splitext(script)[0] + ".nix", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return set()
    return set(SKIP.findall(OPAQUE.sub(" ", text)))
