{
  description = "EPICS IOC, tested against a device simulator in NixOS virtual machines";

  inputs.epnix.url = "github:epics-extensions/epnix/nixos-26.05";

  outputs = { self, epnix }: import ./nix { inherit self epnix; };
}
