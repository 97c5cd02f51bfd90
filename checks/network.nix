{
  nixosTest,
  iocMachine,
  epnix,
  epnixLib,
  ...
}:

# An IOC on one machine, Channel Access clients on another.
let
  # The machines of a test have no broadcast address by themselves: without this, a search stays on its machine.
  search.environment.epics.ca_addr_list = [ "192.168.1.255" ];
in
nixosTest {
  name = "network";

  nodes.server = {
    imports = [
      iocMachine
      search
    ];
    environment.epics.openCAFirewall = true;
  };

  nodes.client = {
    imports = [
      epnixLib.nixosModule
      search
    ];
    environment.systemPackages = [ epnix.epics-base ];
    # Replies to a search come from a port that the client did not ask.
    networking.firewall.enable = false;
  };

  testScript = builtins.readFile ./network.py;
}
