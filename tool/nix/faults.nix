# NixOS module of a check's machine: what spoils the answers of simulators (tool/docs/checks.md, "A device that fails").
{ project }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  fault = pkgs.writers.writePython3Bin "fault" { doCheck = false; } (
    builtins.readFile ../driver/fault.py
  );

  # The same unit as in the sandbox.
  relay =
    name: port:
    let
      target =
        project.simulators.${name}.port
          or (throw "faults.${name}: there is no such simulator with a TCP port\nhint: those of ioc.toml are ${lib.concatStringsSep ", " (lib.attrNames project.simulators)}");
    in
    lib.nameValuePair "${name}-faults" {
      description = "Faults of simulator ${name}";
      wantedBy = [ "multi-user.target" ];
      after = [ "${name}.service" ];
      before = map (ioc: "${ioc}.service") (lib.attrNames config.services.iocs);
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
