start_all()

server.wait_for_unit("ioc.service")
client.wait_for_unit("multi-user.target")

with subtest("a client on another machine finds the IOC"):
    client.wait_until_succeeds("caget VOLT-RB", timeout=20)

with subtest("it sets the voltage"):
    client.succeed("caput -c VOLT 7")
    server.wait_until_succeeds("caget -t VOLT-RB | grep -qxF 7", timeout=10)

with subtest("a pulled cable"):
    server.block()
    client.fail("caget VOLT-RB")
    server.unblock()
    client.wait_until_succeeds("caget VOLT-RB", timeout=30)
