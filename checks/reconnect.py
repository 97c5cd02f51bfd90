start_all()

machine.wait_for_unit("ioc.service")
machine.wait_until_succeeds("caget VOLT-RB", timeout=10)
ioc = machine.get_unit_property("ioc.service", "MainPID")

with subtest("the device goes away"):
    machine.systemctl("stop simulator.service")
    machine.wait_for_closed_port(9999)
    # An exchange that fails makes the record INVALID.
    machine.succeed("caput -w 10 VOLT 1")
    machine.wait_until_succeeds("caget -t VOLT-RB.SEVR | grep -qxF INVALID", timeout=20)

with subtest("the device comes back"):
    machine.systemctl("start simulator.service")
    machine.wait_for_open_port(9999)
    # asyn tries to connect every 20 s. Then VOLT reads what the device has, and forgets what was just put.
    machine.wait_until_succeeds("caput -c VOLT 12 && caget -t VOLT-RB | grep -qxF 12", timeout=60)

with subtest("the IOC was never restarted"):
    t.assertEqual(ioc, machine.get_unit_property("ioc.service", "MainPID"))
