# NixOS module: the IOC as ioc.service, those of [iocs.NAME] as NAME.service.  For the machines of checks and for your own; the machine must have
# EPNix's module, too.  Options: services.iocs of EPNix.
{ self, project }:
{ lib, pkgs, ... }:
{
  services.iocs = lib.mapAttrs (name: ioc: {
    # The very build that the checks test, whatever nixpkgs the machine has.
    package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.default;
    # The only one has a name that says nothing.
    description = lib.mkDefault "EPICS IOC ${if name == "ioc" then ioc.app else name}";
    workingDirectory = "iocBoot/${ioc.ioc}";
    startupScript = "./${ioc.script}";
    procServ.port = lib.mkDefault project.places.${name};
  }) project.iocs;

  # Here, so that systemd.services and services.iocs of a machine both go before it.
  systemd.services = lib.mapAttrs (_: ioc: {
    # systemd reads % as the start of a word of its own.
    environment = lib.mapAttrs (
      _: value: lib.mkDefault (builtins.replaceStrings [ "%" ] [ "%%" ] value)
    ) ioc.environment;
  }) project.iocs;
}
