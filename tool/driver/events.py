"""The event stream for the runner: one JSON object per line. Never blocks the driver, never fails it."""
import codecs
import json
import os
import threading
import time
from queue import SimpleQueue

START = time.monotonic()


def escape_surrogates(error):
    """Half a pair is no Unicode: no reader of JSON takes it. It is shown as Python shows it on stderr."""
    return "".join(f"\\\\u{ord(c):04x}" for c in error.object[error.start:error.end]), error.end


codecs.register_error("json-surrogates", escape_surrogates)


class Events:
    """Writes to a descriptor from a thread of its own, so a slow reader costs memory, not time."""

    def __init__(self, fd=None):
        self._queue = SimpleQueue() if fd is not None else None
        self._fd = fd
        if fd is not None:
            os.set_inheritable(fd, False)
            self._thread = threading.Thread(target=self._drain, daemon=True)
            self._thread.start()

    def emit(self, event, **fields):
        if self._queue is not None:
            self._queue.put(stamped(event, fields))

    def start(self, **fields):
        """The first event, written before this returns: whatever the script does, the runner knows that it was begun."""
        if self._queue is not None:
            self._write(stamped("start", fields))

    def close(self, patience=2.0):
        """Waits until all is written, at most `patience` seconds."""
        if self._queue is not None:
            self._queue.put(None)
            self._thread.join(patience)

    def _drain(self):
        while True:
            item = self._queue.get()
            if item is None:
                return
            self._write(item)

    def _write(self, item):
        data = (json.dumps(item, default=str, ensure_ascii=False) + "\n").encode(errors="json-surrogates")
        try:
            while data:
                data = data[os.write(self._fd, data):]
        except OSError:
            self._fd = os.open(os.devnull, os.O_WRONLY)  # the reader is gone: drain the queue quietly


def stamped(event, fields):
    return {"event": event, "t": round(time.monotonic() - START, 6), **fields}
