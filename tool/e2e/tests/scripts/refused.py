# What a process on a machine is refused: the caller's keys, and typing on his terminal, be it its own one.
import ctypes
import errno
import fcntl
import os
import platform
import pty
import termios

libc = ctypes.CDLL(None, use_errno=True)
for number in {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[platform.machine()]:
    assert libc.syscall(number, 0, 0, 0, 0, 0) == -1
    assert ctypes.get_errno() == errno.ENOSYS, (number, ctypes.get_errno())


def types():
    for request in (termios.TIOCSTI, 0x541C):  # the other one pastes: TIOCLINUX
        try:
            fcntl.ioctl(0, request, b"x")
        except OSError as error:
            if error.errno == errno.EPERM:
                continue
            return error.errno
        return 200
    return 0


pid, _ = pty.fork()
if pid == 0:
    os._exit(types())
assert os.waitpid(pid, 0)[1] == 0, "on a terminal of its own"
if os.isatty(0):
    assert types() == 0, "on the caller's terminal"
    print("of the caller: ", end="")
print("all of it", "is refused")
