"""Command line, configuration and exit status of the driver."""
import atexit
import json
import os
import signal
import sys
import threading
import time

from .errors import ConfigError, RequestedAssertionFailed, UsageError
from .events import Events

USAGE = """\
usage: python3 -B tool/driver --host-fd N --config FILE --output-directory DIR [options]

Runs a test script on the machines of a sandbox. `xtask sandbox-host` starts it and passes the descriptors.

  --host-fd N              channel to sandbox-host
  --events-fd N            write events there, one JSON object per line
  --config FILE            machines, networks, time limit, script (JSON)
  --output-directory DIR   where copied files go (also: -o)
  --interactive            Python prompt instead of running the script (also: -I)
  --junit-xml FILE         JUnit report, relative to the output directory
  --log-level LEVEL        debug, info, warning or error
  --no-color               plain log
  --records FILE           names of the IOC's records and aliases, one a line: all that there are. A script that must
                           have another one does not start where the name is nearly right, else it is warned of

With --preflight [--records FILE] it only looks at the scripts that standard input names: for `cargo xtask lint`.
"""
VALUES = {"--host-fd": "host_fd", "--events-fd": "events_fd", "--config": "config", "-c": "config",
          "--output-directory": "out_dir", "-o": "out_dir", "--junit-xml": "junit", "--log-level": "log_level",
          "--records": "records"}
FLAGS = {"--interactive": "interactive", "-I": "interactive", "--no-color": "no_color"}
CONFIG = {"backend": str, "machines": list, "vlans": list, "global_timeout": (int, float), "script": str,
          "check": str, "lint": bool, "debug": bool}
NEEDED = ("machines", "global_timeout", "script")
MACHINE = {"name": str, "shared_dir": str, "state_dir": str}


def parse(argv):
    """Command line -> dict. Raises UsageError."""
    options = dict.fromkeys([*VALUES.values(), *FLAGS.values()])
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word in FLAGS:
            options[FLAGS[word]] = True
        elif name in VALUES:
            value = value if equals else next(words, None)
            if value is None:
                raise UsageError(f"{name} needs a value")
            options[VALUES[name]] = value
        else:
            raise UsageError(f"unknown argument {word!r}")
    for name in ("--host-fd", "--config", "--output-directory"):
        if options[VALUES[name]] is None:
            raise UsageError(f"{name} is missing")
    for name in ("--host-fd", "--events-fd"):
        value = options[VALUES[name]]
        if value is not None:
            try:
                options[VALUES[name]] = int(value)
                os.fstat(int(value))
            except (ValueError, OSError, OverflowError):
                raise UsageError(f"{name} {value} is not an open file descriptor") from None
    level = options["log_level"]
    if level not in (None, "debug", "info", "warning", "error"):
        raise UsageError(f"unknown log level {level!r}: debug, info, warning or error")
    if not (os.path.isdir(options["out_dir"]) and os.access(options["out_dir"], os.W_OK)):
        raise UsageError(f"the output directory {options['out_dir']} is not a directory that can be written to")
    return options


def read(path, what):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {what} {path}: {error}") from None


