"""Waiting: `retry` as scripts call it, quick polls for the driver's own waits, and polling conditions."""
import math
import time

from .errors import PollingConditionError, RequestedAssertionFailed


def timed_out(elapsed, limit):
    # One decimal where 26.05 has two: whoever blots out the log's times (two decimals) leaves this message whole.
    return RequestedAssertionFailed(f"action timed out after {elapsed:.1f} seconds (timeout={limit})")


QUICK = 0.05  # seconds that a try may take and still have early looks after it


def pauses(limit):
    """Pauses between the tries of `retry`, which sends the seconds that the last try took.

    One second as in the real driver, with a few early looks for long limits. These add at most two tries and fall back on
    the real driver's beat after one second. There are none for short limits, because scripts may count the tries, and none
    once a try has been slow: there each one more would be as slow.
    """
    early = (0.1, 0.5, 0.4) if limit >= 10 else (0.1, 0.9) if limit >= 3 else ()
    took = yield
    for pause in early:
        if took > QUICK:
            break
        took = yield pause
    yield from each_second()


def each_second():
    """The real driver's pauses."""
    while True:
        yield 1.0


def retry(fn, timeout_seconds=900):
    """Calls fn(False) until it is truthy; after the limit once more as fn(True), which must be truthy.

    At least one second lies between two tries, apart from the early looks of `pauses`. Exceptions of fn end it.
    """
    repeat(fn, timeout_seconds, pauses(timeout_seconds))


def repeat(fn, limit, steps):
    """`retry` with given pauses: a generator that is sent how long each try took."""
    begin = time.monotonic()
    next(steps)
    while time.monotonic() - begin < limit:
        started = time.monotonic()
        if fn(False):
            return
        time.sleep(steps.send(time.monotonic() - started))
    elapsed = time.monotonic() - begin
    if not fn(True):
        raise timed_out(elapsed, limit)


def poll(fn, limit):
    """Like `retry` for what the driver itself looks at: starts at 20 ms, never slower than four looks a second."""
    begin, pause = time.monotonic(), 0.02
    while True:
        left = limit - (time.monotonic() - begin)
        if left <= 0:
            break
        if fn():
            return
        time.sleep(min(pause, max(left, 0.001)))
        pause = min(pause * 1.5, 0.25)
    elapsed = time.monotonic() - begin
    if not fn():
        raise timed_out(elapsed, limit)


class PollingCondition:
    """A condition that must hold while it is entered. Checked before every command when overdue."""

    def __init__(self, condition, logger, seconds_interval=2.0, description=None):
        self.condition, self.logger, self.seconds_interval = condition, logger, seconds_interval
        if description is None:
            description = condition.__doc__ or condition.__name__
        self.description = str(description)
        self.last_called = -math.inf
        self.running = False

    def status_message(self, holds):
        return f"Polling condition {'succeeded' if holds else 'failed'}: {self.description}"

    def check(self, force=False):
        overdue = self.last_called + self.seconds_interval < time.monotonic()
        if not force and (self.running or not overdue):
            return True
        self.running, outer = True, self.running  # commands inside the condition must not check it again
        try:
            with self.logger.nested(f"Checking polling condition {self.description!r}"):
                since = time.monotonic() - self.last_called
                self.logger.info(f"Time since last: {since:.2f}s" if math.isfinite(since) else "(not called yet)")
                try:
                    result = self.condition()
                except Exception:
                    result = False
                result = result is None or result
                self.logger.info(self.status_message(result))
                return result
        finally:
            self.running = outer
            self.last_called = time.monotonic()

    def maybe_raise(self):
        if not self.check():
            raise PollingConditionError(self.status_message(False))


class Poll:
    """What `polling_condition` makes of a function: entered with `with`, or waited for."""

    def __init__(self, driver, condition):
        self._driver, self.condition = driver, condition

    def __enter__(self):
        self._driver.polling_conditions.append(self.condition)

    def __exit__(self, *_):
        self._driver.polling_conditions.pop()

    def wait(self, timeout=900):
        """Waits until the condition holds."""
        log, condition = self._driver.logger, self.condition

        def holds(last):
            if last:
                log.info(f"Last chance for {condition.description}")
            result = condition.check(force=True)
            if not result and not last:
                log.info(f"({condition.description} failure not fatal yet)")
            return result

        with log.nested(f"waiting for {condition.description}"):
            retry(holds, timeout)
