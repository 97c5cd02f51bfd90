"""Runs a simulator at one end of a serial line: serial.py PATH PROGRAM [ARGUMENT]...

The other end is the tty at PATH. What the IOC writes there is the program's stdin, and its stdout is what the IOC reads.
On NixOS (machine.nix) and in the sandbox (crates/backends/src/units.rs).
"""
import os
import shutil
import sys
import tty

path, *command = sys.argv[1:]
if not shutil.which(command[0]):  # before the line is there, which says that the program is
    sys.exit(f"{command[0]}: there is no such program")
ours, theirs = os.openpty()
# Bytes as they are, no echo.
tty.setraw(theirs)
name = os.ttyname(theirs)
os.chmod(name, 0o666)
# Open for as long as the program runs: else it meets an error whenever no IOC is there.
os.set_inheritable(theirs, True)
os.dup2(ours, 0)
os.dup2(ours, 1)
os.symlink(name, path)
os.execvp(command[0], command)
