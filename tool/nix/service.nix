# NixOS module: the IOC as ioc.service.  For the machines of checks and for your own; the machine must have
# EPNix's module, too.  Options: services.iocs of EPNix.
{ self, project }:
{ lib, pkgs, ... }:
{
  services.iocs.ioc = {
    # The very build that the checks test, whatever nixpkgs the machine has.
    package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.default;
    workingDirectory = "iocBoot/${project.ioc}";
  };
}
