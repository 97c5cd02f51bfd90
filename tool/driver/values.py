"""What the names in a failing line were, and what an assertion has compared."""
import ast
import builtins
import reprlib

from .failure import SCRIPT, helper_name, is_helper, own_frames, source

PLAIN = (str, bytes, int, float, complex, bool, type(None), list, tuple, dict, set, frozenset, range)
MOST = 8  # values that a failure tells
NOTE = "__xtask_note__"


class Short(reprlib.Repr):
    """`repr` of plain values, cut; code of the script's own classes is never run."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = 120

    def repr_instance(self, value, _level):
        return repr(value)[:self.maxother] if type(value) in PLAIN else f"<{type(value).__name__}>"

    def show(self, value):
        return self.repr(value) if type(value) in PLAIN else None


class Operands(ast.NodeTransformer):
    """Wraps what an assertion compares, so that its values are known when it fails. Each is still evaluated once."""

    def __init__(self, text):
        self.text = text

    def visit_Assert(self, node):
        test = node.test
        noted = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
        wrapped = [self.note(operand, node.lineno, place == 0) for place, operand in enumerate(noted)]
        if isinstance(test, ast.Compare):
            test.left, test.comparators = wrapped[0], wrapped[1:]
        else:
            node.test = wrapped[0]
        return node

    def note(self, operand, line, first):
        if isinstance(operand, (ast.Constant, ast.Name, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.NamedExpr)):
            return operand
        what = ast.get_source_segment(self.text, operand) or "…"
        words = [ast.Constant(value) for value in (" ".join(what.split()), line, first)]
        call = ast.Call(func=ast.Name(id=NOTE, ctx=ast.Load()), args=[operand, *words], keywords=[])
        return ast.fix_missing_locations(ast.copy_location(call, operand))


class Notes:
    """The operands of the assertion that was looked at last."""

    def __init__(self):
        self.line, self.seen = None, []

    def note(self, value, what, line, first):
        if first or line != self.line:
            self.line, self.seen = line, []
        self.seen.append((what, value))
        return value


notes = Notes()


def compiled(text):
    """The code of a script. Raises SyntaxError as `compile` does."""
    setattr(builtins, NOTE, notes.note)
    tree = compile(text, SCRIPT, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    try:
        return compile(Operands(text).visit(tree), SCRIPT, "exec", dont_inherit=True)
    except RecursionError:  # Python itself takes deeper expressions than code in Python can walk
        return compile(text, SCRIPT, "exec", dont_inherit=True)


def told(error, text, line):
    """Lines such as `value = '12'` on the line of the script that failed, or on that of a helper it called."""
    frames, lines = own_frames(error), []
    if not frames or line is None:
        return []
    frame = frames[-1][0]
    if is_helper(frame):
        import linecache
        file, line = frame.f_code.co_filename, frames[-1][1]
        text = "".join(linecache.getlines(file))
        lines.append(f"in {helper_name(file)}:{line}: {source(text, line)}")
    short = Short()
    known = {**frame.f_globals, **frame.f_locals}
    found = [(name, known[name]) for name in names(text, line) if name in known]
    if isinstance(error, AssertionError) and notes.line == line and not is_helper(frame):
        found += notes.seen
    for what, value in found[:MOST]:
        shown = short.show(value)
        if shown is not None:
            lines.append(f"{what} = {shown}")
    return lines


def names(text, line):
    """Names that the statement in a line of the script reads, each once, in its order."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line <= node.end_lineno]
    if not statements:
        return []
    # The innermost one; of a compound statement only what is evaluated before its body.
    inner = max(statements, key=lambda node: (node.lineno, -node.end_lineno))
    parts = [value for field, value in ast.iter_fields(inner) if field not in ("body", "orelse", "finalbody", "handlers")]
    nodes = [part for value in parts for part in (value if isinstance(value, list) else [value]) if isinstance(part, ast.AST)]
    read = [n for part in nodes for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    read.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(node.id for node in read))
