"""The driver as a process: its configuration, its end and its exit status."""
import atexit
import json
import os
import signal
import sys
import threading
import time

from .errors import ConfigError, RequestedAssertionFailed
from .events import Events

USAGE = """\
usage: python3 -B tool/driver CONFIG        run a test script on the machines of a sandbox: for `xtask sandbox-keeper`
       python3 -B tool/driver --preflight   look at the scripts that standard input names: for `cargo xtask lint`

CONFIG is a JSON file, as tool/crates/base/src/protocol/driver.rs describes it.
"""


def read(path, what):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {what} {path}: {error}") from None


def wants_color():
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stderr.isatty()


def no_prompt(*_, **__):
    """What `breakpoint()` does in a script that nobody sits before."""
    raise RequestedAssertionFailed("breakpoint() has no terminal to ask on\nhint: cargo xtask test NAME --debug stays in the "
                                   "machine after a failure; cargo xtask interactive NAME has a prompt")


class Run:
    """The process around a driver: its end is told to JUnit and the events, however it comes."""

    def __init__(self, config):
        self.config = config
        self.events = Events(config["events_fd"])
        self.begin = time.monotonic()
        self.junit = None
        if config["junit"]:
            from .junit import Junit
            self.junit = Junit(os.path.join(config["out_dir"], config["junit"]))

    def drive(self):
        """Runs everything; returns the exit status, or raises the script's SystemExit."""
        from . import failure
        from .channel import KeeperChannel
        from .driver import Driver
        from .logger import Logger
        text = read(self.config["script"], "script")
        if self.config["lib"]:
            failure.import_from(self.config["lib"])
        if sys.stdout:
            sys.stdout.reconfigure(line_buffering=True)  # what a script prints shows when it prints it
        logger = Logger(self.events, wants_color(), self.junit)
        self.events.start(check=self.config["check"])
        host = KeeperChannel(self.config["keeper_fd"])
        driver = Driver(self.config, text, os.path.abspath(self.config["out_dir"]), host, logger, self.events,
                        terminate=lambda: self.leave(143))
        signal.signal(signal.SIGTERM, lambda *_: self.leave(143))
        # Ignored where a shell without job control has started us in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            if self.config["interactive"]:
                from . import prompt
                with driver:
                    prompt.run(driver)
            else:
                sys.breakpointhook = no_prompt
                with driver:
                    begin = time.monotonic()
                    try:
                        driver.run_tests()
                    except (Exception, SystemExit) as error:
                        if self.config["debug"] and not (isinstance(error, SystemExit) and not error.code):
                            from . import prompt
                            prompt.stay(driver)
                        raise
                    logger.info(f"test script finished in {time.monotonic() - begin:.2f}s")
        except KeyboardInterrupt:
            logger.warning("interrupted")
            return 130
        except SystemExit:
            raise
        except BaseException as error:
            if self.junit:
                self.junit.error(f"{type(error).__name__}: {error}")
            print(failure.full(error, text), file=sys.stderr)
            return 1
        return 0

    def end(self, status):
        """Writes what is left to write."""
        if self.junit:
            if status and not self.junit.main.errors:
                self.junit.error(f"the run ended with status {status}")
            try:
                self.junit.write()
            except OSError as error:
                print(f"warning: cannot write the JUnit report: {error}", file=sys.stderr)
        self.events.emit("end", status=status, seconds=round(time.monotonic() - self.begin, 3))
        self.events.close()

    def leave(self, status):
        """Ends the process at once: no `finally` of the script runs."""
        self.end(status)
        if sys.stdout:
            sys.stdout.flush()
        os._exit(status)


def leave(code):
    """Ends the process with what `sys.exit` takes. Threads that the script left are not waited for."""
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if not left:
        sys.exit(code)
    print(f"the script has ended; what it left running ends now, too: {', '.join(left)}", file=sys.stderr)
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()  # no other way to run what the script has registered
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # nobody reads it any more
    os._exit(exit_status(code))


def exit_status(code):
    """The status of a process that ends by `sys.exit(code)`."""
    return 0 if code is None else code & 0xFF if isinstance(code, int) else 1


def main(argv):
    """Returns the exit status; a SystemExit of the script passes through."""
    if argv == ["--preflight"]:
        from . import preflight
        return preflight.main(sys.stdin.read())
    if len(argv) != 1 or argv[0].startswith("-"):
        print(USAGE, end="")
        return 0 if argv in (["--help"], ["-h"]) else 2
    status = 1
    try:
        run = Run(json.loads(read(argv[0], "configuration")))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    try:
        status = run.drive()
        return status
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 3
        return status
    except SystemExit as end:
        status = exit_status(end.code)
        raise
    finally:
        run.end(status)
