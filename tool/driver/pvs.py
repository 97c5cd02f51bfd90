"""The PVs that a script's commands name."""
import ast
import re
from collections import namedtuple

from .problem import column

TOOL = re.compile(r"\b(caget|caput|camonitor|cainfo|pvget|pvput|pvmonitor|pvinfo)\b((?:[^\S\n]+[^\s|;&<>()`]+)+)")
WITH_VALUE = {"-w", "-d", "-p", "-F", "-m", "-e", "-f", "-g", "-r", "-#", "-v", "-M"}  # their value is the next word
FAILS = {"fail", "wait_until_fails"}  # a command that these run is meant to fail: its PV may be missing
SUCCEEDS = {"succeed", "wait_until_succeeds"}
UNSURE = re.compile(r"\|\||&&|!|\b(?:if|while|until)\b")  # a shell that goes on after a failure
OTHER_IOC = re.compile(r"softIoc|dbLoadRecords|\brecord\s*\(")  # the script brings records of its own
PV = re.compile(r"[A-Za-z0-9_:<>;\[\]-]+(?=\.|$)")

# `sure`: without this PV, the script fails.
Named = namedtuple("Named", "name line column sure")


def pvs(text):
    """The PVs that a script's commands name. What a variable decides is left out."""
    tree, lines, found = ast.parse(text), text.split("\n"), []
    skipped, certain = judged(tree)
    if OTHER_IOC.search(text):
        certain = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            sure = id(node) in certain and not UNSURE.search(node.value)
            for command in TOOL.finditer(node.value):
                channel_access = command.group(1).startswith("ca")  # by PV Access an IOC has groups as well
                for word in arguments(command):
                    match = PV.match(word)
                    if match:
                        found.append(Named(match.group(), *place(lines, node, word), sure and channel_access))
    return found


def judged(tree):
    """Ids of the nodes whose texts are no whole commands or may fail, and of the texts that must succeed as they are."""
    skipped, certain, guarded = set(), set(), set()
    for node in ast.walk(tree):
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Attribute) and function.attr in FAILS:
            skipped |= below(node)
        elif isinstance(function, ast.Attribute) and function.attr in SUCCEEDS:
            certain |= {id(argument) for argument in node.args}
        # A text that is put together has its rest elsewhere.
        if isinstance(node, (ast.JoinedStr, ast.BinOp)) or isinstance(node, ast.Attribute) and node.attr == "format":
            skipped |= below(node)
        # Where a failure may be meant.
        if isinstance(node, ast.Try) and node.handlers or isinstance(node, ast.With) and any(
                "raises" in ast.dump(item).lower() or "suppress" in ast.dump(item) for item in node.items):
            guarded |= {key for part in node.body for key in below(part)}
    return skipped, certain - guarded


def below(node):
    return {id(n) for n in ast.walk(node)}


def arguments(command):
    """The words of a command that are PVs."""
    with_value = WITH_VALUE | ({"-t"} if command.group(1) == "camonitor" else set())
    words, names = iter(command.group(2).split()), []
    for word in words:
        if word in with_value:
            next(words, None)
        elif not word.startswith("-"):
            names.append(word.strip("'\""))
    return names[:1] if command.group(1) in ("caput", "pvput") else names


def place(lines, node, word):
    """Line and column of a word in a text of the script: where it stands first, or else the text itself."""
    for number in range(node.lineno, node.end_lineno + 1):
        text = lines[number - 1] if number <= len(lines) else ""
        start = column(lines, number, node.col_offset) - 1 if number == node.lineno else 0
        match = re.compile(rf"(?<![\w:.-]){re.escape(word)}(?![\w:-])").search(text, start)
        if match:
            return number, match.start() + 1
    return node.lineno, column(lines, node.lineno, node.col_offset)

