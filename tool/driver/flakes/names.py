"""Follows the names of a script through its scopes: unused imports and variables, undefined names, redefinitions."""
import ast
import re

from .annotations import Annotations
from .bindings import (DEFINITIONS, FUNCTIONS, IMPORTS, LOOPS, Binding, Findings, Scope, arguments, binding_of, branch,
                       overloads, place, statement_of)

DUMMY = re.compile(r"_+(?:\w*[a-zA-Z0-9])?$")  # names that say themselves that nobody uses them
IN_CLASS = {"__module__", "__qualname__", "__annotations__"}


class Names(Annotations, Findings):
    """Follows the names through the scopes of a module. Bodies of functions come last, as they run later."""

    def __init__(self, known):
        super().__init__()
        self.known, self.later, self.done = set(known), [], []
        self.scopes = [Scope("module")]
        self.catches = [()]  # names of the exceptions that the enclosing `try`s catch
        self.postponed = self.quoted = False  # annotations: none is evaluated; the text in this one is code

    @property
    def scope(self):
        return self.scopes[-1]

    def run(self, tree):
        self.postponed = any(isinstance(n, ast.ImportFrom) and n.module == "__future__"
                             and any(a.name == "annotations" for a in n.names) for n in tree.body)
        for node in tree.body:
            self.visit(node)
        while self.later:
            work, scopes = self.later.pop(0)
            self.scopes, self.catches = scopes, [()]
            work()
        self.scopes = self.scopes[:1]
        self.done.append(self.scopes.pop())
        exports = self.exports(tree)
        for scope in self.done:
            self.leave(scope, exports)
        return self.found

    def defer(self, work):
        self.later.append((work, list(self.scopes)))

    # The end of a scope

    def exports(self, tree):
        """Names of `__all__`, where it is a plain list."""
        names = set()
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
                parts = getattr(node.value, "elts", [])
                texts = [p for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
                names |= {p.value for p in texts}
                for part in texts:
                    if part.value not in self.done[-1] and part.value not in self.known and not self.done[-1].star:
                        self.add(part, "F822", "undefined-export", f"undefined name `{part.value}` in `__all__`",
                                 "define it, or take it out")
        return names

    def leave(self, scope, exports):
        if scope.kind == "function" and not scope.calls_locals:
            for binding in scope.values():
                if binding.used or binding.name in scope.declared or DUMMY.match(binding.name):
                    continue
                if binding.kind in ("assign", "named"):
                    self.add(binding.node, "F841", "unused-variable",
                             f"local variable `{binding.name}` is assigned to but never used", "take it out")
                elif binding.kind == "annotation":
                    self.add(binding.node, "F842", "unused-annotation",
                             f"local variable `{binding.name}` is annotated but never used", "take it out")
        if scope.kind == "class":
            return
        for binding in scope.values():
            if binding.kind in IMPORTS:
                self.leave_import(binding, bool(binding.used) or binding.name in exports and scope.kind == "module")

    def leave_import(self, binding, used):
        if not used and binding.kind in ("import", "submodule") and not binding.exported:
            self.add(binding.node, "F401", "unused-import", f"`{binding.full}` imported but unused", "take the import out")
        for node in binding.shadows:
            if isinstance(statement_of(node), LOOPS):
                self.shadowed(node, binding)
            elif not used:
                self.redefined(node, binding)

    def shadowed(self, node, binding):
        self.add(node, "F402", "import-shadowed-by-loop-var",
                 f"import `{binding.name}` from line {binding.node.lineno} shadowed by loop variable",
                 "give the loop variable another name")

    def redefined(self, node, binding):
        self.add(node, "F811", "redefined-while-unused",
                 f"redefinition of unused `{binding.name}` from line {binding.node.lineno}",
                 "take the first one out, or give one of them another name")

    # Names

    def load(self, name, node):
        reach_class, starred = True, False
        for scope in reversed(self.scopes):
            if scope.kind == "class" and name == "__class__":
                return
            if scope.kind == "class" and not reach_class:
                continue
            binding = scope.get(name)
            if binding is not None and binding.kind == "annotation" and not self.postponed and not self.quoted:
                binding.used = (self.scope, node)
            elif binding is not None:
                binding.used = (self.scope, node)
                return
            starred |= scope.star
            reach_class = scope.kind == "types"
        if name in self.known or name in IN_CLASS and self.scope.kind == "class":
            return
        if starred:
            self.add(node, "F405", "undefined-local-with-import-star-usage",
                     f"`{name}` may be undefined, or come from an import of *", "import it by name")
        elif not any("NameError" in names or None in names for names in self.catches):
            self.add(node, "F821", "undefined-name", f"undefined name `{name}`", "define or import it before")

    def store(self, name, node, binding):
        if self.scope.kind == "function" and name not in self.scope:
            for scope in self.scopes[:-1]:
                outer = scope.get(name) if scope.kind in ("function", "module") else None
                if outer and outer.used and outer.used[0] is self.scope and name not in self.scope.declared:
                    self.add(outer.used[1], "F823", "undefined-local",
                             f"local variable `{name}` is used before line {node.lineno} assigns to it",
                             f"`global {name}` where the outer one is meant, or another name")
                    break
        self.bind(name, node, binding)

    def bind(self, name, node, binding):
        holder = next((s for s in reversed(self.scopes) if name in s), None)
        old = holder.get(name) if holder is not None else None
        if old is not None and branch(node) == branch(old.node):
            if old.kind in ("import", "submodule") and isinstance(statement_of(node), LOOPS) and name != "_":
                self.shadowed(node, old)
            elif holder is self.scope:
                if not old.used and binding.redefines(old) and not overloads(old.node):
                    if name != "_" or old.kind in IMPORTS:
                        self.redefined(node, old)
            elif old.kind in IMPORTS and binding.kind in DEFINITIONS and binding.redefines(old) \
                    and self.scope.kind != "class":
                old.shadows.append(node)
        target = self.scope
        if binding.kind == "named":
            target = next(s for s in reversed(self.scopes) if s.kind != "comprehension")
        mine = target.get(name)
        if mine is not None:
            if binding.kind == "annotation":
                return
            binding.used = mine.used
        target[name] = binding

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            self.load(node.id, node)
            if node.id == "locals" and self.scope.kind == "function" and isinstance(node.up, ast.Call):
                self.scope.calls_locals = True
        elif isinstance(node.ctx, ast.Store):
            self.store(node.id, node, binding_of(node.id, node, self.scope))
        else:
            self.delete(node)

    def delete(self, node):
        inside = node.up
        while inside is not None and not isinstance(inside, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            if isinstance(inside, (ast.If, ast.While, ast.For, ast.AsyncFor, ast.Try, ast.With, ast.IfExp)):
                self.load(node.id, node)  # it may be there all the same
                return
            inside = inside.up
        if node.id in self.scope.declared:
            self.scope.declared.discard(node.id)
        elif node.id in self.scope:
            del self.scope[node.id]
        elif not any(node.id in s for s in self.scopes) and not self.scope.star:
            self.add(node, "F821", "undefined-name", f"undefined name `{node.id}`", "define or import it before")

    def visit_Global(self, node):
        if self.scope.kind != "function":
            return
        self.scope.declared |= set(node.names)
        for name in node.names:
            binding = Binding("global", name, node)
            binding.used = (self.scopes[0], node)
            self.scopes[0].setdefault(name, binding)
            for scope in self.scopes[1:]:
                scope[name] = binding
            self.found = [f for f in self.found if f.code != "F821" or f.message != f"undefined name `{name}`"]

    visit_Nonlocal = visit_Global

    # Imports

    def visit_Import(self, node):
        for alias in node.names:
            if "." in alias.name and not alias.asname:
                name = alias.name.split(".")[0]
                self.bind(name, node, Binding("submodule", name, place(alias, node), alias.name))
            else:
                full = alias.name if not alias.asname or alias.asname == alias.name else f"{alias.name} as {alias.asname}"
                name = alias.asname or alias.name
                self.bind(name, node, Binding("import", name, place(alias, node), full, alias.name == alias.asname))

    def visit_ImportFrom(self, node):
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            name = alias.asname or alias.name
            if node.module == "__future__" and not node.level:
                self.bind(name, node, Binding("future", name, node))
            elif alias.name == "*":
                self.scope.star = True
                self.add(node, "F403", "undefined-local-with-import-star",
                         f"`from {module} import *` leaves unknown which names there are", "import the names one by one")
            else:
                dot = "" if module.endswith(".") else "."
                renamed = alias.asname not in (None, alias.name)
                full = f"{module}{dot}{alias.name}" + (f" as {alias.asname}" if renamed else "")
                self.bind(name, node, Binding("import", name, place(alias, node), full, alias.name == alias.asname))

    # Scopes

    def visit_FunctionDef(self, node):
        for decorator in node.decorator_list:
            self.visit(decorator)
        with_types = self.type_parameters(node)
        self.signature(node)
        if with_types:
            self.done.append(self.scopes.pop())
        self.bind(node.name, node, Binding("function", node.name, node))
        if with_types:
            self.scopes.append(self.done[-1])
        self.defer(lambda: self.body(node))
        if with_types:
            self.scopes.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self.defer(lambda: self.body(node))

    def signature(self, node):
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for argument in arguments(node.args):
            self.annotation(argument.annotation)
        self.annotation(node.returns)

    def body(self, node):
        self.scopes = [*self.scopes, Scope("function", node)]
        for argument in arguments(node.args):
            self.bind(argument.arg, argument, Binding("argument", argument.arg, argument))
        for part in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(part)
        # Functions in this one may still use its names, so it is judged at the very end.
        self.done.append(self.scope)

    def visit_ClassDef(self, node):
        for decorator in node.decorator_list:
            self.visit(decorator)
        with_types = self.type_parameters(node)
        for part in [*node.bases, *node.keywords]:
            self.visit(part)
        self.scopes.append(Scope("class", node))
        for part in node.body:
            self.visit(part)
        self.done.append(self.scopes.pop())
        if with_types:
            self.done.append(self.scopes.pop())
        self.bind(node.name, node, Binding("class", node.name, node))

    def type_parameters(self, node):
        """`def f[T]()`: a scope around it. Returns whether there is one."""
        parameters = getattr(node, "type_params", [])
        if parameters:
            self.scopes.append(Scope("types", node))
            for parameter in parameters:
                self.bind(parameter.name, parameter, Binding("argument", parameter.name, parameter))
                for field in ("bound", "default_value"):
                    part = getattr(parameter, field, None)
                    if part is not None:
                        self.visit(part)
        return bool(parameters)

    def visit_TypeAlias(self, node):
        self.visit(node.name)
        with_types = self.type_parameters(node)
        self.defer(lambda: self.visit(node.value))
        if with_types:
            self.done.append(self.scopes.pop())

    def comprehension(self, node):
        self.visit(node.generators[0].iter)
        self.scopes.append(Scope("comprehension", node))
        for number, part in enumerate(node.generators):
            if number:
                self.visit(part.iter)
            self.visit(part.target)
            for condition in part.ifs:
                self.visit(condition)
        for field in ("elt", "key", "value"):
            if getattr(node, field, None) is not None:
                self.visit(getattr(node, field))
        self.done.append(self.scopes.pop())

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    # Statements whose parts come in another order than written

    def visit_Assign(self, node):
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_NamedExpr(self, node):
        self.visit(node.value)
        self.visit(node.target)

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Name):
            self.load(node.target.id, node.target)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node):
        self.annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)

    def visit_For(self, node):
        self.visit(node.iter)
        self.visit(node.target)
        for part in [*node.body, *node.orelse]:
            self.visit(part)

    visit_AsyncFor = visit_For

    def visit_Try(self, node):
        caught = set()
        for handler in node.handlers:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            caught |= {getattr(kind, "id", getattr(kind, "attr", "")) if kind is not None else None for kind in kinds}
        self.catches.append(caught)
        for part in node.body:
            self.visit(part)
        self.catches.pop()
        for part in [*node.handlers, *node.orelse, *node.finalbody]:
            self.visit(part)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node):
        if node.type is not None:
            self.visit(node.type)
        before = self.scope.pop(node.name, None) if node.name else None
        if node.name:
            self.store(node.name, node, Binding("except", node.name, node))
        for part in node.body:
            self.visit(part)
        if not node.name:
            return
        # The name is gone behind the handler.
        binding = self.scope.pop(node.name, None)
        if binding is not None and not binding.used:
            self.add(node, "F841", "unused-variable",
                     f"local variable `{node.name}` is assigned to but never used", f"take `as {node.name}` out")
        if before is not None:
            self.scope[node.name] = before

    def visit_MatchAs(self, node):
        self.pattern(node, node.name, "assign" if node.pattern is not None else "unpacked")

    def visit_MatchStar(self, node):
        self.pattern(node, node.name)

    def visit_MatchMapping(self, node):
        self.pattern(node, node.rest)

    def pattern(self, node, name, kind="unpacked"):
        self.generic_visit(node)
        if name:
            self.store(name, node, Binding(kind, name, node))
