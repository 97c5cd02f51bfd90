"""The terminal that the prompt and root shells share."""
import os
import signal
import sys


def take_terminal():
    """Makes this process the terminal's foreground, by itself: what is typed is for the prompt only.

    A root shell takes the terminal over and, in another PID namespace, cannot name whom to give it back to.
    """
    if not sys.stdin.isatty():
        return
    # Ctrl-Z would stop this process only, and nobody could wake it.
    for number in (signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    try:
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)
        os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
    except OSError as error:
        print(f"warning: cannot take over the terminal: {error}", file=sys.stderr)
