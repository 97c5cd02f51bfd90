"""Looks at a script before anything starts: names that do not exist, and functions that only a virtual machine has.

`python3 -B xtask/driver --preflight` does so for `cargo xtask lint`, which also asks for the PVs that a script names.
"""
import ast
import builtins
import re
import symtable
import sys
import warnings
from types import SimpleNamespace

from . import vmonly
from .errors import NotInSandbox

# Names that exist in every module or class body without an assignment.
IMPLICIT = {"__builtins__", "__module__", "__qualname__", "__class__", "__annotations__"}
CATCH_NAMES = {"NameError", "AttributeError", "Exception", "BaseException"}


class Problem:
    """One finding: line and column (from 1) in the script, class of the error it would be, text with a hint."""

    def __init__(self, line, column, kind, message, hint):
        self.line, self.column, self.kind, self.message, self.hint = line, column, kind, message, hint


def nearest(name, known):
    from difflib import get_close_matches
    match = get_close_matches(name, [k for k in known if not k.startswith("_")], 1)
    return f"did you mean `{match[0]}`?" if match else None


def undefined(text, known):
    """Names that are read as globals but that nothing defines."""
    top = symtable.symtable(text, "<string>", "exec")
    defined = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    read, todo = set(), [top]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        for symbol in table.get_symbols():
            if table is not top and symbol.is_declared_global() and symbol.is_assigned():
                defined.add(symbol.get_name())
            if symbol.is_referenced() and symbol.is_global():
                read.add(symbol.get_name())
    return read - defined - set(known) - set(dir(builtins)) - IMPLICIT


