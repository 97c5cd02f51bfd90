start_all()

with subtest("check services"):
    machine.wait_for_unit("ioc.service")
    machine.wait_for_unit("simulator.service")
    machine.wait_for_unit("default.target")

    machine.wait_for_open_port(9999)

    # The IOC is up when its records answer.
    machine.wait_until_succeeds("caget VOLT-RB", timeout=10)
    machine.fail("caget unknown-PV")

with subtest("check voltage"):
    # The device's voltage is 0 at start-up.
    machine.succeed("caget -t VOLT-RB | grep -qxF '0'")

    machine.succeed("caput VOLT 42")

    def voltage_is_42(_last_try):
        status, output = machine.execute("caget -t VOLT-RB | grep -qxF '42'")
        return status == 0

    # `caput` returns before the device has answered. The limit has no name: it is spelled differently from release to release.
    retry(voltage_is_42, 10)
