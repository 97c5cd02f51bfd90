"""`BaseMachine`: what a script can do with any machine, built on `execute`."""
import contextlib
import os
import re
from pathlib import Path

from . import handover
from .errors import RequestedAssertionFailed
from .polling import each_second, poll, repeat, retry

SHARED = Path("/tmp/shared")  # the shared directory, as the machine sees it
COMMANDS_RUN_IN = Path("/tmp")
PROPERTY = re.compile(r"^([^=]+)=(.*)$")


def make_command(words):
    import shlex
    return " ".join(shlex.quote(str(word)) for word in words)


def for_user(user):
    return "" if user is None else f' under user "{user}"'


def pythonize_name(name):
    """The variable of a machine: every character that Python does not allow becomes `_`."""
    first = name[:1] if name[:1].isascii() and (name[:1].isalpha() or name[:1] == "_") else "_"
    return first + "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name[1:])


class BaseMachine:
    """A machine of the test. Subclasses give `_execute`, `_can_connect` and the life cycle."""

    def __init__(self, name, out_dir, shared_dir, state_dir, logger, callbacks=()):
        self.name, self.logger, self.callbacks = name, logger, list(callbacks)
        self.out_dir, self.shared_dir, self.state_dir = Path(out_dir), Path(shared_dir), Path(state_dir)
        self.tmp_dir = self.state_dir.parent

    def __repr__(self):
        return f"<{type(self).__name__} '{self.name}'>"

    # The log

    def log(self, msg):
        """Logs a line under this machine's name."""
        self.logger.log(msg, {"machine": self.name})

    def log_serial(self, msg):
        self.logger.log_serial(msg, self.name)

    def nested(self, msg, attrs={}):  # noqa: B006, the signature scripts know
        """Context manager: a block of the log under this machine's name."""
        return self.logger.nested(msg, {"machine": self.name, **attrs})

    # Commands

    def run_callbacks(self):
        for callback in self.callbacks:
            callback()

    def execute(self, command, check_return=True, check_output=True, timeout=900):
        """Runs a shell command as root; returns (status, stdout).

        `timeout` is in seconds, None for none; at the limit the status is 124. Waits until everything that holds
        stdout has closed it. With check_return=False the status is -1 and a machine that goes away is no error;
        with check_output=False it returns (-2, "") at once.
        """
        self.run_callbacks()
        return self._execute(command, check_return, check_output, timeout)

    def succeed(self, *commands, timeout=None):
        """Runs commands that must succeed; returns their stdout, joined."""
        output = ""
        for command in commands:
            with self.nested(f"must succeed: {command}"):
                status, out = self.execute(command, timeout=timeout)
                if status != 0:
                    self.log(f"output: {out}")
                    raise RequestedAssertionFailed(f"command `{command}` failed (exit code {status})")
                output += out
        return output

    def fail(self, *commands, timeout=None):
        """Runs commands that must fail; returns their stdout, joined."""
        output = ""
        for command in commands:
            with self.nested(f"must fail: {command}"):
                status, out = self.execute(command, timeout=timeout)
                if status == 0:
                    raise RequestedAssertionFailed(f"command `{command}` unexpectedly succeeded")
                output += out
        return output

    def wait_until_succeeds(self, command, timeout=900):
        """Repeats a command until it succeeds; returns the stdout of the last try."""
        with self.nested(f"waiting for success: {command}"):
            return self._repeat(command, lambda status: status == 0, timeout)

    def wait_until_fails(self, command, timeout=900):
        """Repeats a command until it fails; returns the stdout of the last try."""
        with self.nested(f"waiting for failure: {command}"):
            return self._repeat(command, lambda status: status != 0, timeout)

    def _repeat(self, command, wanted, timeout):
        output, tries = "", 0

        def attempt(_last):
            nonlocal output, tries
            tries += 1
            if tries > 1:
                self.logger.tried(tries)
            status, output = self.execute(command, timeout=timeout)
            return wanted(status)

        retry(attempt, timeout)
        return output

    def sleep(self, secs):
        """Sleeps in the machine."""
        self.succeed(f"sleep {secs}")

    # Files, ports and sockets

    def wait_for_file(self, filename, timeout=900):
        """Waits until the file exists. The name is a shell word: globs, `~` and variables work."""
        with self.nested(f"waiting for file '{filename}'"):
            poll(lambda: self.execute(f"test -e {filename}")[0] == 0, timeout)

    def wait_for_open_port(self, port, addr="localhost", timeout=900):
        """Waits until a TCP connection from inside the machine succeeds."""
        with self.nested(f"waiting for TCP port {port} on {addr}"):
            poll(lambda: self._port_open(port, addr), timeout)

    def wait_for_closed_port(self, port, addr="localhost", timeout=900):
        """Waits until a TCP connection from inside the machine fails."""
        with self.nested(f"waiting for TCP port {port} on {addr} to be closed"):
            poll(lambda: not self._port_open(port, addr), timeout)

    def wait_for_open_unix_socket(self, addr, is_datagram=False, timeout=900):
        """Waits until something listens on the UNIX-domain socket `addr`."""
        kind = "datagram" if is_datagram else "stream"
        with self.nested(f"waiting for UNIX-domain {kind} on '{addr}'"):
            path = str(COMMANDS_RUN_IN / addr)
            poll(lambda: self._can_connect("unix", path=path, datagram=bool(is_datagram)), timeout)

    def _port_open(self, port, addr):
        try:
            number = int(str(port))
        except ValueError:
            return False
        return 0 < number < 65536 and self._can_connect("tcp", addr=str(addr), port=number)

    # systemd

    def systemctl(self, q, user=None):
        """Runs `systemctl Q`, or `systemctl --user Q` as that user; returns (status, stdout)."""
        if user is None:
            return self.execute(f"systemctl {q}")
        quoted = q.replace("'", "\\'")
        return self.execute(f"su -l {user} --shell /bin/sh -c "
                            f"$'XDG_RUNTIME_DIR=/run/user/`id -u` systemctl --user {quoted}'")

    def start_job(self, jobname, user=None):
        """`systemctl start`; returns (status, stdout)."""
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname, user=None):
        """`systemctl stop`; returns (status, stdout)."""
        return self.systemctl(f"stop {jobname}", user)

    def wait_for_unit(self, unit, user=None, timeout=900):
        """Waits until the unit is active. Fails at once when it failed, or is inactive with no job queued."""
        def active():
            state = self.get_unit_property(unit, "ActiveState", user)
            if state == "failed":
                raise self._unit_failure(unit, f'unit "{unit}" reached state "{state}"')
            if state == "inactive":
                _status, jobs = self.systemctl("list-jobs --full 2>&1", user)
                if "No jobs" in jobs and self.get_unit_info(unit, user)["ActiveState"] == state:
                    raise self._unit_failure(unit, f'unit "{unit}" is inactive and there are no pending jobs')
            return state == "active"

        with self.nested(f"waiting for unit {unit}" + ("" if user is None else f" with user {user}")):
            try:
                poll(active, timeout)
            except RequestedAssertionFailed as error:
                error.unit = (self.name, unit)
                raise

    def _unit_failure(self, unit, message):
        error = RequestedAssertionFailed(message)
        error.unit = (self.name, unit)
        return error

    def get_unit_info(self, unit, user=None):
        """All properties of a unit, as `systemctl show` prints them."""
        status, lines = self.systemctl(f'--no-pager show "{unit}"', user)
        if status != 0:
            raise self._unit_failure(
                unit, f'retrieving systemctl info for unit "{unit}"{for_user(user)} failed with exit code {status}')
        return dict(m.groups() for m in map(PROPERTY.match, lines.split("\n")) if m)

    def get_unit_property(self, unit, property, user=None):
        """One property of a unit, as text."""
        status, lines = self.systemctl(f'--no-pager show "{unit}" --property="{property}"', user)
        if status != 0:
            raise self._unit_failure(unit, f'retrieving systemctl property "{property}" for unit "{unit}"'
                                     f"{for_user(user)} failed with exit code {status}")
        match = PROPERTY.match(lines)
        if match is None or match[1] != property:
            raise AssertionError(f'systemctl show --property "{property}" "{unit}"produced invalid output: {lines}')
        return match[2]

    def require_unit_state(self, unit, require_state="active"):
        """Looks once: the unit must be in that state now."""
        with self.nested(f"checking if unit '{unit}' has reached state '{require_state}'"):
            state = self.get_unit_info(unit)["ActiveState"]
            if state != require_state:
                raise self._unit_failure(unit, f"Expected unit '{unit}' to to be in state '{require_state}' "
                                         f"but it is in state '{state}'")

    # Copies, by way of the shared directory

    @contextlib.contextmanager
    def _handover(self):
        """A new folder that the machine sees: its descriptor here, its name there."""
        import shutil
        import tempfile
        name = tempfile.mkdtemp(dir=self.shared_dir)
        try:
            folder = os.open(name, handover.FOLDER)
            try:
                inside = SHARED / Path(name).name
                self.succeed(make_command(["mkdir", "-p", inside]))
                yield folder, inside
            finally:
                os.close(folder)
        finally:
            shutil.rmtree(name, ignore_errors=True)

    def copy_from_host(self, source, target):
        """Copies a file or a directory into the machine; parents are made, modes kept, the owner is root."""
        source, target = Path(source), Path(target)
        with self._handover() as (folder, inside):
            handover.put(source, folder, source.name)
            self.succeed(make_command(["mkdir", "-p", target.parent]))
            self.succeed(make_command(["cp", "-r", inside / source.name, target]))

    def copy_from_host_via_shell(self, source, target):
        """Copies one file into the machine as text of a command."""
        import base64
        text = base64.b64encode(Path(source).read_bytes()).decode()
        self.succeed(f"mkdir -p $(dirname {target})", f"echo -n {text} | base64 -d > {target}")

    def copy_from_machine(self, source, target_dir=""):
        """Copies a file or a directory to out_dir/target_dir. Links lead nowhere but into what is copied."""
        source = Path(source)
        with self._handover() as (folder, inside):
            self.succeed(make_command(["cp", "-r", source, inside / source.name]))
            target = self.out_dir / target_dir / source.name
            target.parent.mkdir(exist_ok=True, parents=True)
            handover.take(folder, source.name, target, source)

    def copy_from_vm(self, source, target_dir=""):
        """The old name of copy_from_machine."""
        self.copy_from_machine(source, target_dir)

    # Text on the console

    def wait_for_console_text(self, regex, timeout=None):
        """Waits for a match in the console lines, glued without newlines. Lines are taken once, in order.

        With a timeout one line is taken a second, as in the real driver: text behind a long backlog is not reached.
        """
        text = []

        def matches(line):
            text.append(line)
            return re.search(regex, "".join(text)) is not None

        with self.nested(f"waiting for {regex} to appear on console"):
            if timeout is not None:
                repeat(lambda _last: matches(self._next_line() or ""), timeout, each_second())
            else:
                while not matches(self._next_line(wait=True) or ""):
                    pass