def guarded(tree):
    """Ids of the nodes inside a `try` that catches errors about names: there the script expects them."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try):
            continue
        caught = set()
        for handler in node.handlers:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            caught |= {"Exception" if kind is None else getattr(kind, "id", "") for kind in kinds}
        if caught & CATCH_NAMES:
            found |= {id(n) for part in node.body for n in ast.walk(part)}
    return found


def check(text, symbols, machines):
    """Returns the Problems of a script, by line. `symbols`: names of the driver; `machines`: variable -> machine.

    A text that does not compile has none here: running it tells.
    """
    try:
        compile(text, "<string>", "exec", dont_inherit=True)  # finds more than the parser: `return` at the top, …
        tree = ast.parse(text)
        missing = undefined(text, symbols)
    except (SyntaxError, ValueError):
        return []
    safe, problems = guarded(tree), {}
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    stored |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    stored |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    stored |= {n.asname or n.name for n in ast.walk(tree) if isinstance(n, ast.alias)}
    machines = {name: machine for name, machine in machines.items() if name not in stored}
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)}
    star = any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))

    lines = text.splitlines()

    def add(node, kind, message, hint):
        line, at = node.lineno, node.col_offset
        if isinstance(node, ast.Attribute):  # the name behind the dot
            line, at = node.end_lineno, node.end_col_offset - len(node.attr.encode())
        problems.setdefault((line, message), Problem(line, column(lines, line, at), kind, message, hint))

    for node in ast.walk(tree):
        if id(node) in safe:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in missing and not star:
            hint = nearest(node.id, [*symbols, *dir(builtins)]) or "define or import it"
            add(node, "NameError", f"undefined name `{node.id}`", hint)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name in vmonly.FUNCTIONS and name not in stored:
                add(node, "NotInSandbox", *refusal(f"{name}()", vmonly.FUNCTIONS[name]))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in machines:
            owner, name = node.value.id, node.attr
            if name in vmonly.METHODS:
                add(node, "NotInSandbox", *refusal(f"{owner}.{name}()", vmonly.METHODS[name]))
            elif not hasattr(machines[owner], name) and name not in attributes:
                hint = nearest(name, dir(machines[owner])) or "see docs/checks.md for what a machine can do"
                add(node, "AttributeError", f"a machine has no `{name}`", hint)
    return [problems[key] for key in sorted(problems)]


def column(lines, line, at):
    """Column in characters, from 1, of a byte of a line."""
    text = lines[line - 1] if line <= len(lines) else ""
    return len(text.encode()[:at].decode(errors="replace")) + 1


def refusal(function, why):
    message, hint = str(NotInSandbox(function, why)).split("\nhint: ")
    return message, hint


# What `cargo xtask lint` asks

TOOL = re.compile(r"\b(caget|caput|camonitor|cainfo|pvget|pvput|pvmonitor|pvinfo)\b((?:[^\S\n]+[^\s|;&<>()`]+)+)")
WITH_VALUE = {"-w", "-d", "-p", "-F", "-m", "-e", "-f", "-g", "-r", "-#", "-v"}  # options whose value is the next word
FAILS = {"fail", "wait_until_fails"}  # a command that these run is meant to fail: its PV may be missing
PV = re.compile(r"[A-Za-z0-9_:<>;\[\]-]+(?=\.|$)")


def pvs(text):
    """The PVs that a script's commands name, as (record, line, column). What a variable decides is left out."""
    tree, lines, found = ast.parse(text), text.splitlines(), []
    skipped = {id(n) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FAILS:
            skipped |= {id(n) for n in ast.walk(node)}
        # A text that is put together has its rest elsewhere.
        if isinstance(node, ast.BinOp) or isinstance(node, ast.Attribute) and node.attr == "format":
            skipped |= {id(n) for n in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            for command in TOOL.finditer(node.value):
                for word in arguments(command):
                    match = PV.match(word)
                    if match:
                        found.append((match.group(), *place(lines, node, word)))
    return found


def arguments(command):
    """The words of a command that are PVs."""
    words, names = iter(command.group(2).split()), []
    for word in words:
        if word in WITH_VALUE:
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


def trouble(text):
    """The Problem of a text that does not compile, or None."""
    try:
        compile(text, "<string>", "exec", dont_inherit=True)
    except SyntaxError as error:  # also of indentation and tabs
        return Problem(error.lineno or 1, max(error.offset or 1, 1), "SyntaxError", error.msg, "correct the Python")
    except (ValueError, RecursionError, MemoryError) as error:
        return Problem(1, 1, "SyntaxError", f"the script cannot be compiled: {error}", "a script is plain text")
    return None


def survey(path, machines, sandbox):
    """What is wrong with a script, and the PVs it names, as a dict for JSON."""
    from .driver import Driver, pythonize_name
    from .events import Events
    from .logger import Logger
    try:
        with open(path, "rb") as file:
            data = file.read()
        text = data.decode("utf-8-sig")
    except OSError as error:
        return answer([Problem(1, 1, "SyntaxError", f"the script cannot be read: {error.strerror}", "see its rights")])
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        at = error.start - (data.rfind(b"\n", 0, error.start) + 1)
        return answer([Problem(line, at + 1, "SyntaxError", "the script is not UTF-8", "save it as UTF-8")])
    broken = trouble(text)
    if broken:
        return answer([broken])
    config = {"machines": [{"name": m, "shared_dir": "/", "state_dir": "/"} for m in machines],
              "vlans": [1], "global_timeout": 1, "script": path}
    nothing = SimpleNamespace(exits=lambda name: None)  # no host is asked for anything
    driver = Driver(config, text, "/", nothing, Logger(Events()), Events(), None)
    known = {pythonize_name(m.name): m for m in driver.machines}
    if len(known) == 1:
        known.setdefault("machine", driver.machines[0])
    problems = check(text, driver.test_symbols(show=False), known)
    # On a NixOS machine these functions do what they say.
    return answer([p for p in problems if sandbox or p.kind != "NotInSandbox"], pvs(text))


def answer(problems, names=()):
    keys = ("line", "column", "kind", "message", "hint")
    return {"problems": [{key: getattr(p, key) for key in keys} for p in problems],
            "pvs": [{"name": name, "line": line, "column": at} for name, line, at in names]}


def main(request):
    """`[{"script": PATH, "machines": [NAME], "sandbox": BOOL}, …]` -> an answer for each, on stdout."""
    import json
    warnings.simplefilter("ignore")  # of the compiler, about scripts: they would go to stderr
    json.dump([survey(one["script"], one["machines"], one["sandbox"]) for one in json.loads(request)], sys.stdout)
    return 0
