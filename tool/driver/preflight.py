"""Looks at a script before anything starts: what cannot run, what only a virtual machine has, what NixOS would not build.

`python3 -B tool/driver --preflight` does so for `cargo xtask lint`, which also asks for the PVs that a script names.
"""
import ast
import builtins
import os
import symtable
import sys
import warnings
from types import SimpleNamespace

from . import nixfile, typecheck, vmonly
from .errors import NotInSandbox
from .machine import pythonize_name
from .problem import Problem, column, nearest
from .pvs import pvs

# A function's flag that it takes any argument by name (module `inspect` takes long to load).
VARIABLE_KEYWORDS = 8

# Names that exist in every module or class body without an assignment.
# What Python's module `site` adds: the look before a run is quicker without it.
BUILTINS = {*dir(builtins), "copyright", "credits", "exit", "help", "license", "quit"}
IMPLICIT = {"__builtins__", "__module__", "__qualname__", "__class__", "__annotations__"}
CATCH_NAMES = {"NameError", "AttributeError", "Exception", "BaseException"}


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
    return read - defined - set(known) - BUILTINS - IMPLICIT


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


def check(text, symbols, machines, lint=True):
    """Returns the Problems of a script, by line. `symbols`: names of the driver; `machines`: variable -> machine.

    With `lint`, also what NixOS's lint of test scripts finds. A text that does not compile has none here: running it tells.
    """
    try:
        compile(text, "<string>", "exec", dont_inherit=True)  # finds more than the parser: `return` at the top, …
        tree = ast.parse(text)
        missing = undefined(text, symbols)
    except (SyntaxError, ValueError, RecursionError):
        return []
    safe, problems = guarded(tree), {}
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    stored |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    stored |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    stored |= {n.asname or n.name for n in ast.walk(tree) if isinstance(n, ast.alias)}
    machines = {name: machine for name, machine in machines.items() if name not in stored}
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)}
    star = any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))

    lines = text.split("\n")

    def add(node, kind, message, hint, severity="error"):
        line, at = node.lineno, node.col_offset
        if isinstance(node, ast.Attribute):  # the name behind the dot
            line, at = node.end_lineno, node.end_col_offset - len(node.attr.encode())
        problems.setdefault((line, message), Problem(line, column(lines, line, at), kind, message, hint, severity))

    for node in ast.walk(tree):
        if id(node) in safe:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in missing and not star:
            hint = nearest(node.id, [*symbols, *BUILTINS]) or "define or import it"
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
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = getattr(node.func.value, "id", None), node.func.attr
            method = getattr(machines.get(owner), name, None) if name not in attributes else None
            taken = parameters(method)
            for word in node.keywords if taken else ():
                if word.arg and word.arg not in taken:
                    hint = nearest(word.arg, taken) or f"it takes {', '.join(taken)}"
                    add(word, "unknown-argument", f"`{name}` takes no argument `{word.arg}`", hint)
    if lint:
        from . import flakes
        known = {*symbols, *BUILTINS, *IMPLICIT}
        for found in flakes.check(tree, text, known):
            # Not known whether NixOS uses ruff's rules of style.
            severity = "warning" if found.code.startswith("E") else "error"
            kind = "NameError" if found.rule == "undefined-name" else found.rule
            add(found.node, kind, found.message, found.hint, severity)
    return [problems[key] for key in sorted(problems)]


def parameters(method):
    """The names of a method's arguments, empty where it takes any or there is none."""
    code = getattr(method, "__code__", None)
    if code is None or code.co_flags & VARIABLE_KEYWORDS:
        return []
    return list(code.co_varnames[1:code.co_argcount + code.co_kwonlyargcount])


def refusal(function, why):
    message, hint = str(NotInSandbox(function, why)).split("\nhint: ")
    return message, hint


# What `cargo xtask lint` asks

def trouble(text):
    """The Problem of a text that does not compile, or None."""
    try:
        compile(text, "<string>", "exec", dont_inherit=True)
    except SyntaxError as error:  # also of indentation and tabs
        return Problem(error.lineno or 1, max(error.offset or 1, 1), "SyntaxError", error.msg, "correct the Python")
    except (ValueError, RecursionError, MemoryError) as error:
        return Problem(1, 1, "SyntaxError", f"the script cannot be compiled: {error}", "a script is plain text")
    return None


