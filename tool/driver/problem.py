"""One thing that is wrong with a script, as `cargo xtask lint` and `test` tell it."""


class Problem:
    """Line and column (from 1) in the script, class of the error it would be or name of a rule, text with a hint.

    An error keeps the script from running; a warning is only told.
    """

    def __init__(self, line, column, kind, message, hint, severity="error"):
        self.line, self.column, self.kind, self.message, self.hint = line, column, kind, message, hint
        self.severity = severity


def nearest(name, known):
    """`did you mean …?`, or None."""
    from difflib import get_close_matches
    match = get_close_matches(name, [k for k in known if not k.startswith("_")], 1)
    return f"did you mean `{match[0]}`?" if match else None


def column(lines, line, at):
    """Column in characters, from 1, of a byte of a line."""
    text = lines[line - 1] if line <= len(lines) else ""
    return len(text.encode()[:at].decode(errors="replace")) + 1
