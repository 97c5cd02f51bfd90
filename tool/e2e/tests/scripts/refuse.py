# refuse.py CALL PROGRAM...: runs a program to which a system call is refused with EPERM.
import ctypes
import os
import platform
import struct
import sys

CALLS = {"x86_64": {"pivot_root": 155, "seccomp": 317, "unshare": 272}, "aarch64": {"pivot_root": 41, "seccomp": 277, "unshare": 97}}
number = CALLS[platform.machine()][sys.argv[1]]
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(Filter(len(lines), ctypes.addressof(program)))) == 0
os.execvp(sys.argv[2], sys.argv[2:])
