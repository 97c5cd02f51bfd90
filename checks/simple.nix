{ nixosTest, iocMachine, ... }:

nixosTest {
  name = "simple";

  # The IOC, its simulators, caget and caput: tool/nix/machine.nix.  Anything that NixOS can do may be added.
  nodes.machine = {
    imports = [ iocMachine ];
  };

  testScript = builtins.readFile ./simple.py;
}
