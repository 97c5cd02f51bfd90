"""The interactive prompt."""
import signal

from driver.prompt import GREETING, STAYING, in_text

from .base import WholeProcess


class Prompt(WholeProcess):
    def session(self, lines, script="machine.fail('true')\n", **more):
        return self.drive(script, interactive=True, stdin="\n".join(lines) + "\n", **more)

    def test_names_greeting_and_end(self):
        r = self.session(["start_all()", "machine.succeed('echo from the machine')", "x = 3", "x + 4"])
        self.assertEqual(r.status, 0)
        for text in ("start_all()    starts the machines\ntest_script()  runs the script\n", "machine.shell_interact()"):
            self.assertIn(text, r.stderr)
        self.assertLessEqual(max(map(len, GREETING.split("\n") + STAYING.split("\n"))), 40)
        self.assertIn("from the machine\\n", r.stdout)
        self.assertIn("7", r.stdout)
        self.assertIn("kill QemuMachine", r.stderr)
        self.assertNotIn("Test will time out", r.stderr)

    def test_a_failing_script_returns_to_the_prompt(self):
        r = self.session(["test_script()", "machine.succeed('echo still' + ' here')"])
        self.assertEqual(r.status, 0)
        self.assertIn("!!! RequestedAssertionFailed: command `true` unexpectedly succeeded", r.stderr)
        self.assertIn("ended with status 1", r.stderr)
        self.assertIn("still here", r.stdout)
        self.assertEqual(len(r.event("machine")), 3)

    def test_errors_are_shown_without_our_frames(self):
        r = self.session(["machine.succeed('exit 3')", "1 / 0", "def broken(:", "log.error('e')", "print('on')"])
        self.assertEqual(r.status, 0)
        self.assertIn("RequestedAssertionFailed: command `exit 3` failed", r.stderr)
        self.assertIn("ZeroDivisionError", r.stderr)
        self.assertIn("SyntaxError", r.stderr)
        self.assertNotIn("/driver/", r.stderr)
        self.assertIn("on", r.stdout)

    def test_ctrl_c_stops_the_command_and_leaves_the_machine(self):
        r = self.session(["machine.succeed('echo up')", "log.log('ready'); machine.succeed('sleep 60')",
                          "machine.succeed('echo alive')"], during=lambda p: p.send_signal(signal.SIGINT))
        self.assertEqual(r.status, 0)
        self.assertIn("KeyboardInterrupt", r.stderr)
        self.assertIn("alive", r.stdout)
        self.assertEqual([e["state"] for e in r.event("machine")], ["starting", "up", "down"])

    def test_exit(self):
        r = self.session(["exit()", "print('never')"])
        self.assertEqual((r.status, "never" in r.stdout), (0, False))
        self.setUp()
        self.assertEqual(self.session(["quit(5)"]).status, 5)

    def test_the_greeting_names_the_machine(self):
        self.peer.names = ["ioc"]
        for kind in ("shared", "state"):
            (self.peer.top / f"ioc-{kind}").mkdir()
        self.assertIn("ioc.shell_interact()", self.session([]).stderr)


    def test_where_a_text_is_open(self):
        for line in ("x('", 'x("a', "x('a\\'", "f('a', \"it's "):
            self.assertTrue(in_text(line), line)
        for line in ("", "x('a')", "x('a\\'b', \"it's\")", "machine."):
            self.assertFalse(in_text(line), line)


class Terminal(WholeProcess):
    def test_history_completion_and_ctrl_c(self):
        """On a real terminal: Tab completes, and the lines are kept for the next session."""
        import json
        import os
        import pty
        import select
        import subprocess
        import sys
        from .peer import DRIVER
        config = self.peer.top / "config.json"
        config.write_text(json.dumps(self.peer.config(interactive=True)))
        history = self.peer.top / "history file"
        (self.peer.top / "pvs").write_text("P:CURR\nP:VOLT-RB\n")
        near, far = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-B", str(DRIVER), str(config)], pass_fds=[self.peer.driver_fd], stdin=far, stdout=far, stderr=far,
            env={**os.environ, "XTASK_HISTORY": str(history), "TERM": "xterm", "PYTHON_BASIC_REPL": "1"})
        os.close(far)
        os.close(self.peer.driver_fd)
        seen = b""

        def until(text, nudge=None):
            nonlocal seen
            for _ in range(200):
                if text in seen:
                    return
                if select.select([near], [], [], 0.1)[0]:
                    seen += os.read(near, 4096)
                elif nudge:
                    nudge()
            process.kill()
            self.fail(f"no {text} in {seen}")

        until(b">>> ")
        # At an idle prompt: a new prompt. Asked again, because readline may not wait for keys yet.
        until(b"KeyboardInterrupt\r\n", lambda: process.send_signal(signal.SIGINT))
        seen = seen[seen.index(b"KeyboardInterrupt"):]
        until(b">>> ")
        os.write(near, b"print(seria\tff)\n")
        until(b"bound method Driver.serial_stdout_off")
        os.write(near, b"\x15print(6 * 7)\n")
        until(b"42")
        # A block with a blank line, indented as it stood where it was copied, and a name of a PV.
        os.write(near, b"\x1b[200~    def f():\n        x = 40\n\n        return x + 3\n\n    print(f())\x1b[201~\n")
        until(b"43\r\n")
        # A piece of a function is no program.
        os.write(near, b"\x1b[200~x = 1\nreturn x\x1b[201~\n")
        until(b"'return' outside function")
        os.write(near, b"print('caget P:VO\t'.lower())\n")
        until(b"caget p:volt-rb\r\n")
        os.write(near, b"exit()\n")
        try:
            while os.read(near, 4096):
                pass
        except OSError:
            pass  # the terminal is closed
        self.assertEqual(process.wait(10), 0)
        os.close(near)
        self.assertIn("print(6 * 7)", history.read_text())
        self.assertEqual(history.stat().st_mode & 0o777, 0o600)
        self.peer.close()
