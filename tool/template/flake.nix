{
  description = "EPICS IOC, tested against a device simulator in NixOS virtual machines";

  inputs.epnix.url = "github:epics-extensions/epnix/nixos-26.05";

  # What each output is for, and how to add inputs, overlays and support modules: tool/docs/nix.md.
  outputs =
    inputs:
    import ./tool/nix {
      inherit inputs;
      overlays = [
        # Packages of your own, such as a simulator.
        (final: prev: { })
      ];
    };
}
