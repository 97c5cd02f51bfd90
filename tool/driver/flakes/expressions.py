"""Rules that look at one expression or statement: literals, formats, tuples as conditions."""
import ast
import re
import string

from .bindings import Findings

PERCENT = re.compile(r"%(?:\((?P<key>.*?)\))?[-#0 +]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.?)",
                     re.DOTALL)
FRESH = (ast.List, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp)  # a new object each time


def constant(node):
    """A literal that `is` must not compare: it has no identity to speak of."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, bytes, int, float, complex)) and not isinstance(node.value, bool)
    return isinstance(node, FRESH) or isinstance(node, ast.Tuple) and all(constant(e) or isinstance(e, ast.Constant) for e in node.elts)


class Expressions(Findings):
    """Rules F5xx, F6xx and F901."""

    def visit_If(self, node):
        self.condition(node)
        self.generic_visit(node)

    visit_IfExp = visit_If

    def condition(self, node):
        if isinstance(node.test, ast.Tuple) and node.test.elts:
            self.add(node, "F634", "if-tuple", "a condition that is a tuple is always true", "take the comma out")

    def visit_Assert(self, node):
        if isinstance(node.test, ast.Tuple) and node.test.elts:
            self.add(node, "F631", "assert-tuple", "an assertion of a tuple is always true",
                     "take the brackets out: `assert condition, text`")
        self.generic_visit(node)

    def visit_Raise(self, node):
        what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if isinstance(what, ast.Name) and what.id == "NotImplemented":
            self.add(node, "F901", "raise-not-implemented", "`NotImplemented` cannot be raised",
                     "did you mean `NotImplementedError`?")
        self.generic_visit(node)

    def visit_Compare(self, node):
        left = node.left
        for operator, right in zip(node.ops, node.comparators):
            if isinstance(operator, (ast.Is, ast.IsNot)) and (constant(left) or constant(right)):
                self.add(node, "F632", "is-literal", "`is` compares identity, not value, with a literal", "use `==` or `!=`")
            left = right
        self.generic_visit(node)

    def visit_Dict(self, node):
        seen = set()
        for key in node.keys:
            if isinstance(key, ast.Constant):
                self.key(seen, (type(key.value), key.value), key, "F601", "multi-value-repeated-key-literal")
            elif isinstance(key, ast.Name):
                self.key(seen, (ast.Name, key.id), key, "F602", "multi-value-repeated-key-variable")
        self.generic_visit(node)

    def key(self, seen, what, key, code, rule):
        if what in seen:
            self.add(key, code, rule, f"dictionary key `{ast.unparse(key)}` repeated", "take one of them out")
        seen.add(what)

    def visit_JoinedStr(self, node):
        spec = isinstance(node.up, ast.FormattedValue) and node.up.format_spec is node
        if not spec and not any(isinstance(v, ast.FormattedValue) for v in node.values):
            self.add(node, "F541", "f-string-missing-placeholders", "f-string without any placeholders", "take the `f` out")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            self.percent(node)
        if isinstance(node.op, ast.RShift) and isinstance(node.left, ast.Name) and node.left.id == "print":
            self.add(node, "F633", "invalid-print-syntax", "`>>` has no use with `print`",
                     "use `print(…, file=…)`")
        self.generic_visit(node)

    def percent(self, node):
        def say(code, rule, message):
            self.add(node, code, rule, f"`…` % …: {message}", "correct the format or its values")

        text, specs, at = node.left.value, [], 0
        while True:
            at = text.find("%", at)
            if at < 0:
                break
            match = PERCENT.match(text, at)
            at = match.end()
            if not match["kind"]:
                return say("F501", "percent-format-invalid-format", "the format string ends in the middle of a `%`")
            if match["key"] is None and text.startswith("(", match.start() + 1):
                return say("F501", "percent-format-invalid-format", "the format string ends in the middle of a name")
            if match["kind"] not in "diouxXeEfFgGcrsa%":
                return say("F509", "percent-format-unsupported-format-character", f"there is no format `%{match['kind']}`")
            if match["kind"] != "%":
                specs.append(match)
        named = {m["key"] for m in specs if m["key"] is not None}
        positional = sum(m["key"] is None for m in specs)
        stars = sum((m["width"] == "*") + (m["precision"] == "*") for m in specs)
        if named and positional:
            return say("F506", "percent-format-mixed-positional-and-named", "values by name and by position")
        values = node.right
        if isinstance(values, (ast.List, ast.ListComp, ast.Set, ast.SetComp, ast.GeneratorExp)) and named:
            return say("F502", "percent-format-expected-mapping", "it needs a dictionary")
        if isinstance(values, ast.Tuple):
            if named:
                return say("F502", "percent-format-expected-mapping", "it needs a dictionary")
            if not any(isinstance(e, ast.Starred) for e in values.elts) and len(values.elts) != positional + stars:
                say("F507", "percent-format-positional-count-mismatch",
                    f"{positional + stars} places, but {len(values.elts)} values")
        elif isinstance(values, ast.Dict):
            if named and stars:
                return say("F508", "percent-format-star-requires-sequence", "`*` cannot be used with names")
            if positional > 1:
                return say("F503", "percent-format-expected-sequence", "it needs a tuple of values")
            if named and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in values.keys):
                given = {k.value for k in values.keys}
                if given - named:
                    say("F504", "percent-format-extra-named-arguments", "no place for " + ", ".join(sorted(given - named)))
                if named - given:
                    say("F505", "percent-format-missing-argument", "no value for " + ", ".join(sorted(named - given)))
        return None

    def visit_Call(self, node):
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "format" and isinstance(function.value, ast.Constant) \
                and isinstance(function.value.value, str):
            self.dot_format(node, function.value.value)
        self.generic_visit(node)

    def dot_format(self, node, text):
        def say(code, rule, message):
            self.add(node, code, rule, f"`….format(…)`: {message}", "correct the format or its arguments")

        try:
            fields = list(places(text))
        except ValueError as error:
            return say("F521", "string-dot-format-invalid-format", str(error))
        automatic, numbered, names = 0, set(), set()
        for field in fields:
            if not field:
                automatic += 1
            elif field.isdecimal():
                numbered.add(int(field))
            else:
                names.add(field)
        if automatic and numbered:
            return say("F525", "string-dot-format-mixing-automatic", "numbered and unnumbered places")
        numbered |= set(range(automatic))
        star = any(isinstance(a, ast.Starred) for a in node.args)
        stars = any(k.arg is None for k in node.keywords)
        given, keywords = set(range(len(node.args))), {k.arg for k in node.keywords}
        if not star and given - numbered:
            say("F523", "string-dot-format-extra-positional-arguments",
                "no place for argument " + ", ".join(map(str, sorted(given - numbered))))
        if not stars and keywords - names:
            say("F522", "string-dot-format-extra-named-arguments", "no place for " + ", ".join(sorted(keywords - names)))
        missing = (set() if star else numbered - given) | (set() if stars else names - keywords)
        if missing:
            say("F524", "string-dot-format-missing-arguments", "no value for " + ", ".join(sorted(map(str, missing))))
        return None


def places(text, depth=2):
    """The fields of a format string, also those in the specification of another. Raises ValueError."""
    for _literal, field, spec, conversion in string.Formatter().parse(text):
        if field is None:
            continue
        if depth == 0:
            raise ValueError("the fields are nested too deeply")
        if conversion not in (None, "r", "s", "a"):
            raise ValueError(f"there is no conversion `!{conversion}`")
        yield re.split(r"[.\[]", field, maxsplit=1)[0]
        yield from places(spec or "", depth - 1) if spec else ()