def load(path):
    """Reads and checks the configuration. Raises ConfigError."""
    try:
        config = json.loads(read(path, "configuration"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: an object is expected")
    check_keys(path, config, CONFIG, NEEDED)
    for machine in config["machines"]:
        if not isinstance(machine, dict):
            raise ConfigError(f"{path}: a machine must be an object")
        check_keys(f"{path}: machine", machine, MACHINE, MACHINE)
    names = [m["name"] for m in config["machines"]]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: two machines have the same name")
    if not config["global_timeout"] > 0:
        raise ConfigError(f"{path}: `global_timeout` must be more than 0 seconds")
    if any(type(nr) is not int for nr in config.get("vlans", [])):
        raise ConfigError(f"{path}: `vlans` must be numbers")
    return config


def check_keys(where, table, known, needed):
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key `{key}`")
        if not isinstance(value, known[key]) or (known[key] is not bool and isinstance(value, bool)):
            raise ConfigError(f"{where}: `{key}` has the wrong type: {json.dumps(value)}")
    for key in needed:
        if key not in table:
            raise ConfigError(f"{where}: `{key}` is missing")


def wants_color(options):
    return (not options["no_color"] and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
            and sys.stderr.isatty())


def shown(path):
    """A path as the user would write it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def preflight(driver, script, records=None):
    """Says what is wrong with the script before anything starts; returns whether it may run."""
    from . import nixfile, pvs, typecheck
    from . import preflight as lint
    from .failure import source
    skips, machines = nixfile.skips(script), lint.variables(driver)
    problems = lint.check(driver.tests, driver.test_symbols(show=False), machines, "skipLint" not in skips)
    # mypy would take longer than many a script: that is for `cargo xtask lint`.
    tool = None if "skipTypeCheck" in skips or lint.trouble(driver.tests) else typecheck.checker(("ty",))
    if tool:
        asked = (driver.tests, list(machines), [vlan.nr for vlan in driver.vlans])
        folder = driver.machines[0].tmp_dir if driver.machines else None
        problems = lint.with_types(problems, typecheck.check([asked], tool, folder)[0])
    problems = [p for p in problems if p.severity == "error"]
    if records is not None and not lint.trouble(driver.tests):
        problems += pvs.unknown(driver.tests, records)
    errors = [p for p in problems if p.severity == "error"]
    for problem in problems:
        say = driver.logger.log_test_error if problem.severity == "error" else driver.logger.warning
        say(f"{shown(script)}:{problem.line}: {problem.message}")
        say(f"    {source(driver.tests, problem.line)}")
        say(f"    hint: {problem.hint}")
    for problem in errors[:1]:
        driver.events.emit("failure", **{
            "class": problem.kind if problem.kind.isalnum() else "LintError",
            "message": f"{problem.message}\nhint: {problem.hint}", "line": problem.line,
            "source": source(driver.tests, problem.line), "subtest": None, "traceback": ""})
    return not errors


def no_prompt(*_, **__):
    """What `breakpoint()` does in a script that nobody sits before."""
    raise RequestedAssertionFailed("breakpoint() has no terminal to ask on\nhint: cargo xtask test NAME --debug stays in the "
                                   "machine after a failure; cargo xtask interactive NAME has a prompt")


class Run:
    """The process around a driver: its end is told to JUnit and the events, however it comes."""

    def __init__(self, options, config):
        self.options, self.config = options, config
        self.events = Events(options["events_fd"])
        self.begin = time.monotonic()
        self.junit = None
        if options["junit"]:
            from .junit import Junit
            self.junit = Junit(os.path.join(options["out_dir"], options["junit"]))

    def drive(self):
        """Runs everything; returns the exit status, or raises the script's SystemExit."""
        from .channel import HostChannel
        from .driver import Driver
        from .logger import Logger
        text = read(self.config["script"], "script")
        records = self.options["records"] and set(read(self.options["records"], "list of records").split())
        if sys.stdout:
            sys.stdout.reconfigure(line_buffering=True)  # what a script prints shows when it prints it
        logger = Logger(self.events, wants_color(self.options), self.junit)
        if self.options["log_level"]:
            logger.set_log_level(self.options["log_level"])
        self.events.emit("start", check=self.config.get("check"))
        host = HostChannel(self.options["host_fd"])
        driver = Driver(self.config, text, os.path.abspath(self.options["out_dir"]), host, logger, self.events,
                        terminate=lambda: self.leave(143))
        signal.signal(signal.SIGTERM, lambda *_: self.leave(143))
        # Ignored where a shell without job control has started us in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            if self.options["interactive"]:
                from . import prompt
                with driver:
                    prompt.run(driver)
            else:
                sys.breakpointhook = no_prompt
                if self.config.get("lint", True) and not preflight(driver, self.config["script"], records):
                    return 1
                with driver:
                    begin = time.monotonic()
                    try:
                        driver.run_tests()
                    except (Exception, SystemExit) as error:
                        if self.config.get("debug") and not (isinstance(error, SystemExit) and not error.code):
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
            from . import failure
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
    if "--help" in argv or "-h" in argv:
        print(USAGE, end="")
        return 0
    if argv[:1] == ["--preflight"]:
        from . import preflight as lint
        if argv[1:2] not in ([], ["--records"]) or len(argv) not in (1, 3):
            print("error: after --preflight comes --records FILE, or nothing", file=sys.stderr)
            return 2
        try:
            return lint.main(sys.stdin.read(), *(set(read(path, "list of records").split()) for path in argv[2:]))
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            return 3
    try:
        options = parse(argv)
        run = Run(options, load(options["config"]))
    except (UsageError, ConfigError) as error:
        usage = isinstance(error, UsageError)
        print(f"error: {error}" + ("\nhint: python3 -B tool/driver --help" if usage else ""), file=sys.stderr)
        return 2 if usage else 3
    status = 1
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
