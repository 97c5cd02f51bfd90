"""What a script does with a running machine: commands, units, ports, copies, console."""
import os
import shutil
import socket
import tempfile
import threading
import unittest
from pathlib import Path

from .. import handover, vm
from ..errors import MachineError, NotInSandbox, RequestedAssertionFailed
from ..vm import seconds
from .base import InProcess


class Commands(InProcess):
    def test_succeed_and_fail(self):
        m = self.machine
        self.assertEqual(m.succeed("echo a", "printf b", "echo c"), "a\nbc\n")
        self.assertEqual(m.succeed(), "")
        with self.assertRaisesRegex(RequestedAssertionFailed, r"^command `echo x; exit 9` failed \(exit code 9\)$"):
            m.succeed("true", "echo x; exit 9", "echo never")
        self.assertIn("machine: output: x", self.log())
        self.assertEqual(m.fail("echo x; false", "exit 2"), "x\n")
        with self.assertRaisesRegex(RequestedAssertionFailed, "^command `true` unexpectedly succeeded$"):
            m.fail("true")

    def test_wait_until(self):
        m = self.machine
        self.assertEqual(m.wait_until_succeeds("echo x >>n; [ $(wc -l <n) -ge 2 ]; cat n"), "x\nx\n")
        self.assertEqual(m.wait_until_fails("echo out; false", timeout=5), "out\n")
        with self.assertRaisesRegex(RequestedAssertionFailed, r"timed out after .*\(timeout=0\)"):
            m.wait_until_succeeds("echo y >>n; false", timeout=0)
        self.assertEqual(m.succeed("cat n"), "x\nx\ny\n")

    def test_a_command_that_hangs_on_its_background_is_explained(self):
        old, vm.NOTE_EVERY = vm.NOTE_EVERY, 0.05
        self.addCleanup(setattr, vm, "NOTE_EVERY", old)
        self.assertEqual(self.machine.execute("sleep 0.3 & echo started"), (0, "started\n"))
        note = "machine: still waiting for `sleep 0.3 & echo started`: it runs, or what it left in the background"
        self.assertTrue(any(line.startswith(note) for line in self.log()), self.log())

    def test_commands_of_several_threads_do_not_mix(self):
        self.machine.connect()
        results = {}

        def run(i):
            results[i] = self.machine.execute(f"sleep 0.0{9 - i}; echo {i}")

        threads = [threading.Thread(target=run, args=(i,)) for i in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results, {i: (0, f"{i}\n") for i in range(10)})

    def test_refused_request_is_named(self):
        self.machine.connect()
        far = self.peer.machines["machine"]
        far.serve = lambda head, _body: far.reply({"id": head["id"], "error": "command is not text"})
        with self.assertRaisesRegex(MachineError, "machine refused the command `x`: command is not text"):
            self.machine.execute("x")

    def test_user(self):
        self.peer.add_program("su", "#!/bin/sh\necho \"$@\"\n")
        _status, said = self.machine.systemctl("show 'x y'", "joe")
        self.assertEqual(said, "-l joe --shell /bin/sh -c XDG_RUNTIME_DIR=/run/user/`id -u` systemctl --user show 'x y'\n")
        with self.assertRaisesRegex(AssertionError, "produced invalid output"):
            self.machine.wait_for_unit("a", "joe")
        self.assertIn("machine: waiting for unit a with user joe", self.log())


