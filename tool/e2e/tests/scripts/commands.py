def run(command, **more):
    return machine.execute(command, **more)

# A fresh bash each time, in /tmp, as root.
t.assertEqual(run("pwd; id -u; echo $HOME $USER; export A=1; cd /; f() { :; }"), (0, "/tmp\n0\n/root root\n"))
t.assertEqual(run("pwd; echo ${A-unset}; type f 2>/dev/null || echo none"), (0, "/tmp\nunset\nnone\n"))
# set -euo pipefail; SIGPIPE is ignored.
t.assertEqual(run("false; echo not reached"), (1, ""))
t.assertEqual(run("echo $(false) $1")[0], 1)
t.assertEqual(run("false | true")[0], 1)
t.assertEqual(run("yes | head -n 1"), (1, "y\n"))
t.assertEqual(run("exit 7"), (7, ""))
t.assertEqual(run("no-such-program"), (127, ""))
t.assertEqual(run("kill -9 $$")[0], 137)
# Only stdout comes back, decoded with replacement; stdin is empty.
t.assertEqual(run(r"echo out; echo err >&2; printf '\377'"), (0, "out\n\ufffd"))
t.assertEqual(run("cat; echo end"), (0, "end\n"))
# A limit ends the process group with SIGTERM: 124, with what was said until then.
t.assertEqual(run("trap 'echo got TERM; exit 9' TERM; echo said; sleep infinity & wait", timeout=2), (124, "said\ngot TERM\n"))
t.assertEqual(run("exec >/dev/null; sleep 0.3; exit 3", timeout=0.1), (124, ""))
# All holders of stdout count.
t.assertEqual(run("(sleep 0.2; echo late) &"), (0, "late\n"))
# What has lost its parent is waited for by PID 1.
machine.succeed("(sleep 0.1 & echo $! > /tmp/orphan) > /dev/null")
machine.wait_until_fails("test -e /proc/$(cat /tmp/orphan)", timeout=60)
# Longer than one argument may be.
t.assertEqual(run(": " + "x" * 300_000 + "; cat; echo $#; f() { echo \"it's\"; }; f\n"), (0, "0\nit's\n"))
t.assertEqual(machine.succeed("echo a", "echo b"), "a\nb\n")
t.assertEqual(machine.fail("echo no; false"), "no\n")
t.assertEqual(machine.fail("sleep 100", timeout=1), "")
for call, text in [
    (lambda: machine.succeed("true", "exit 4", "touch /tmp/not-run"), "command `exit 4` failed (exit code 4)"),
    (lambda: machine.fail("true"), "command `true` unexpectedly succeeded"),
    (lambda: machine.succeed("sleep 100", timeout=1), "command `sleep 100` failed (exit code 124)"),
]:
    with t.assertRaises(Exception) as caught:
        call()
    t.assertEqual(str(caught.exception), text)
machine.fail("test -e /tmp/not-run")
t.assertEqual(machine.execute("sleep 1000 & echo", check_output=False), (-2, ""))
t.assertEqual(machine.succeed("echo in step"), "in step\n")
