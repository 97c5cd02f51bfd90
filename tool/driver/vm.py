"""The life cycle of a machine: start, connect, power off, crash, reboot, and its console."""
import socket
import threading
import time
from queue import Empty, SimpleQueue

from . import vmonly
from .channel import CLOSED, ShellChannel
from .errors import ChannelClosed, MachineError, NotInSandbox
from .machine import BaseMachine
from .terminal import take_terminal

REBOOT = 3  # exit status of a machine's PID 1 that asks to be started again
NOTE_EVERY = 30  # seconds between two notes about a machine that does not answer
KILL_PATIENCE = 5  # seconds for a killed machine to be reported as ended
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(timeout):
    """A timeout as coreutils' `timeout` takes it -> seconds, or None for no limit. Raises ValueError."""
    if timeout is None:
        return None
    text = str(timeout).strip()
    factor = UNITS.get(text[-1:], None)
    value = float(text[:-1]) * factor if factor else float(text)
    if not value >= 0:
        raise ValueError(text)
    return None if value in (0, float("inf")) else value


class Boot:
    """One boot of a machine: from its PID 1's start to its end."""

    def __init__(self, pid, shell):
        self.pid, self.shell = pid, shell
        self.begin = time.monotonic()
        self.ended, self.status = threading.Event(), None
        self.console = None  # the thread that reads it

    def end_text(self):
        """How it ended, in words."""
        if not self.ended.is_set():
            return "its shell closed"
        if self.status is None:
            return "the sandbox is gone"
        if self.status > 128:
            return f"it was killed by signal {self.status - 128}"
        return {0: "it powered off", REBOOT: "it rebooted"}.get(self.status, f"it ended with status {self.status}")


