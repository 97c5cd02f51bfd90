"""One run: the machines, the names that a script sees, the script itself, the limit."""
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from . import failure, values, vmonly
from .errors import MachineError, NotInSandbox, RequestedAssertionFailed
from .machine import BaseMachine, pythonize_name
from .polling import Poll, PollingCondition, retry
from .vm import NspawnMachine, OnlyMachine, QemuMachine

REPORTED_SHORT = (RequestedAssertionFailed, MachineError, NotInSandbox)  # no traceback but the script's own lines
print_it = threading.excepthook
STDERR_PATIENCE = 0.02  # seconds for a failed command's last words to come in over the console


class Debug:
    """`debug` in scripts. The sandbox has no debug hook, so a breakpoint does nothing, as in the real driver."""

    def breakpoint(self, host="127.0.0.1", port=4444):
        pass


class LazyAsserts:
    """`t`: all assertions of unittest. Made at the first use, because unittest is slow to load."""

    def _tester(self):
        if "tester" not in self.__dict__:
            from unittest import TestCase
            kind = type("AssertionTester", (TestCase,), {"failureException": RequestedAssertionFailed})
            self.__dict__["tester"] = kind()
        return self.__dict__["tester"]

    def __getattr__(self, name):
        return getattr(self._tester(), name)

    def __setattr__(self, name, value):
        setattr(self._tester(), name, value)

    def __dir__(self):
        return dir(self._tester())


