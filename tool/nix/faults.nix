# NixOS module of a check's machine: what spoils the answers of simulators (tool/docs/checks.md, "A device that fails").
{ beside, project }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  running = lib.filterAttrs (_: ioc: ioc.enable) config.services.iocs;
  here = lib.mergeAttrsList (map beside (lib.attrNames running));

  fault = pkgs.writers.writePython3Bin "fault" { doCheck = false; } (
    builtins.readFile ../driver/fault.py
  );

  # The same unit as in the sandbox.
  relay =
    name: port:
    let
      target =
        here.${name}.port
          or (throw "faults.${name}: there is no such simulator with a TCP port\nhint: those of its machine are ${lib.concatStringsSep ", " (lib.attrNames here)}");
    in
    lib.nameValuePair "${name}-faults" {
      description = "Faults of simulator ${name}";
      wantedBy = [ "multi-user.target" ];
      after = [ "${name}.service" ];
      before = map (ioc: "${ioc}.service") (lib.attrNames running);
      serviceConfig = {
        Type = "notify";
        ExecStart = "${lib.getExe fault} --relay ${name} ${toString port} ${toString target}";
      };
    };
in
{
  options.faults = lib.mkOption {
    type = lib.types.attrsOf lib.types.port;
    default = { };
    example = {
      simulator = 9998;
    };
    description = "A port before that of a simulator, by its name: what goes through there, the script can spoil.";
  };

  config = {
    systemd.services = lib.mapAttrs' relay config.faults;
    environment.systemPackages = lib.optional (config.faults != { }) fault;
  };
}
