"""The interactive prompt: all names of the script, history, completion. Machines live until it is left."""
import ast
import code
import os
import re
import sys
import textwrap
from pathlib import Path

from . import failure
from .machine import pythonize_name
from .terminal import take_terminal

USED = """\
machine.succeed("caget PV")
machine.wait_for_unit("ioc.service")
machine.shell_interact() a root shell
Tab completes, Ctrl-C stops what runs
Ctrl-D leaves and ends the machines"""
GREETING = """\
start_all()    starts the machines
test_script()  runs the script
""" + USED
STAYING = """\
All is as the failure left it.
""" + USED


class Leave(SystemExit):
    """The user wants to go."""


class Leaver:
    """`exit` and `quit`: with or without brackets."""

    def __call__(self, status=0):
        raise Leave(status)

    def __repr__(self):
        return "use exit() or Ctrl-D to leave"


class Prompt(code.InteractiveConsole):
    """Reads lines. What a terminal marks as pasted comes in one piece, blank lines and all."""

    def push(self, line, *more, **names):
        if "\n" not in line or self.buffer:
            return super().push(line, *more, **names)
        try:
            statements = ast.parse(textwrap.dedent(line), self.filename).body
            statements = [compile(ast.Interactive([statement]), self.filename, "single") for statement in statements]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.showsyntaxerror(self.filename)
            return False
        for statement in statements:
            if not self.runcode(statement):
                break
        return False

    def runcode(self, code):
        """Whether it came to its end."""
        try:
            exec(code, self.locals)
            return True
        except Leave:
            raise
        except SystemExit as end:
            self.write(ended(end))
        except KeyboardInterrupt:
            self.write("\nKeyboardInterrupt\n")
        except BaseException as error:
            self.write(failure.full(error, "") + "\n")
        return False


def ended(end):
    return f"(ended with status {end.code}; the machines are still there, Ctrl-D leaves)\n"


def variable(machines):
    """How to call a machine in the greeting."""
    names = [pythonize_name(m.name) for m in machines]
    return "machine" if "machine" in names or not names else names[0]


def stay(driver):
    """A prompt on the machines as a failed script has left them, with the script's own names. Needs a terminal.

    Until now the log went to a pipe. The runner says by a byte on stdin that the terminal is ours.
    """
    driver.cancel_timer()
    driver.events.emit("debug", open=True)
    os.read(0, 1)
    sys.stdout.flush()
    log = [os.dup(number) for number in (0, 1, 2)]
    terminal = os.open("/dev/tty", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(terminal, number)
    os.close(terminal)
    try:
        run(driver, driver.symbols, told(driver) + STAYING)
    finally:
        sys.stdout.flush()
        for number, old in enumerate(log):
            os.dup2(old, number)
            os.close(old)
        driver.events.emit("debug", open=False)


def told(driver):
    """The failure in a few lines."""
    failed = driver.failure
    if failed is None:
        return ""
    where = f"line {failed['line']}: {failed['source']}\n" if failed["line"] else ""
    return f"\n{where}{failed['class']}: {failed['message']}\n\n"


def run(driver, names=None, greeting=GREETING):
    """Reads and runs lines until the end of input."""
    take_terminal()
    names = names or driver.test_symbols(show=False)
    names["exit"] = names["quit"] = Leaver()
    pvs = records(driver)
    greeting = greeting.replace("machine.", variable(driver.machines) + ".").replace("PV", min(pvs, default="PV", key=len))
    if not driver.tests.strip():
        greeting = greeting.replace("test_script()  runs the script\n", "")
    if with_ptpython(driver, names, greeting, pvs):
        return
    keep = use_readline(names, pvs)
    try:
        Prompt(names, filename=failure.SCRIPT).interact(banner=greeting, exitmsg="")
    except Leave as leave:
        if leave.code:
            raise
    finally:
        keep()


def records(driver):
    """Names of the IOC's records, where the runner has left them."""
    try:
        return (driver.out_dir.parent / "pvs").read_text(encoding="utf-8").split()
    except OSError:
        return []


def history_file(kind=""):
    """Where lines are kept for the next session, for this user's eyes only; None where there is no such place."""
    given = os.environ.get("XTASK_HISTORY")
    state = os.environ.get("XDG_STATE_HOME", "")
    state = Path(state if os.path.isabs(state) else "~/.local/state").expanduser()
    path = Path(given if given else state / "cargo-xtask-ioc" / "history")
    path = path.with_name(path.name + kind)
    try:
        if not given:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        print(f"warning: lines are not kept for the next time: {error}", file=sys.stderr)
        return None
    return str(path)


def in_text(line):
    """Whether a line ends within the quotes of a text."""
    opened = re.sub(r"""(['"])(?:\\.|(?!\1)[^\\])*\1""", "", line)
    return "'" in opened or '"' in opened


def use_readline(names, pvs):
    """Tab, history and pasting in pieces, where there is a terminal and this Python has readline. Returns what keeps the lines."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return lambda: None
    if not sys.stdin.isatty():
        return lambda: None
    python = rlcompleter.Completer(names)

    def complete(text, state):
        if in_text(readline.get_line_buffer()[:readline.get_begidx()]):
            found = [pv for pv in pvs if pv.startswith(text)]
            return found[state] if state < len(found) else None
        # PVs have these in their names, Python has not.
        start = max(text.rfind("-"), text.rfind(":")) + 1
        word = python.complete(text[start:], state)
        return word and text[:start] + word

    readline.set_completer(complete)
    readline.set_completer_delims(re.sub("[-:]", "", readline.get_completer_delims()))
    readline.parse_and_bind("tab: complete")
    readline.parse_and_bind("set enable-bracketed-paste on")
    readline.set_history_length(1000)
    history = history_file()
    if history is None:
        return lambda: None
    try:
        readline.read_history_file(history)
    except OSError:
        pass
    before = readline.get_current_history_length()

    def keep():
        try:
            if hasattr(readline, "append_history_file"):  # two sessions at once are kept both
                readline.append_history_file(readline.get_current_history_length() - before, history)
            else:
                readline.write_history_file(history)
        except OSError as error:
            print(f"warning: cannot save the history: {error}", file=sys.stderr)

    return keep


def with_ptpython(driver, names, greeting, pvs):
    """The prompt of ptpython, as nixpkgs' driver has it. False where it is not installed, or not wanted."""
    if not sys.stdin.isatty() or os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("PYTHON_BASIC_REPL"):
        return False
    try:
        from prompt_toolkit.completion import Completer, Completion
        from ptpython.repl import embed
    except ImportError:
        return False

    class WithPvs(Completer):
        def __init__(self, python):
            self.python = python

        def get_completions(self, document, event):
            line = document.current_line_before_cursor
            if not in_text(line):
                yield from self.python.get_completions(document, event)
                return
            word = re.search(r"[^\s'\"]*\Z", line).group()
            yield from (Completion(pv, -len(word)) for pv in pvs if pv.startswith(word))

    def configure(repl):
        repl.confirm_exit = False
        repl.completer = WithPvs(repl.completer)

    def test_script():
        try:
            driver.test_script()
        except SystemExit as end:
            print(ended(end), end="")

    print(greeting)
    # The status of a script would end it.
    names = {**names, "test_script": test_script}
    embed(names, history_filename=history_file("-ptpython"), configure=configure)
    return True