class Driver:
    """Holds everything of one run. A context manager: leaving it ends all machines."""

    def __init__(self, config, text, out_dir, host, logger, events, terminate):
        self.tests, self.out_dir, self.logger, self.events = text, Path(out_dir), logger, events
        self.debug = Debug()
        self.polling_conditions = []
        self._failed = (None, None)  # the last error that left a subtest, and that subtest's name
        self._terminate = terminate
        self._timer = None
        self.failure = None  # what was told about a failed script
        self.symbols = None  # names of the script while it runs and after
        self.machines_qemu = [
            QemuMachine(host, events, name=m["name"], shared_dir=m["shared_dir"], state_dir=m["state_dir"],
                        out_dir=self.out_dir, logger=logger, callbacks=[self.check_polling_conditions])
            for m in sorted(config["machines"], key=lambda m: m["name"])
        ]
        self.machines_nspawn = []
        self.vlans = [vmonly.Vlan(nr) for nr in config["vlans"]]
        self.config = SimpleNamespace(
            vms={m.name: SimpleNamespace(name=m.name) for m in self.machines_qemu}, containers={},
            vlans=[v.nr for v in self.vlans], global_timeout=config["global_timeout"],
            enable_ssh_backdoor=False, test_script=Path(config["script"]))

    @property
    def machines(self):
        return list(self.machines_qemu)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half a cleanup
        with self.logger.nested("cleanup"):
            self.cancel_timer()
            for machine in self.machines:
                machine.retire()

    # The script

    def test_symbols(self, show=True):
        """The namespace of the script. Printed to stdout, as the real driver does."""
        @contextmanager
        def subtest(name):
            """Groups what follows under a name; the first failure ends the run."""
            with self.logger.subtest(name):
                try:
                    yield
                except Exception as error:
                    if self._failed[0] is not error:  # the innermost subtest is the one that failed
                        self._failed = (error, name)
                    self.logger.log_test_error(f'Test "{name}" failed with error: "{error}"')
                    raise

        symbols = dict(
            start_all=self.start_all, test_script=self.test_script, machines=self.machines,
            machines_qemu=self.machines_qemu, machines_nspawn=self.machines_nspawn, vlans=self.vlans,
            driver=self, log=self.logger, os=os,
            create_machine=vmonly.refusing("create_machine", vmonly.FUNCTIONS["create_machine"]),
            subtest=subtest, run_tests=self.run_tests, join_all=self.join_all, retry=retry,
            serial_stdout_off=self.serial_stdout_off, serial_stdout_on=self.serial_stdout_on,
            polling_condition=self.polling_condition,
            BaseMachine=BaseMachine, QemuMachine=QemuMachine, NspawnMachine=NspawnMachine,
            t=LazyAsserts(), debug=self.debug, dump_machine_ssh=self.dump_machine_ssh)
        general = list(symbols)
        symbols.update((pythonize_name(m.name), m) for m in self.machines)
        if len(self.machines) == 1 and "machine" not in symbols:
            symbols["machine"] = OnlyMachine(self.machines[0])
        symbols.update((f"vlan{v.nr}", v) for v in self.vlans)
        if show:
            print("additionally exposed symbols:\n    " + ",\n    ".join(", ".join(names) for names in (
                [m.name for m in self.machines], [f"vlan{v.nr}" for v in self.vlans], general)), flush=True)
        return symbols

    def test_script(self):
        """Runs the script. A failure ends the run with status 1."""
        threading.excepthook = self.thread_died
        with self.logger.nested("run the VM test script"):
            symbols = self.symbols = self.test_symbols()
            try:
                exec(values.compiled(self.tests), symbols)
            except REPORTED_SHORT as error:
                self.report(error)
                for line in failure.short(error, self.tests):
                    self.logger.log_test_error(line)
                sys.exit(1)
            except SystemExit as end:
                if end.code not in (None, 0):
                    self.report(end)
                else:
                    self.remark(end, "the script ended early, by sys.exit")
                raise
            except BaseException as error:
                self.report(error)
                raise

    def report(self, error):
        """Tells the runner about the failure of the script."""
        time.sleep(STDERR_PATIENCE)
        subtest = self._failed[1] if self._failed[0] is error else None
        told = values.told(error, self.tests, failure.where(error))
        self.failure = failure.event(error, self.tests, subtest, told)
        self.events.emit("failure", **self.failure)

    def remark(self, error, what):
        """Tells the runner what a pass is not to hide."""
        line = failure.where(error)
        self.events.emit("remark", text=what + (f", in line {line}" if line else ""))

    def thread_died(self, args):
        """A thread of the script ended with an exception, which nobody sees but in the log."""
        print_it(args)
        if args.exc_type is not SystemExit and args.exc_value is not None:
            self.remark(args.exc_value, f"a thread ended with {args.exc_type.__name__}: {args.exc_value}")

    def run_tests(self):
        """Runs the script under the global limit."""
        limit = self.config.global_timeout
        self.logger.info(f"Test will time out and terminate in {limit} seconds")
        self._timer = threading.Timer(limit, self.terminate_test)
        self._timer.daemon = True
        self._timer.start()
        self.test_script()
        # The real driver now runs `sync` in every machine. Here that would flush the host's disks for nothing.

    def terminate_test(self):
        """The limit is reached: kills the machines and ends the process, whatever the script is doing."""
        self.events.emit("failure", **failure.limit(self.config.global_timeout, self.tests, self.logger))
        with self.logger.nested("timeout reached; test terminating..."):
            for machine in self.machines:
                if machine.pid is not None:
                    machine.kill(final=True)
            self._terminate()

    def cancel_timer(self):
        if self._timer:
            self._timer.cancel()

    # Functions of the script

    def start_all(self):
        """Starts all machines; does not wait for them."""
        with self.logger.nested("start all VMs"):
            errors = []

            def start(machine):
                try:
                    machine.start()
                except Exception as error:
                    errors.append(f"{machine.name}: {error}")

            threads = [threading.Thread(target=start, args=(m,), name=f"start-{m.name}") for m in self.machines]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if errors:
                raise MachineError("Failed to start the following machines:\n" + "\n".join(sorted(errors)))

    def join_all(self):
        """Waits until all machines are off, without a limit; then there is no global limit any more."""
        with self.logger.nested("wait for all VMs to finish"):
            for machine in self.machines:
                machine.wait_for_shutdown()
            self.cancel_timer()

    def serial_stdout_on(self):
        """Shows console lines in the log."""
        self.logger.print_serial_logs(True)

    def serial_stdout_off(self):
        """Hides console lines from the log."""
        self.logger.print_serial_logs(False)

    def dump_machine_ssh(self):
        """Prints nothing: the SSH backdoor is never on in the sandbox."""

    def check_polling_conditions(self):
        for condition in self.polling_conditions:
            condition.maybe_raise()

    def polling_condition(self, fun_=None, *, seconds_interval=2.0, description=None):
        """Decorator: makes a condition that is checked before every command while it is entered."""
        def decorate(function):
            return Poll(self, PollingCondition(function, self.logger, seconds_interval, description))

        return decorate if fun_ is None else decorate(fun_)
