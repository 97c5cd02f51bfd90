# Every output of flake.nix, which calls this.  What they are for: tool/docs/nix.md.
{
  # The flake's inputs: self, epnix and any of the project's own.
  inputs,
  # Packages of the project's own and of its site, on top of nixpkgs, EPNix and the IOC.
  overlays ? [ ],
  systems ? [
    "x86_64-linux"
    "aarch64-linux"
  ],
}:
let
  inherit (inputs) self epnix;
  inherit (epnix.inputs.nixpkgs) lib;

  # The one place that knows where the project is.
  project = (import ./project.nix).load ../..;

  pkgsFor = lib.genAttrs systems (
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
  # Goes on top of EPNix's own overlay.
  overlays.default = lib.composeManyExtensions (
    [
      (final: _: {
        ${project.pname} = final.callPackage ./package.nix { inherit project; };
      })
    ]
    ++ overlays
  );

  packages = forEachSystem (pkgs: {
    default = pkgs.${project.pname};
  });

  checks = forEachSystem (pkgs: (checksFor pkgs).kvm);
  legacyPackages = forEachSystem (pkgs: {
    inherit (checksFor pkgs) tcg sandbox;
    # What the unit tests of ioc/ say, one file each; the package's own build stops where one fails.
    unit = pkgs.${project.pname}.overrideAttrs (ioc: {
      pname = "${ioc.pname}-unit-tests";
      doCheck = true;
      # The rules of gtest stop at a test that fails.
      checkPhase = ''
        timeout --kill-after=10 3600 make "''${makeFlags[@]}" -k tapfiles || touch make-failed
      '';
      postInstall = ''
        ${ioc.postInstall or ""}
        mkdir -p $out/tap
        find . -path '*/O.*/*.tap' -exec sh -c 'for tap; do stat -c "%.W %.Y" "$tap" > "$tap.times"; done' - {} +
        find . \( -path ./make-failed -o -path '*/O.*/*.tap*' -o -path '*/O.*/.taps-failed.log' \
          -o -path '*/O.*/*.make' -o -path '*/O.*/.*.run' \) -exec cp --parents -t $out/tap {} +
      '';
    });
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
    path = project.root;
    description = "EPICS IOC, tested against a device simulator by cargo xtask";
  };
}
