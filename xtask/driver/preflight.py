"""Looks at a script before anything starts: names that do not exist, and functions that only a virtual machine has."""
import ast
import builtins
import symtable

from . import vmonly
from .errors import NotInSandbox

# Names that exist in every module or class body without an assignment.
IMPLICIT = {"__builtins__", "__module__", "__qualname__", "__class__", "__annotations__"}
CATCH_NAMES = {"NameError", "AttributeError", "Exception", "BaseException"}


class Problem:
    """One finding: line in the script, class of the error it would be, text with a hint."""

    def __init__(self, line, kind, message, hint):
        self.line, self.kind, self.message, self.hint = line, kind, message, hint


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

    def add(node, kind, message, hint):
        problems.setdefault((node.lineno, message), Problem(node.lineno, kind, message, hint))

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


def refusal(function, why):
    message, hint = str(NotInSandbox(function, why)).split("\nhint: ")
    return message, hint
