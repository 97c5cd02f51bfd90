{ nixosTest, iocMachine, ... }:

# The same IOC twice, each with its own device and its own names.
let
  ioc = prefix: {
    imports = [ iocMachine ];
    # The machines of a test have no broadcast address by themselves: without this, a search stays on its machine.
    environment.epics.ca_addr_list = [ "192.168.1.255" ];
    # Replies to a search come from a port that the client did not ask.
    networking.firewall.enable = false;
    systemd.services.ioc.environment.PREFIX = prefix;
  };
in
nixosTest {
  name = "two-iocs";

  nodes.first = ioc "A:";
  nodes.second = ioc "B:";

  testScript = builtins.readFile ./two-iocs.py;
}