class Copies(InProcess):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="source ")
        self.addCleanup(folder.cleanup)
        self.source = Path(folder.name) / "tree"
        (self.source / "sub").mkdir(parents=True)
        (self.source / "a.sh").write_text("#!/bin/sh\necho ü\n")
        (self.source / "a.sh").chmod(0o750)
        (self.source / "sub" / "b").write_bytes(bytes(range(256)))
        self.inside = self.peer.top / "in side"

    def test_into_the_machine(self):
        m, inside = self.machine, self.inside
        m.copy_from_host(str(self.source / "a.sh"), str(inside / "deep" / "x.sh"))
        self.assertEqual(m.succeed(f"'{inside}/deep/x.sh'; stat -c %a '{inside}/deep/x.sh'"), "ü\n750\n")
        m.copy_from_host(self.source, inside / "t")
        m.copy_from_host(self.source, inside / "t")
        self.assertEqual((inside / "t/tree/sub/b").read_bytes(), bytes(range(256)))
        m.copy_from_host_via_shell(self.source / "sub" / "b", "via/shell")
        self.assertEqual((self.peer.top / "via/shell").read_bytes(), bytes(range(256)))
        with self.assertRaises(FileNotFoundError):
            m.copy_from_host(self.source / "none", "/tmp/x")
        self.assertEqual(list(m.shared_dir.iterdir()), [])

    def test_out_of_the_machine(self):
        m = self.machine
        m.copy_from_machine(str(self.source / "a.sh"), "logs")
        m.copy_from_vm(str(self.source))
        m.copy_from_vm(str(self.source / "a.sh"), "logs")
        self.assertEqual((m.out_dir / "logs/a.sh").read_text(), "#!/bin/sh\necho ü\n")
        self.assertEqual((m.out_dir / "tree/sub/b").read_bytes(), bytes(range(256)))
        with self.assertRaises(FileExistsError):
            m.copy_from_machine(str(self.source))
        with self.assertRaises(RequestedAssertionFailed):
            m.copy_from_machine("/nonexistent/x")

    def test_links_lead_into_what_is_copied_only(self):
        m, tree = self.machine, self.source
        (tree / "sub" / "up").symlink_to("../a.sh")
        (tree / "twice").symlink_to("sub/up")
        (tree / "folder").symlink_to("sub")
        m.copy_from_machine(tree)
        copy = m.out_dir / "tree"
        for name in ("sub/up", "twice", "folder/up"):
            self.assertEqual((copy / name).read_text(), "#!/bin/sh\necho ü\n")
        self.assertFalse([path for path in copy.rglob("*") if path.is_symlink()])
        secret = tree.parent / "secret"
        secret.write_text("not the machine's")
        for text in (str(secret), "../secret", "sub/../../secret", "../../etc/passwd", "bad", "."):
            evil = tree.parent / "evil"
            (evil / "sub").mkdir(parents=True)
            (evil / "bad").symlink_to(text)
            with self.assertRaises(handover.Refused, msg=text) as caught:
                m.copy_from_machine(evil, text.replace("/", "-"))
            self.assertIn(f"'{evil}/bad'", str(caught.exception))
            shutil.rmtree(evil)
        (tree.parent / "itself").symlink_to(secret)
        with self.assertRaisesRegex(handover.Refused, "is a link"):
            m.copy_from_machine(tree.parent / "itself")
        self.assertNotIn("not the machine's", "".join(p.read_text(errors="replace") for p in m.out_dir.rglob("*")
                                                      if p.is_file()))
        self.assertEqual(list(m.shared_dir.iterdir()), [])

    def test_what_is_no_file_is_refused_and_blocks_nobody(self):
        m = self.machine
        m.succeed("true")
        shared = os.open(m.shared_dir, handover.FOLDER)
        self.addCleanup(os.close, shared)
        for make in (lambda path: os.mkfifo(path), lambda path: os.symlink("/dev/zero", path),
                     lambda path: socket.socket(socket.AF_UNIX).bind(str(path))):
            make(m.shared_dir / "x")
            with self.assertRaises(OSError):
                handover.take(shared, "x", m.out_dir / "x", "/tmp/x")
            self.assertFalse((m.out_dir / "x").exists())
            (m.shared_dir / "x").unlink()

    def test_nothing_is_written_through_a_link(self):
        m = self.machine
        victim = self.source.parent / "victim"
        victim.write_text("old")
        (m.shared_dir / "a.sh").symlink_to(victim)
        (m.shared_dir / "tree").symlink_to(self.source.parent)
        shared = os.open(m.shared_dir, handover.FOLDER)
        self.addCleanup(os.close, shared)
        for source in (self.source / "a.sh", self.source):
            with self.assertRaises(FileExistsError):
                handover.put(source, shared, source.name)
        self.assertEqual(victim.read_text(), "old")
        (m.shared_dir / "a.sh").unlink()
        (m.shared_dir / "tree").unlink()

    def test_holes_stay_holes_and_set_user_id_is_dropped(self):
        m = self.machine
        big = self.source / "big"
        with open(big, "wb") as file:
            file.truncate(1 << 30)
            file.seek(1 << 29)
            file.write(b"x")
        big.chmod(0o6755)
        m.copy_from_machine(big)
        copied = (m.out_dir / "big").stat()
        self.assertEqual((copied.st_size, copied.st_mode & 0o7777), (1 << 30, 0o755))
        self.assertLess(copied.st_blocks * 512, 1 << 24)


