{
  nixosTest,
  iocMachine,
  epnix,
  ...
}:

# An IOC on one machine, Channel Access clients on another.
nixosTest {
  name = "network";

  nodes.server = {
    imports = [ iocMachine ];
    environment.epics.openCAFirewall = true;
  };

  nodes.client = {
    environment.systemPackages = [ epnix.epics-base ];
    # Replies to a search come from a port that the client did not ask.
    networking.firewall.enable = false;
  };

  testScript = builtins.readFile ./network.py;
}
