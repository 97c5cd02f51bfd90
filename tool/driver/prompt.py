"""The interactive prompt: all names of the script, history, completion. Machines live until it is left."""
import code
import os
import sys

from . import failure
from .machine import pythonize_name
from .terminal import take_terminal

GREETING = """\
Python prompt on the sandbox: start_all() starts the machines, test_script() runs the script.
machine.shell_interact() opens a root shell; machine.succeed("...") runs one command; Tab completes.
Ctrl-C stops what runs here; Ctrl-D leaves and ends the machines."""

STAYING = """\
Python prompt: the machines and the script's names are as the failure left them.
machine.shell_interact() opens a root shell; machine.succeed("...") runs one command; Tab completes.
Ctrl-C stops what runs here; Ctrl-D leaves and ends the machines."""


class Leave(SystemExit):
    """The user wants to go."""


class Leaver:
    """`exit` and `quit`: with or without brackets."""

    def __call__(self, status=0):
        raise Leave(status)

    def __repr__(self):
        return "use exit() or Ctrl-D to leave"


class Prompt(code.InteractiveConsole):
    def runcode(self, code):
        try:
            exec(code, self.locals)
        except Leave:
            raise
        except SystemExit as end:
            self.write(f"(ended with status {end.code}; the machines are still there, Ctrl-D leaves)\n")
        except KeyboardInterrupt:
            self.write("\nKeyboardInterrupt\n")
        except BaseException as error:
            self.write(failure.full(error, "") + "\n")


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
    names = names or driver.test_symbols()
    names["exit"] = names["quit"] = Leaver()
    history = os.environ.get("XTASK_HISTORY") or os.path.join(os.getcwd(), ".nixos-test-history")
    readline = use_readline(history, names)
    try:
        greeting = greeting.replace("machine.", variable(driver.machines) + ".")
        Prompt(names, filename=failure.SCRIPT).interact(banner=greeting, exitmsg="")
    except Leave as leave:
        if leave.code:
            raise
    finally:
        if readline:
            try:
                readline.write_history_file(history)
            except OSError as error:
                print(f"warning: cannot save the history: {error}", file=sys.stderr)


def use_readline(history, names):
    """Returns the readline module, ready; None where this Python has none or there is no terminal."""
    if not sys.stdin.isatty():
        return None
    try:
        import readline
        import rlcompleter
    except ImportError:
        return None
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(1000)
    try:
        readline.read_history_file(history)
    except OSError:
        pass
    return readline
