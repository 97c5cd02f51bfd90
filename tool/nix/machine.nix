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
    name: simulator:
    let
      port = toString simulator.port;
      program = lib.getExe (
        project.find "simulators.${name}.package" "simulator" packages simulator.package
      );
      files = lib.filter (path: path != null) [
        (simulator.serial or null)
        (simulator.ready or null)
      ];
      up =
        lib.optional (simulator ? port) ": </dev/tcp/localhost/${port}"
        ++ map (path: "[ -e ${path} ]") files;
    in
    {
      description = "Simulator ${name}" + lib.optionalString (simulator ? port) ", TCP port ${port}";
      wantedBy = [ "multi-user.target" ];
      # One of an earlier run says nothing.
      preStart = lib.mkIf (files != [ ]) "rm -f ${toString files}";
      serviceConfig = {
        ExecStart =
          if simulator ? serial then
            "${lib.getExe pkgs.python3} ${serial} ${simulator.serial} ${program}"
          else
            program;
        # A simulator that never listens fails by itself, before the check's own limits are reached.
        TimeoutStartSec = lib.mkDefault 120;
      };
      # Active means that it is there: an IOC that connects earlier tries again only 20 s later.
      postStart = ''
        until ${lib.concatStringsSep " && " up}; do
          kill -0 "$MAINPID" # fails at once when the simulator is gone
          sleep 0.05
        done 2>/dev/null
        kill -0 "$MAINPID"
      '';
    };

  serial = pkgs.writeText "serial.py" (builtins.readFile ./serial.py);

  ready = pkgs.writeShellScript "ioc-ready" (builtins.readFile ./ioc-ready.sh);

  listeners =
    lib.mapAttrsToList (name: simulator: {
      name = "simulator ${name}";
      inherit (simulator) port;
    }) (lib.filterAttrs (_: simulator: simulator ? port) simulators)
    ++ lib.mapAttrsToList (name: port: {
      name = "faults.${name}";
      inherit port;
    }) config.faults
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
      # EPNix starts one that is off not by itself, but leaves it to be started.
      enable = lib.mkDefault config.services.iocs.${name}.enable;
      wants = [ "network-online.target" ] ++ units;
      after = wants;
      environment = {
        # The journal is read by scripts.
        NO_COLOR = lib.mkOverride 1100 "1";
      }
      # Where the simulators are goes before what ioc.toml says of the IOC, and a check's word before that.
      // lib.mapAttrs (_: value: lib.mkOverride 900 (builtins.replaceStrings [ "%" ] [ "%%" ] value)) (
        lib.mergeAttrsList (map (simulator: simulator.environment or { }) (lib.attrValues (beside name)))
      );
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
    (lib.modules.importApply ./faults.nix { inherit beside project; })
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

  environment.systemPackages = [
    pkgs.epnix.epics-base
  ]
  # Before what else there is: as /machine/bin of the sandbox.
  ++ map (
    folder:
    lib.hiPrio (
      pkgs.runCommand "programs" { } ''
        mkdir $out
        cp -r ${project.root + "/${folder}"} $out/bin
      ''
    )
  ) project.path
  # Programs of `path` are in Python as well.
  ++ lib.optional (project.python != [ ] || project.path != [ ]) (
    pkgs.python3.withPackages (
      packages: map (project.find "python" "python3Packages" packages) project.python
    )
  );
}
