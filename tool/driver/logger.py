"""The log on stderr, in the format of the real driver, copied to the event stream and to JUnit."""
import sys
import threading
import time
from contextlib import contextmanager

from .failure import script_line

LEVELS = {"debug": 1, "info": 2, "warning": 3, "error": 4}
GREEN, DIM, RED, YELLOW, RESET = "\x1b[1m\x1b[32m", "\x1b[2m", "\x1b[31m", "\x1b[1m\x1b[33m", "\x1b[0m"


class Logger:
    """`log` in test scripts."""

    def __init__(self, events, color=False, junit=None):
        self._events, self._color, self._junit = events, color, junit
        self._level = LEVELS["info"]
        self._serial = True
        self._lock = threading.RLock()
        self._open = {}  # blocks under way, which nest per thread: [kind, name, tries]

    # What scripts call

    def log(self, message, attributes={}):  # noqa: B006, the signature scripts know
        self._say(message, attributes, "info")

    def debug(self, *args, **kwargs):
        if self._level <= LEVELS["debug"]:
            self._say(args[0], kwargs, "debug", style=DIM)

    def info(self, *args, **kwargs):
        if self._level <= LEVELS["info"]:
            self.log(*args, **kwargs)

    def warning(self, *args, **kwargs):
        if self._level <= LEVELS["warning"]:
            self._say(args[0], dict(*args[1:2], **kwargs), "warning")

    def error(self, *args, **kwargs):
        """Logs, then ends the run with status 1."""
        self._say(args[0], dict(*args[1:2], **kwargs), "error")
        if self._junit:
            self._junit.error(args[0])
        sys.exit(1)

    def log_test_error(self, *args, **kwargs):
        """A line of a failure report, marked with `!!!`. Counts as a warning."""
        if self._junit:
            self._junit.error(args[0])
        if self._level <= LEVELS["warning"]:
            self._print(self._paint(RED, "!!! ") + str(args[0]))
            self._events.emit("log", level="error", machine=kwargs.get("machine"), text=str(args[0]))

    def set_log_level(self, level):
        self._level = LEVELS[level] if isinstance(level, str) else int(level)

    @contextmanager
    def nested(self, message, attributes={}):  # noqa: B006
        with self._block("nested", message, message, attributes):
            yield

    @contextmanager
    def subtest(self, name, attributes={}):  # noqa: B006
        case = self._junit.subtest(name) if self._junit else None
        with self._block("subtest", name, f"subtest: {name}", attributes):
            if case is None:
                yield
            else:
                with case:
                    yield

    def log_serial(self, message, machine):
        """One line of a machine's console."""
        self._events.emit("console", machine=machine, text=message)
        if self._serial:
            if self._junit:
                self._junit.line(f"{machine} # {message}")
            self._print(self._paint(DIM, f"{machine} # {message}"))

    def print_serial_logs(self, enable):
        self._serial = enable

    # For the rest of the driver

    def tried(self, count):
        """What the innermost block waits for has been tried so often."""
        self._open[threading.get_ident()][-1][2] = count
        self._events.emit("try", count=count)

    def under_way(self, thread):
        """(innermost subtest, innermost block with its tries) of a thread; None where there is none."""
        blocks = list(self._open.get(thread, ()))
        subtests = [name for kind, name, _ in blocks if kind == "subtest"]
        block = next((f"{name} (tried {tries} times)" if tries > 1 else name for _, name, tries in blocks[:0:-1]), None)
        return (subtests or [None])[-1], block

    def deprecated(self, message, line):
        """A use that a later release drops, in the format of the real driver's Python warnings."""
        self._print(self._paint(YELLOW, f'??? Warning (UserWarning): {message}\n    File "<string>", line {line}'))
        self._events.emit("log", level="warning", machine=None, text=message)

    @contextmanager
    def _block(self, kind, name, message, attributes):
        blocks = self._open.setdefault(threading.get_ident(), [])
        depth = len(blocks) + 1
        machine = attributes.get("machine")
        self._print(self._prefix(self._paint(GREEN, message), attributes))
        if self._junit:
            self._junit.line(message)
        self._events.emit("enter", kind=kind, name=name, machine=machine, line=script_line(), depth=depth)
        blocks.append([kind, name, 1])
        begin, error, fine = time.monotonic(), None, False
        try:
            yield
            fine = True
        except BaseException as e:
            fine = isinstance(e, SystemExit) and not e.code
            error = None if fine else str(e)
            raise
        finally:
            blocks.pop()
            took = time.monotonic() - begin
            self._events.emit("leave", kind=kind, name=name, machine=machine, depth=depth,
                              seconds=round(took, 6), ok=fine, **({"error": error} if error is not None else {}))
        trailer = f"(finished: {message}, in {took:.2f} seconds)"
        if self._junit:
            self._junit.line(trailer)
        self._print(self._prefix(trailer, attributes))

    def _say(self, message, attributes, level, style=None):
        message = str(message)
        if self._junit:
            self._junit.line(message)
        self._events.emit("log", level=level, machine=attributes.get("machine"), text=message)
        line = self._prefix(message, attributes)
        self._print(self._paint(style, line) if style else line)

    @staticmethod
    def _prefix(message, attributes):
        return f"{attributes['machine']}: {message}" if "machine" in attributes else message

    def _paint(self, style, text):
        return f"{style}{text}{RESET}" if self._color else text

    def _print(self, line):
        with self._lock:
            try:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            except (OSError, ValueError, AttributeError):
                pass  # nobody reads the log any more: the verdict is the exit status
