DATAGRAMS = """
import signal, socket
taker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
taker.bind("/tmp/datagrams")
signal.pause()
"""
machine.wait_for_unit("simulator.service")
machine.wait_for_open_port(9999)
machine.wait_for_open_port("9999", "127.0.0.1")
machine.wait_for_closed_port(9998, timeout=60)
for call in [
    lambda: machine.wait_for_closed_port(9999, timeout=1),
    lambda: machine.wait_for_open_port(9998, timeout=1),
    lambda: machine.wait_for_open_port(99999, timeout=1),
    lambda: machine.wait_for_open_port("http", timeout=1),
    lambda: machine.wait_for_open_unix_socket("/none", timeout=1),
    lambda: machine.wait_for_file("/none", timeout=1),
]:
    with t.assertRaisesRegex(Exception, "timed out"):
        call()
machine.succeed("(sleep 0.2; touch /tmp/made-later) >/dev/null 2>&1 &")
machine.wait_for_file("/tmp/made-*", timeout=60)
machine.succeed("(exec nc -k -l -U /tmp/socket) </dev/null >/dev/null 2>&1 &")
machine.wait_for_open_unix_socket("/tmp/socket", timeout=60)
machine.succeed(f"python3 -S -c '{DATAGRAMS}' > /dev/null 2>&1 &")
machine.wait_for_open_unix_socket("/tmp/datagrams", is_datagram=True, timeout=60)
