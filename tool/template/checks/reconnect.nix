{ nixosTest, iocMachine, ... }:

nixosTest {
  name = "reconnect";

  nodes.machine = {
    imports = [ iocMachine ];
  };

  testScript = builtins.readFile ./reconnect.py;
}