class Console(InProcess):
    def test_text_is_found_over_line_ends_and_taken_once(self):
        m = self.machine
        m.succeed("echo one >&2; echo two >&2; echo three >&2")
        m.wait_for_console_text("onetw")
        m.wait_for_console_text("^three$")
        self.assertEqual(m.get_console_log(), "one\ntwo\nthree")
        self.assertIn("machine: waiting for onetw to appear on console", self.log())

    def test_with_a_timeout_one_line_is_taken_at_a_time(self):
        m = self.machine
        m.succeed("seq 100 >&2")
        m.wait_for_console_text("^1", timeout=1)
        with self.assertRaises(RequestedAssertionFailed):
            m.wait_for_console_text("100", timeout=1)
        m.wait_for_console_text("100")

    def test_a_bad_expression_is_pythons_error(self):
        import re
        with self.assertRaises(re.error):
            self.machine.wait_for_console_text("(", timeout=3)

    def test_a_machine_that_is_down_is_an_error_not_a_hang(self):
        self.machine.succeed("true")
        self.peer.machines["machine"].end(137)
        with self.assertRaisesRegex(MachineError, "it was killed by signal 9"):
            self.machine.wait_for_console_text("never")

    def test_serial_switch(self):
        self.driver.serial_stdout_off()
        self.machine.succeed("echo hidden >&2; echo next >&2")
        self.machine.wait_for_console_text("next")  # so the line before it is dealt with
        self.driver.serial_stdout_on()
        self.machine.succeed("echo shown >&2")
        self.machine.crash()  # waits for the last line
        self.assertNotIn("machine # hidden", self.log())
        self.assertIn("machine # shown", self.log())


class Refusals(InProcess):
    def test_functions_of_virtual_machines_name_themselves(self):
        m = self.machine
        for name in ("screenshot", "send_key", "get_tty_text", "wait_for_x", "send_monitor_command", "switch_root"):
            with self.assertRaisesRegex(NotInSandbox, rf"^machine\.{name}\(\) is not in the sandbox: .*\nhint: .*--backend"):
                getattr(m, name)("x")
        symbols = self.driver.test_symbols(show=False)
        with self.assertRaisesRegex(NotInSandbox, r"^create_machine\(\) "):
            symbols["create_machine"]("qemu", name="x")
        with self.assertRaisesRegex(NotInSandbox, r"^vlan1\.stop\(\) "):
            symbols["vlan1"].stop()
        with self.assertRaisesRegex(NotInSandbox, "on this terminal only"):
            m.shell_interact("tcp:127.0.0.1:4444")
        self.assertFalse(m.booted)


class Timeouts(unittest.TestCase):
    def test_seconds(self):
        for given, want in ((None, None), (0, None), ("0", None), (2, 2.0), ("3", 3.0), ("1.5m", 90.0), ("2h", 7200.0),
                            (float("inf"), None)):
            self.assertEqual(seconds(given), want, given)
        for bad in (-1, "x", "", "1w", float("nan")):
            with self.assertRaises(ValueError):
                seconds(bad)