def read_script(path):
    """(text, None) of a script, or (None, Problem)."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        return None, Problem(1, 1, "SyntaxError", f"the script cannot be read: {error.strerror}", "see its rights")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        at = error.start - (data.rfind(b"\n", 0, error.start) + 1)
        return None, Problem(line, at + 1, "SyntaxError", "the script is not UTF-8", "save it as UTF-8")
    return text, trouble(text)


def survey(text, names, vlans, sandbox, skips):
    """The Problems of a script, and the variables of its machines."""
    from .driver import Driver
    from .events import Events
    from .logger import Logger
    config = {"machines": [{"name": m, "shared_dir": "/", "state_dir": "/"} for m in names],
              "vlans": vlans, "global_timeout": 1, "script": "/"}
    nothing = SimpleNamespace(exits=lambda name: None)  # no host is asked for anything
    driver = Driver(config, text, "/", nothing, Logger(Events()), Events(), None)
    machines = variables(driver)
    problems = check(text, driver.test_symbols(show=False), machines, "skipLint" not in skips)
    # On a NixOS machine these functions do what they say.
    return [p for p in problems if sandbox or p.kind != "NotInSandbox"], machines


def of_helper(text, script, lib):
    """The Problems of a module that scripts import. NixOS does not look into it: only what cannot work is an error."""
    problems = check(text, {"__file__"}, {})
    for problem in problems:
        if problem.kind != "NameError":
            problem.severity = "warning"
        else:
            problem.hint = "define or import it; what the script has, as `machine` or `retry`, is handed over as an argument"
    name = os.path.relpath(script, lib).split(os.sep)[0].partition(".")[0]
    if name in getattr(sys, "stdlib_module_names", ()):  # Python 3.10
        problems.insert(0, Problem(1, 1, "hidden-helper", f"Python itself has a module `{name}`: this one is never imported",
                                   "give it another name"))
    # A folder without modules is only data: Python takes the file.
    folder = os.path.join(lib, name)
    modules = os.path.isdir(folder) and any(entry.endswith(".py") for entry in os.listdir(folder))
    if modules and os.path.isfile(folder + ".py"):
        problems.insert(0, Problem(1, 1, "hidden-helper", f"there are a module `{name}` and a folder of that name: only one is imported",
                                   "give one of them another name"))
    return problems


def variables(driver):
    """Variable -> machine."""
    machines = {pythonize_name(m.name): m for m in driver.machines}
    if len(machines) == 1:
        machines.setdefault("machine", driver.machines[0])
    return machines


def with_types(problems, types):
    """Adds what the type checker finds, but for names that are known to be wrong."""
    told = {p.message[p.message.index("`"):] for p in problems if p.kind in ("NameError", "AttributeError")}
    new = [p for p in types if not any(name in p.message for name in told)]
    return sorted([*problems, *new], key=lambda p: (p.line, p.column))


def main(request):
    """`[{"script": PATH, "text": TEXT, "lib": PATH, "machines": [NAME], "vlans": [NUMBER], "sandbox": BOOL, "thorough": BOOL}, …]` -> an
    answer for each, on stdout. A script without a text is read; mypy, which is slow, is asked where the look is thorough.
    """
    import json
    warnings.simplefilter("ignore")  # of the compiler, about scripts: they would go to stderr
    asked, answers, typed = json.loads(request), [], []
    for one in asked:
        text = one["text"]
        text, broken = read_script(one["script"]) if text is None else (text, trouble(text))
        if broken:
            answers.append(([broken], []))
            continue
        lib = one["lib"]
        if lib and one["script"].startswith(lib + os.sep):
            answers.append((of_helper(text, one["script"], lib), pvs(text)))
            continue
        skips, vlans = nixfile.skips(one["script"]), one["vlans"]
        problems, machines = survey(text, one["machines"], vlans, one["sandbox"], skips)
        if "skipTypeCheck" not in skips:
            typed.append((len(answers), (text, list(machines), vlans)))
        answers.append((problems, pvs(text)))
    tool = typecheck.checker(("ty", "mypy") if any(one["thorough"] for one in asked) else ("ty",))
    if tool and typed:
        found = typecheck.check([script for _, script in typed], tool, lib=asked[0]["lib"])
        for (number, _script), types in zip(typed, found):
            answers[number] = with_types(answers[number][0], types), answers[number][1]
    json.dump([answer(*one) for one in answers], sys.stdout)
    return 0


def answer(problems, names):
    """What is wrong with a script, and the PVs it names, for JSON."""
    keys = ("line", "column", "kind", "message", "hint", "severity")
    return {"problems": [{key: getattr(p, key) for key in keys} for p in problems],
            "pvs": [pv._asdict() for pv in names]}
