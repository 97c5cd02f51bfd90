{
  description = "EPICS IOC, tested against a device simulator in NixOS virtual machines";

  inputs.epnix.url = "github:epics-extensions/epnix/nixos-26.05";

  # What each output is for: tool/docs/nix.md.
  outputs =
    { self, epnix }:
    import ./tool/nix {
      inherit self epnix;
      # Packages of your own, such as a simulator.
      overlay = final: prev: { };
    };
}