class QemuMachine(BaseMachine):
    """A machine of the sandbox. It bears the real driver's class name because scripts may name it."""

    def __init__(self, host, events, **base):
        super().__init__(**base)
        self._host, self._events = host, events
        self._exits = host.exits(self.name)
        self._life = threading.RLock()
        self._boot, self._rebooting = None, None
        self._allow_reboot = self._released = self._final = False
        self.pid, self.booted, self.connected = None, False, False
        self.last_lines, self.full_console_log = SimpleQueue(), []

    # Start

    def start(self, allow_reboot=False):
        """Starts the machine; does not wait. Without allow_reboot a reboot inside ends it."""
        self._stop_if_final()
        with self._life:
            if self.booted:
                return
            self.log("starting vm")
            self._allow_reboot, self._released = allow_reboot, False
            self.last_lines, self.full_console_log = SimpleQueue(), []
            self._start_boot()
            self.booted = True
            self.log(f"sandbox running (pid {self.pid})")

    def _start_boot(self):
        self._events.emit("machine", machine=self.name, state="starting", seconds=0)
        begin = time.monotonic()
        reply, fds = self._host.call("start", machine=self.name)
        if len(fds) != 2:
            raise MachineError(f"{self.name}: sandbox-keeper sent {len(fds)} descriptors instead of a shell and a console")
        shell, console = fds
        boot = Boot(reply["pid"], ShellChannel(socket.socket(fileno=shell)))
        boot.begin = begin
        boot.console = threading.Thread(target=self._read_console, args=(console,), daemon=True)
        boot.console.start()
        self._boot, self.pid = boot, boot.pid
        threading.Thread(target=self._watch, args=(boot,), daemon=True).start()

    def _read_console(self, fd):
        log, lines = self.full_console_log, self.last_lines
        with open(fd, "rb") as stream:
            for raw in stream:
                line = raw.decode(errors="replace").replace("\r", "").rstrip()
                log.append(line)  # before the queue: who has seen a line finds it in the log
                lines.put(line)
                self.log_serial(line)

    def _watch(self, boot):
        """Waits for the end of a boot; starts the next one after a reboot that is allowed."""
        status = self._exits.get()
        if status is not CLOSED:
            boot.console.join(1)  # its last words come before the news of its end
        self._events.emit("machine", machine=self.name, state="down",
                          seconds=round(time.monotonic() - boot.begin, 6))
        boot.status = None if status is CLOSED else status
        if status == REBOOT and self._allow_reboot and not self._released:
            try:
                self._start_boot()
                self.connected = False
            except MachineError as error:
                self.log(f"cannot start again after the reboot: {error}")
        boot.ended.set()

    def is_up(self):
        """Whether it was started and its shell has answered."""
        return self.booted and self.connected

    def connect(self):
        """Starts the machine if need be, and waits until its root shell answers. There is no limit."""
        if self.connected:
            return
        with self.nested("waiting for the VM to finish booting"):
            self.start()
            begin = time.monotonic()
            if self._rebooting is not None and self._rebooting is self._boot:
                while not self._rebooting.ended.wait(NOTE_EVERY):
                    self.log("the machine does not reboot yet...")
            boot, self._rebooting = self._boot, None
            try:
                pending = boot.shell.send("ping")  # any answer will do, also that of an init without "ping"
                while pending.wait(NOTE_EVERY) is None:
                    self.log("Guest root shell did not produce any data yet...")
            except ChannelClosed:
                boot.ended.wait(KILL_PATIENCE)
                self._stop_if_final()
                raise MachineError(f"{self.name} has no shell to connect to: {boot.end_text()}") from None
            self.log("connected to guest root shell")
            self.log(f"(connecting took {time.monotonic() - begin:.2f} seconds)")
            self._events.emit("machine", machine=self.name, state="up",
                              seconds=round(time.monotonic() - boot.begin, 6))
            self.connected = True

    # Commands

    def _execute(self, command, check_return, check_output, timeout):
        try:
            limit = seconds(timeout)
        except ValueError:
            self.log_serial(f"timeout: invalid time interval '{timeout}'")
            return 125, ""
        self.connect()
        boot = self._boot
        try:
            pending = boot.shell.send("execute", str(command).encode(), timeout=limit)
            if not check_output:
                return -2, ""
            head, output = pending.wait(NOTE_EVERY) or self._wait_on(command, pending)
        except ChannelClosed:
            if not check_return:
                return -1, ""
            raise self._gone(boot, f"the command `{command}` has no status") from None
        if "error" in head:
            raise MachineError(f"{self.name} refused the command `{command}`: {head['error']}")
        if not check_return:
            return -1, output.decode()
        return head["status"], output.decode(errors="replace")

    def _wait_on(self, command, pending):
        """Waits for a slow command, after a word about the usual reason for one that never ends."""
        self.log(f"still waiting for `{command}`: it runs, or what it left in the background holds its stdout "
                 "(hint: end that with >/dev/null)")
        return pending.wait()

    def _can_connect(self, op, **address):
        self.run_callbacks()
        self.connect()
        boot = self._boot
        try:
            head, _ = boot.shell.send(op, **address).wait()
        except ChannelClosed:
            raise self._gone(boot, "nothing can be connected to") from None
        return bool(head.get("open"))

    def _stop_if_final(self):
        if self._final:
            threading.Event().wait()  # the process is about to end: no error of ours may get ahead of that

    def _gone(self, boot, consequence):
        """The error for a machine that went away under a request."""
        self._stop_if_final()
        boot.ended.wait(KILL_PATIENCE)
        text = f"{self.name} is down: {boot.end_text()}; {consequence}"
        if self.booted and self._boot is boot:
            text += (f"\nhint: where the script powers it off itself, follow with {self.name}.wait_for_shutdown() "
                     f"and {self.name}.start()")
        return MachineError(text)

    def _running(self, wish):
        if self._boot is None or not self.booted:
            raise MachineError(f"{self.name} is not running: cannot {wish}\nhint: {self.name}.start() comes first")
        return self._boot

    # End

    def shutdown(self):
        """Powers the machine off and waits for it. No limit."""
        if not self.booted:
            return
        boot = self._boot
        try:
            head, _ = boot.shell.send("execute", b"poweroff", timeout=None).wait()
            if 0 != head.get("status", 1) <= 128:  # above 128 the power-off itself killed it
                raise MachineError(f"{self.name}: poweroff failed: {head.get('error') or head.get('status')}")
        except ChannelClosed:
            pass
        self.wait_for_shutdown()

    def wait_for_shutdown(self):
        """Waits until the machine is off. No limit."""
        if not self.booted:
            return
        with self.nested("waiting for the VM to power off"):
            self._wait_off()

    def _wait_off(self):
        while True:
            boot = self._boot
            boot.ended.wait()
            if self._boot is boot:  # else it rebooted
                break
        self.pid, self.booted, self.connected = None, False, False

    def crash(self):
        """Ends the machine at once, like a power failure."""
        if not self.booted:
            return
        self.run_callbacks()
        self.log("forced crash")
        self._kill()
        self.wait_for_shutdown()

    def reboot(self):
        """Asks for a reboot and returns; the next command connects anew. Needs start(allow_reboot=True)."""
        with self.nested("sending key 'ctrl-alt-delete'"):
            self.run_callbacks()
            boot = self._running("reboot")
            try:
                boot.shell.send("execute", b"systemctl reboot", timeout=None)
            except ChannelClosed:
                pass
            self._rebooting = boot
        self.connected = False

    def kill(self, final=False):
        """Kills the machine and does not wait. `final`: the run is over, what still uses the machine just stops."""
        self.logger.info(f"kill {type(self).__name__} (pid {self.pid})")
        self._released, self._final = True, final or self._final
        self._kill()

    def _kill(self):
        if not self._boot.ended.is_set():
            try:
                self._host.call("kill", machine=self.name)
            except MachineError:
                pass  # it has ended by itself in this moment, or the host has, which ends it too

    def release(self):
        """Kills the machine; part of the cleanup."""
        if self.pid is None:
            return
        self.kill()
        if self._boot.ended.wait(KILL_PATIENCE):
            self.pid, self.booted, self.connected = None, False, False

    def retire(self):
        """Releases the machine for good: the script has ended, and what it left running just stops."""
        self._final = True
        self.release()

    # Network and console

    def block(self):
        """Unplugs the machine's network cable."""
        self._link(False)

    def unblock(self):
        """Plugs it in again."""
        self._link(True)

    def _link(self, up):
        self.run_callbacks()
        self._running("plug its cable" if up else "unplug its cable")
        self._host.call("link", machine=self.name, up=up)

    def get_console_log(self):
        """All console lines since the start."""
        return "\n".join(self.full_console_log)

    def _next_line(self, wait=False):
        """The next console line; None when there is none now (after a fraction of a second with `wait`)."""
        try:
            return self.last_lines.get(block=wait, timeout=0.2 if wait else None)
        except Empty:
            boot = self._boot
            if wait and boot is not None and boot.ended.is_set() and boot is self._boot and self.last_lines.empty():
                raise MachineError(f"{self.name} is down ({boot.end_text()}): the text cannot appear any more") from None
            return None

    def shell_interact(self, address=None):
        """Opens a root shell of the machine on this terminal."""
        if address is not None:
            raise NotInSandbox(f"{self.name}.shell_interact({address!r})", "the shell opens on this terminal only")
        self.connect()
        done = threading.Event()
        problem = []

        def ask():
            try:
                self._host.call("interact", machine=self.name)
            except MachineError as error:
                problem.append(error)
            done.set()

        threading.Thread(target=ask, daemon=True).start()
        while not done.is_set():
            try:
                done.wait()
            except KeyboardInterrupt:
                pass  # Ctrl-C is for the shell
        take_terminal()
        if problem:
            raise problem[0]


for _name, _why in vmonly.METHODS.items():
    setattr(QemuMachine, _name, vmonly.refusing(_name, _why))


class NspawnMachine(BaseMachine):
    """For scripts that name the type; no machine of the sandbox is one."""


class OnlyMachine:
    """`machine` where the only machine has another name: works, with the real driver's warning, once a line."""

    def __init__(self, machine):
        self.__dict__.update(_machine=machine, _warned=set())

    def __getattr__(self, name):
        from .failure import script_line
        machine, line = self._machine, script_line()
        if line not in self._warned:
            self._warned.add(line)
            machine.logger.deprecated(
                f"invoking '{type(machine).__name__}.{name}' is deprecated: It's deprecated to use the `machine` "
                f"variable when the only machine is called {machine.name}. "
                "This behavior will no longer work in NixOS 27.05.", line)
        return getattr(machine, name)

    def __setattr__(self, name, value):
        setattr(self._machine, name, value)

    def __repr__(self):
        return repr(self._machine)
