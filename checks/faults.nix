{ nixosTest, iocMachine, ... }:

# A device that answers nonsense, or nothing.
nixosTest {
  name = "faults";

  nodes.machine = {
    imports = [ iocMachine ];
    # A port before the simulator's own: what goes through there, `fault` spoils.
    faults.simulator = 9998;
    systemd.services.ioc.environment.PSU_ADDRESS = "localhost:9998";
  };

  testScript = builtins.readFile ./faults.py;
}
