"""Findings, scopes, and what a name stands for in them: the material of the rules."""
import ast
from collections import namedtuple

Finding = namedtuple("Finding", "node code rule message hint")

LOOPS = (ast.For, ast.AsyncFor, ast.comprehension)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = ("function", "class", "import", "submodule", "future")
BRANCHING = (ast.If, ast.Try, ast.With, *(kind for kind in (getattr(ast, "TryStar", None),) if kind))
IMPORTS = ("import", "submodule", "future")


class Findings(ast.NodeVisitor):
    """A visitor that collects Findings."""

    def __init__(self):
        self.found = []

    def run(self, tree):
        self.visit(tree)
        return self.found

    def add(self, node, code, rule, message, hint):
        self.found.append(Finding(node, code, rule, message, hint))


class Binding:
    """One binding of a name. `used`: (scope, node) of its last use; `shadows`: nodes that bind it again further in.

    An import has a `full` name, and is `exported` where it is written for others: `import a as a`.
    """

    def __init__(self, kind, name, node, full=None, exported=False):
        self.kind, self.name, self.node, self.full, self.exported = kind, name, node, full or name, exported
        self.used, self.shadows = None, []

    def redefines(self, other):
        """Whether `other`, if nothing has used it, was in vain."""
        if self.kind == "annotation" or other.kind == "future":
            return False
        if "submodule" in (self.kind, other.kind) and self.kind in IMPORTS and other.kind in IMPORTS:
            return self.full == other.full
        return other.kind in DEFINITIONS or self.kind in DEFINITIONS and other.kind == "assign"


class Scope(dict):
    """Names of a module, class, function or comprehension."""

    def __init__(self, kind, node=None):
        super().__init__()
        self.kind, self.node = kind, node
        self.declared = set()  # `global` and `nonlocal`
        self.calls_locals = False
        self.star = False  # has `from … import *`


def link(tree):
    """Gives every node `up`, the node that it is part of."""
    tree.up = None
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.up = node


def statement_of(node):
    """The node that a target belongs to, past tuples, lists and stars."""
    node = node.up
    while hasattr(node, "elts") or hasattr(node, "ctx"):
        node = node.up
    return node


def branch(node):
    """The innermost branch of an `if`, `try` or `match` that a node is in: a run may take another one."""
    while node.up is not None:
        above = node.up
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            if isinstance(above, BRANCHING) and any(node is part for part in getattr(above, field, ())):
                return id(above), field
        if isinstance(above, ast.ExceptHandler) or type(above).__name__ == "match_case":
            return id(above), "body"
        node = above
    return None


def binding_of(name, node, scope):
    """The Binding that storing to a name makes."""
    above = statement_of(node)
    if isinstance(above, ast.AnnAssign) and above.value is None:
        return Binding("annotation", name, node)
    if isinstance(above, LOOPS):
        return Binding("loop", name, node)
    if above is not node.up and not unpacks_literal(above):
        return Binding("unpacked", name, node)
    if isinstance(above, ast.NamedExpr):
        return Binding("named", name, node)
    if name == "__all__" and scope.kind == "module":
        return Binding("export", name, node)
    return Binding("assign", name, node)


def unpacks_literal(node):
    """`a, b = 1, 2`: each name has a value of its own."""
    return isinstance(node, ast.Assign) and all(hasattr(part, "elts") for part in (*node.targets, node.value))


def place(alias, node):
    """Where a name is imported: Python 3.9 knows the statement only."""
    return alias if hasattr(alias, "lineno") else node


def arguments(args):
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [a for a in every if a is not None]


def overloads(node):
    """`@overload`, which is meant to be defined again."""
    return any(getattr(d, "id", getattr(d, "attr", None)) == "overload" for d in getattr(node, "decorator_list", []))
