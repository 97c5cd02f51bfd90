# NixOS module of every virtual machine in a check: what makes it start sooner.
{ lib, ... }:
{
  # Nobody reads manuals in there, and their index takes long to build.
  documentation.enable = lib.mkDefault false;

  # Nothing is built in there, so the Nix store's database need not be loaded at boot.
  nix.enable = lib.mkDefault false;

  # dhcpcd would probe for 5 s whether QEMU's only address is taken; the IOC waits for the network.
  networking.dhcpcd.extraConfig = "noarp";

  # No window to draw; an interactive run has one (checks.nix).
  virtualisation.graphics = lib.mkDefault false;

  # MiB.  Out of memory is a kernel panic in a test; QEMU takes from the host only what is used.
  virtualisation.memorySize = lib.mkDefault 2048;
}
