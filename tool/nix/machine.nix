# NixOS module of a check's machine: ioc.service, one service for each simulator of ioc.toml, caget and caput.
{
  epnixLib,
  iocService,
  project,
}:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  simulators = lib.attrNames project.simulators;
  units = map (name: "${name}.service") simulators;

  # A simulator of your own can come from the overlay in flake.nix.
  packages = pkgs // pkgs.epnix;

  service =
    name:
    { package, port, ... }:
    {
      description = "Simulator ${name}, TCP port ${toString port}";
      wantedBy = [ "multi-user.target" ];
      serviceConfig = {
        ExecStart = lib.getExe (project.find "simulators.${name}.package" "simulator" packages package);
        # A simulator that never listens fails by itself, before the check's own limits are reached.
        TimeoutStartSec = lib.mkDefault 120;
      };
      # Active means that the port answers: an IOC that connects earlier tries again only 20 s later.
      postStart = ''
        until : </dev/tcp/localhost/${toString port}; do
          kill -0 "$MAINPID" # fails at once when the simulator is gone
          sleep 0.05
        done 2>/dev/null
      '';
    };

  ready = pkgs.writeShellScript "ioc-ready" (builtins.readFile ./ioc-ready.sh);

  listeners =
    lib.mapAttrsToList (name: simulator: {
      name = "simulator ${name}";
      inherit (simulator) port;
    }) project.simulators
    ++ lib.mapAttrsToList (name: ioc: {
      name = "procServ of services.iocs.${name}";
      inherit (ioc.procServ) port;
    }) config.services.iocs;
in
{
  imports = [
    epnixLib.nixosModule
    iocService
  ];

  assertions = map (message: {
    assertion = false;
    inherit message;
  }) (project.portConflicts listeners);

  systemd.services = lib.mapAttrs service project.simulators // {
    # EPNix sets network-online.target by mkDefault, so any other definition replaces it: hence it is repeated.
    ioc = rec {
      wants = [ "network-online.target" ] ++ units;
      after = wants;
      # The journal is read by scripts.
      environment.NO_COLOR = lib.mkDefault "1";
      # Active means that clients are served. As root (`+`), which may look at the IOC's sockets.
      serviceConfig.ExecStartPost = [
        "+${ready} ${toString config.services.iocs.ioc.procServ.port}"
      ];
    };
  };

  environment.systemPackages = [ pkgs.epnix.epics-base ];
}
