machine.wait_for_unit("simulator.service")
machine.wait_for_open_port(9999)
machine.wait_for_closed_port(9998, timeout=5)
with t.assertRaises(Exception):
    machine.wait_for_open_port(9998, timeout=1)
machine.succeed("(sleep 0.2; touch /tmp/made-later) >/dev/null 2>&1 &")
machine.wait_for_file("/tmp/made-*", timeout=5)
machine.succeed("(exec nc -k -l -U /tmp/socket) </dev/null >/dev/null 2>&1 &")
machine.wait_for_open_unix_socket("/tmp/socket", timeout=5)
