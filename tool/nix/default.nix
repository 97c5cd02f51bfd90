# Every output of flake.nix.  What they are for: docs/nix.md.
{ self, epnix }:
let
  inherit (epnix.inputs.nixpkgs) lib;

  project = (import ./project.nix).load ../.;

  pkgsFor =
    lib.genAttrs
      [
        "x86_64-linux"
        "aarch64-linux"
      ]
      (
        system:
        import epnix.inputs.nixpkgs {
          inherit system;
          overlays = [
            epnix.overlays.default
            self.overlays.default
          ];
        }
      );
  forEachSystem = f: lib.mapAttrs (_: f) pkgsFor;

  checksFor =
    pkgs:
    import ./checks.nix {
      inherit project pkgs;
      iocService = self.nixosModules.ioc;
    };
in
{
  # Goes on top of EPNix's own overlay.  Packages of your own, such as a simulator, belong here.
  overlays.default = final: _: {
    ${project.pname} = final.callPackage ./package.nix { inherit project; };
  };

  packages = forEachSystem (pkgs: {
    default = pkgs.${project.pname};
  });

  checks = forEachSystem (pkgs: (checksFor pkgs).kvm);
  legacyPackages = forEachSystem (pkgs: {
    inherit (checksFor pkgs) tcg sandbox;
  });

  nixosModules.ioc = lib.modules.importApply ./service.nix { inherit self project; };

  devShells = forEachSystem (pkgs: {
    default = pkgs.callPackage ./shell.nix { ioc = pkgs.${project.pname}; };
  });

  formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);

  hydraJobs = {
    inherit (self) packages checks;
  };

  templates.default = {
    path = ../.;
    description = "EPICS IOC, tested against a device simulator by cargo xtask";
  };
}
