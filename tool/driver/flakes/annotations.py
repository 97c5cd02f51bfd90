"""Annotations: names in them count as used, also in quotes."""
import ast

from .bindings import link


class Annotations:
    """The part of `Names` that reads annotations."""

    def annotation(self, node):
        if node is None:
            return
        if self.postponed:
            self.defer(lambda: self.annotated(node))
        else:
            self.annotated(node)

    def annotated(self, node):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.code(node)
        elif isinstance(node, ast.Subscript):
            self.visit(node.value)
            kind = getattr(node.value, "id", getattr(node.value, "attr", None))
            if kind == "Literal":
                self.visit(node.slice)
            elif kind == "Annotated" and isinstance(node.slice, ast.Tuple) and node.slice.elts:
                self.annotated(node.slice.elts[0])
                for part in node.slice.elts[1:]:
                    self.visit(part)
            else:
                self.annotated(node.slice)
        elif isinstance(node, (ast.Tuple, ast.List, ast.BinOp)):
            for part in ast.iter_child_nodes(node):
                self.annotated(part)
        else:
            self.visit(node)

    def code(self, text):
        """An annotation in quotes. Its names may be defined later."""
        try:
            tree = ast.parse(text.value.strip(), mode="eval")
        except (SyntaxError, ValueError):
            self.add(text, "F722", "forward-annotation-syntax-error", f"syntax error in annotation `{text.value}`",
                     "correct it")
            return
        link(tree)
        tree.up = text
        for node in ast.walk(tree):
            ast.copy_location(node, text)

        def read():
            self.quoted = True
            self.annotated(tree.body)
            self.quoted = False

        self.defer(read)

    def visit_Call(self, node):
        self.generic_visit(node)
        if ast.unparse(node.func) in ("cast", "typing.cast") and node.args and isinstance(node.args[0], ast.Constant):
            if isinstance(node.args[0].value, str):
                self.code(node.args[0])
