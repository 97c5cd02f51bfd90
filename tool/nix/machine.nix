# NixOS module of a check's machine: a service for each IOC and each simulator of ioc.toml, caget and caput.
# services.iocs.NAME.enable = false leaves one out.
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
  running = lib.filterAttrs (_: ioc: ioc.enable) config.services.iocs;
  beside = ioc: lib.filterAttrs (_: simulator: simulator.ioc or ioc == ioc) project.simulators;
  simulators = lib.mergeAttrsList (map beside (lib.attrNames running));

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
    }) simulators
    ++ lib.mapAttrsToList (name: ioc: {
      name = "procServ of services.iocs.${name}";
      inherit (ioc.procServ) port;
    }) running;

  # EPNix sets network-online.target by mkDefault, so any other definition replaces it: hence it is repeated.
  afterSimulators =
    name: _:
    let
      units = map (simulator: "${simulator}.service") (lib.attrNames (beside name));
    in
    rec {
      wants = [ "network-online.target" ] ++ units;
      after = wants;
      # The journal is read by scripts.
      environment.NO_COLOR = lib.mkDefault "1";
      # Active means that clients are served. As root (`+`), which may look at the IOC's sockets.
      serviceConfig.ExecStartPost = [
        "+${ready} ${toString config.services.iocs.${name}.procServ.port}"
      ];
    };
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

  systemd.services = lib.mapAttrs service simulators // lib.mapAttrs afterSimulators project.iocs;

  # A search that is sent to one address reaches one of several servers on a machine only.  Those that the machine's
  # cards give are such, and would find what this finds a second time.
  environment.epics = lib.mkIf (lib.length (lib.attrNames running) > 1) {
    ca_addr_list = [ "127.255.255.255" ];
    ca_auto_addr_list = lib.mkDefault false;
  };

  environment.systemPackages = [ pkgs.epnix.epics-base ];
}
