"""What this process can do to those of a run, whose numbers are its arguments: a line each."""
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
PIDFD_OPEN, PIDFD_GETFD = 434, 438
PTRACE_SEIZE = 0x4206


def call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def take(pid, fd):
    """A copy of another process's descriptor: a socket, too."""
    process = call(PIDFD_OPEN, pid, 0)
    try:
        os.close(call(PIDFD_GETFD, process, fd, 0))
    finally:
        os.close(process)


def follow(pid):
    if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "")


def attempt(what, act, *args):
    try:
        act(*args)
    except OSError:
        return
    print(what)


def look(path):
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


sockets = set()
for pid in map(int, sys.argv[1:]):
    process = f"/proc/{pid}"
    for name in ("environ", "mem", "maps", "cwd/.", "root/.", "ns/user", "ns/mnt", "ns/net", "ns/pid"):
        attempt(f"{pid} {name}", look, f"{process}/{name}")
    for fd in range(64):
        attempt(f"{pid} opens {fd}", look, f"{process}/fd/{fd}")
        attempt(f"{pid} takes {fd}", take, pid, fd)
        try:
            sockets.add(os.readlink(f"{process}/fd/{fd}"))
        except OSError:
            pass
    attempt(f"{pid} kill", os.kill, pid, 0)
    attempt(f"{pid} ptrace", follow, pid)
# Who knows a name can connect.
for line in open("/proc/net/unix").readlines()[1:]:
    words = line.split()
    if len(words) > 7 and f"socket:[{words[6]}]" in sockets:
        print("named", words[7])
