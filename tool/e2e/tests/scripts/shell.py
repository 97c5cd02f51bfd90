# The shell of the IOC, on procServ's port: typed there, and seen there and in the journal.
CLIENT = r'''
import socket
shell = socket.create_connection(("localhost", 2000))
shell.sendall(b"\xff\xfd\x03dbl\r\n")
text = b""
while b"VOLT-RB\r\n" not in text:
    text += shell.recv(4096)
print(text.decode())
'''
machine.wait_for_unit("ioc.service")
pid = machine.get_unit_property("ioc.service", "MainPID")
said = machine.succeed(f"python3 -S -c '{CLIENT}'", timeout=30)
t.assertIn("The shell of the IOC", said)
machine.wait_until_succeeds("journalctl -u ioc -o cat | grep 'VOLT-RB$'", timeout=60)
t.assertEqual(machine.get_unit_property("ioc.service", "MainPID"), pid)
machine.execute("printf 'exit\\n' | timeout 5 nc localhost 2000")
# It ends the IOC, which starts again.
machine.wait_until_succeeds("test $(systemctl show -P NRestarts ioc) = 1", timeout=60)
machine.wait_for_unit("ioc.service")
machine.succeed("caget VOLT")
