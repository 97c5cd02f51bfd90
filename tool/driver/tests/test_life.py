"""The life of machines: start, connect, power off, crash, reboot, cable, release."""
import threading

from ..errors import MachineError
from .base import InProcess


class Life(InProcess):
    def test_start_is_idempotent_and_does_not_wait(self):
        m = self.machine
        self.assertEqual((m.booted, m.connected, m.pid, m.is_up()), (False, False, None, False))
        m.start()
        self.assertEqual((m.booted, m.connected, m.is_up()), (True, False, False))
        first = self.peer.machines["machine"]
        m.start()
        self.driver.start_all()
        self.assertIs(self.peer.machines["machine"], first)
        m.connect()
        self.assertTrue(m.is_up())
        self.assertIsInstance(m.pid, int)

    def test_a_poweroff_that_fails_is_an_error(self):
        self.peer.add_program("poweroff", "#!/bin/sh\nexit 4\n")
        self.machine.succeed("true")
        with self.assertRaisesRegex(MachineError, "machine: poweroff failed: 4"):
            self.machine.shutdown()

    def test_wait_for_shutdown_outlasts_a_reboot(self):
        m = self.machine
        m.start(allow_reboot=True)
        m.execute("systemctl reboot", check_return=False)
        waiter = threading.Thread(target=m.wait_for_shutdown)
        waiter.start()
        m._boot.ended.wait(10)
        self.peer.machines["machine"].end(0)
        waiter.join(10)
        self.assertFalse(waiter.is_alive() or m.booted)

    def test_cable(self):
        with self.assertRaisesRegex(MachineError, "machine is not running: cannot unplug its cable\nhint: "):
            self.machine.block()
        with self.assertRaisesRegex(MachineError, "is not running: cannot reboot"):
            self.machine.reboot()
        self.machine.start()
        self.machine.block()
        self.machine.unblock()
        self.assertEqual(self.peer.links, [("machine", False), ("machine", True)])

    def test_shell_interact_asks_the_host(self):
        self.machine.shell_interact()
        self.assertEqual(self.peer.links, [("machine", "interact")])

    def test_release(self):
        m = self.machine
        m.release()
        m.start(allow_reboot=True)
        m.release()
        self.assertEqual((m.booted, m.pid), (False, None))

    def test_what_has_ended_by_itself_needs_no_killing(self):
        for end in (self.machine.crash, self.machine.release):
            self.machine.execute("poweroff", check_return=False)
            end()
            self.assertFalse(self.machine.booted)

    def test_a_machine_that_cannot_start(self):
        self.peer.refuse = "no namespaces"
        with self.assertRaisesRegex(MachineError, "^no namespaces$"):
            self.machine.start()
        with self.assertRaisesRegex(MachineError, "^Failed to start the following machines:\nmachine: no namespaces$"):
            self.driver.start_all()
        self.assertFalse(self.machine.booted)

    def test_a_machine_that_ends_while_it_starts(self):
        self.machine.start()
        self.peer.machines["machine"].end(1)
        with self.assertRaisesRegex(MachineError, "^machine has no shell to connect to: it ended with status 1$"):
            self.machine.connect()

    def test_the_host_is_gone(self):
        self.machine.succeed("true")
        self.peer.sock.shutdown(2)
        with self.assertRaisesRegex(MachineError, "the sandbox is gone"):
            self.machine.block()
        self.peer.machines["machine"].shell.shutdown(2)
        with self.assertRaisesRegex(MachineError, "machine is down: the sandbox is gone"):
            self.machine.succeed("true")
        self.machine.wait_for_shutdown()


class TwoMachines(InProcess):
    names = ("b", "a")

    def test_start_all_and_join_all(self):
        self.driver.start_all()
        self.assertEqual([m.name for m in self.driver.machines if m.booted], ["a", "b"])
        for machine in self.driver.machines:
            machine.execute("poweroff", check_return=False)
        self.driver.join_all()
        self.assertEqual([m for m in self.driver.machines if m.booted], [])
        self.assertIn("wait for all VMs to finish", self.log())
