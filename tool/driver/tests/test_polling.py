"""`retry`, the driver's own polls, polling conditions."""
import math
import unittest

from ..errors import PollingConditionError, RequestedAssertionFailed
from ..polling import pauses, poll, retry
from .base import InProcess


def tries(limit, takes=0.0):
    """(tries before the last one, times of the first six) when each try takes that long."""
    steps, times = pauses(limit), [0.0]
    next(steps)
    while len(times) < 1000:
        times.append(times[-1] + takes + steps.send(takes))
    return sum(t < limit for t in times), times[:6]


class Schedule(unittest.TestCase):
    def test_short_limits_are_the_real_drivers(self):
        for limit in (0, 1, 2):
            self.assertEqual(tries(limit)[0], limit)

    def test_longer_limits_add_at_most_two_tries(self):
        self.assertEqual(tries(3), (4, [0, 0.1, 1, 2, 3, 4]))
        self.assertEqual(tries(900), (902, [0, 0.1, 0.6, 1, 2, 3]))
        for limit in range(3, 40):
            self.assertLessEqual(tries(limit)[0], limit + 2)

    def test_slow_tries_are_as_many_as_the_real_drivers(self):
        self.assertEqual(tries(10, 4.0), (2, [0, 5, 10, 15, 20, 25]))
        for limit in (1, 3, 10, 900):
            for takes in (0.5, 2, limit):
                self.assertEqual(tries(limit, takes)[0], math.ceil(limit / (takes + 1)))

    def test_an_early_look_that_is_slow_is_the_last_early_one(self):
        steps = pauses(900)
        next(steps)
        self.assertEqual([steps.send(took) for took in (0.0, 5.0, 0.0, 0.0)], [0.1, 1.0, 1.0, 1.0])

    def test_no_pause_is_longer_than_the_real_drivers(self):
        for limit in (1, 3, 900):
            times = tries(limit)[1]
            self.assertLessEqual(max(after - before for before, after in zip(times, times[1:])), 1)


class Retry(unittest.TestCase):
    def test_truthy_ends_it(self):
        self.assertIsNone(retry(lambda last: "text", 5))

    def test_arguments(self):
        calls = []
        retry(lambda last: calls.append(last) or len(calls) == 3)
        self.assertEqual(calls, [False] * 3)
        calls.clear()
        with self.assertRaisesRegex(RequestedAssertionFailed, r"^action timed out after 0.0 seconds \(timeout=0\)$"):
            retry(lambda last: calls.append(last), 0)
        self.assertEqual(calls, [True])
        self.assertIsNone(retry(lambda last: last, timeout_seconds=0))

    def test_exceptions_are_not_retried(self):
        with self.assertRaises(ZeroDivisionError):
            retry(lambda last: 1 / 0)

    def test_poll(self):
        calls = []
        poll(lambda: calls.append(1) or len(calls) == 4, 60)
        with self.assertRaises(RequestedAssertionFailed):
            poll(lambda: False, 0)


class Conditions(InProcess):
    def check(self, result, error=None, **options):
        def my_function():
            if error:
                raise error
            return result

        with self.driver.polling_condition(**options)(my_function):
            return self.machine.succeed("echo ran")

    def test_results(self):
        for fine in (None, True, "x"):
            self.assertEqual(self.check(fine), "ran\n")
        for bad in (False, 0, []):
            with self.assertRaisesRegex(PollingConditionError, "^Polling condition failed: my_function$"):
                self.check(bad)
        with self.assertRaises(PollingConditionError):
            self.check(True, ValueError())
        with self.assertRaisesRegex(PollingConditionError, "failed: text$"):
            self.check(False, description="text")
        self.assertEqual(self.driver.polling_conditions, [])

    def test_log(self):
        self.check(None, seconds_interval=9)
        log = self.log()
        begin = log.index("machine: must succeed: echo ran")
        self.assertEqual(log[begin + 1:begin + 4], ["Checking polling condition 'my_function'", "(not called yet)",
                                                    "Polling condition succeeded: my_function"])

    def test_commands_inside_do_not_check_again_and_the_interval_holds(self):
        calls = []

        @self.driver.polling_condition
        def condition():
            "the doc text"
            calls.append(1)
            return self.machine.execute("true")[0] == 0

        with condition:
            self.machine.succeed("true")
            self.machine.succeed("true")
        self.assertEqual(len(calls), 1)
        self.assertEqual(condition.condition.description, "the doc text")

    def test_wait(self):
        calls = []

        @self.driver.polling_condition(description="third time")
        def condition():
            calls.append(1)
            return len(calls) >= 3

        condition.wait()
        self.assertEqual(len(calls), 3)
        self.assertIn("(third time failure not fatal yet)", self.log())
        calls.clear()
        with self.assertRaises(RequestedAssertionFailed):
            condition.wait(timeout=0)
        self.assertIn("Last chance for third time", self.log())
