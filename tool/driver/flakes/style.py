"""Ruff's rules `E4` and `E7`: on by default in ruff, so NixOS 26.05 may refuse what they find; pyflakes has none of them."""
import ast

from .bindings import Findings

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.ClassDef, ast.AsyncFor, ast.AsyncWith)
AMBIGUOUS = {"l", "O", "I"}


class Style(Findings):
    """The rules that need no more than the tree, and its lines for semicolons."""

    def __init__(self, lines):
        super().__init__()
        self.lines = lines

    def visit(self, node):
        for block in BLOCKS:
            part = getattr(node, block, None)
            if isinstance(part, list):
                self.block(node, part)
        super().visit(node)

    def block(self, node, part):
        first = part[0] if part else None
        if isinstance(node, (*COMPOUND, ast.ExceptHandler)) and isinstance(first, ast.stmt) and self.after_colon(first) \
                and not (isinstance(node, ast.ClassDef) and ast.unparse(first) == "..."):
            self.add(first, "E701", "multiple-statements-on-one-line-colon", "several statements on one line",
                     "put what follows the colon on a line of its own")
        for before, after in zip(part, part[1:]):
            if isinstance(after, ast.stmt) and before.end_lineno == after.lineno:
                self.add(after, "E702", "multiple-statements-on-one-line-semicolon", "several statements on one line",
                         "give each a line of its own")
        for one in part:
            if isinstance(one, ast.stmt) and not isinstance(one, COMPOUND) and self.useless_semicolon(one):
                self.add(one, "E703", "useless-semicolon", "the semicolon at the end is useless", "take it out")

    def before(self, node):
        return self.lines[node.lineno - 1].encode()[:node.col_offset].decode(errors="replace").strip()

    def after_colon(self, node):
        return node.lineno <= len(self.lines) and self.before(node).endswith(":")

    def useless_semicolon(self, node):
        if not node.end_lineno or node.end_lineno > len(self.lines):
            return False
        rest = self.lines[node.end_lineno - 1].encode()[node.end_col_offset:].decode(errors="replace").strip()
        return rest == ";" or rest.startswith(";") and rest[1:].lstrip().startswith("#")

    def visit_Import(self, node):
        if len(node.names) > 1:
            self.add(node, "E401", "multiple-imports-on-one-line", "several imports on one line", "import one a line")

    def visit_Compare(self, node):
        left = node.left
        for operator, right in zip(node.ops, node.comparators):
            if isinstance(operator, (ast.Eq, ast.NotEq)):
                self.equal(node, left, right)
            left = right
        self.generic_visit(node)

    def equal(self, node, left, right):
        values = [side.value for side in (left, right) if isinstance(side, ast.Constant)]
        if None in values:
            self.add(node, "E711", "none-comparison", "comparison to `None`", "use `is None` or `is not None`")
        elif any(value is True or value is False for value in values):
            self.add(node, "E712", "true-false-comparison", "comparison to `True` or `False`",
                     "use the value itself, or `not`")
        elif any(isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "type"
                 and len(side.args) == 1 for side in (left, right)):
            self.add(node, "E721", "type-comparison", "types compared by `==`", "use `is`, or `isinstance()`")

    def visit_UnaryOp(self, node):
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            if isinstance(inner.ops[0], ast.In):
                self.add(inner, "E713", "not-in-test", "`not … in …`", "use `… not in …`")
            elif isinstance(inner.ops[0], ast.Is):
                self.add(inner, "E714", "not-is-test", "`not … is …`", "use `… is not …`")
        self.generic_visit(node)

    def visit_ExceptHandler(self, node):
        if node.type is None and not any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(node)):
            self.add(node, "E722", "bare-except", "`except:` catches Ctrl-C as well", "use `except Exception:`")
        self.ambiguous(node, node.name, "E741", "ambiguous-variable-name", "variable")
        self.generic_visit(node)

    def visit_Assign(self, node):
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.assigned_lambda(node)
        self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if isinstance(node.target, ast.Name):
            self.assigned_lambda(node)
        self.generic_visit(node)

    def assigned_lambda(self, node):
        if isinstance(node.value, ast.Lambda):
            self.add(node, "E731", "lambda-assignment", "a `lambda` that is assigned to a name", "use `def`")

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.ambiguous(node, node.id, "E741", "ambiguous-variable-name", "variable")

    def visit_arg(self, node):
        self.ambiguous(node, node.arg, "E741", "ambiguous-variable-name", "variable")
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.ambiguous(node, node.name, "E743", "ambiguous-function-name", "function")
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        self.ambiguous(node, node.name, "E742", "ambiguous-class-name", "class")
        self.generic_visit(node)

    def ambiguous(self, node, name, code, rule, what):
        if name in AMBIGUOUS:
            self.add(node, code, rule, f"ambiguous {what} name `{name}`", "give it another name")
