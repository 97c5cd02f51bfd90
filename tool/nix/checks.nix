# Every checks/NAME.nix as a NixOS test, { kvm.NAME, tcg.NAME }, and what the sandbox runs of it: sandbox.NAME.
#
# A check is a function.  It gets by name:
#   nixosTest   makes the test from name, nodes, testScript and what else NixOS tests have
#   iocMachine  NixOS module: the IOC, its simulators, caget and caput (machine.nix)
#   iocService  NixOS module: only the IOC (service.nix)
#   and all packages: lib, epnix, epnixLib, python3, …
{
  project,
  pkgs,
  iocService,
}:
let
  inherit (pkgs) lib;

  iocMachine =
    settings:
    lib.modules.importApply ./machine.nix {
      project = project // {
        python = project.python ++ settings.python or [ ];
        path = project.path ++ settings.path or [ ];
      };
      inherit iocService;
      inherit (pkgs) epnixLib;
    };

  common = {
    # EPNix's module brings its overlay, which read-only packages refuse.
    node.pkgsReadOnly = false;
    defaults = {
      imports = [ ./vm.nix ];
      nixpkgs.pkgs = lib.mkDefault pkgs;
    };
    # The window to log in to.
    interactive.defaults.virtualisation.graphics = true;
    extraPythonPackages = python: lib.optional (lib.pathExists helpers) (modules python);
  };

  # What test scripts may import: checks/lib/.  A module becomes a package, because the type checks of NixOS look only into
  # packages, and only those that say that they have types.
  helpers = project.root + "/checks/lib";
  modules =
    python:
    python.toPythonModule (
      pkgs.runCommand "checks-lib" { } ''
        site=$out/${python.python.sitePackages}
        mkdir -p "$site"
        # A module becomes a folder: a link to one has to be a copy.
        cp -r --no-preserve=mode ${helpers} lib
        find lib -xtype l -delete
        lib=$PWD/lib
        cp -rL --no-preserve=mode lib/. "$site"
        cd "$site"
        for file in *.py; do
          [ -f "$file" ] || continue
          mkdir -p "''${file%.py}"
          # What it reads beside itself stays beside it.
          find "$lib" -mindepth 1 -maxdepth 1 ! -name '*.py' ! -exec test -e {}/__init__.py \; \
            -exec cp -rL --no-preserve=mode -t "''${file%.py}" {} +
          mv "$file" "''${file%.py}/__init__.py"
        done
        for package in */; do
          [ -d "$package" ] || continue
          touch "$package/py.typed"
        done
      ''
    );

  # For machines without KVM: QEMU emulates the processor, which is up to 10 times slower.
  emulated = kvm: {
    requiredFeatures.kvm = lib.mkForce false;
    # QEMU merges this into the -machine option that NixOS gives, and the later value wins.
    defaults.virtualisation.qemu.options = [ "-machine accel=tcg" ];
    globalTimeout = lib.mkForce (10 * kvm.config.globalTimeout);
  };

  check =
    modules: name:
    let
      file = "checks/${name}.nix";
      settings = project.settings name;
      # Seconds, as in the sandbox: crates/project/src/settings.rs.
      limit.globalTimeout = lib.mkDefault (settings.timeout or 900);
      result = pkgs.callPackage (project.root + "/${file}") {
        inherit iocService;
        iocMachine = iocMachine settings;
        nixosTest =
          test:
          pkgs.testers.runNixOSTest {
            imports = [
              common
              limit
              (lib.setDefaultModuleLocation file test)
            ]
            ++ modules;
          };
      };
    in
    if result.config.name or name == name then
      result
    else
      throw "${file}: the check in it has the name \"${result.config.name}\", so logs would not tell which file ran\nhint: name = \"${name}\";";

  # A machine with no setting but ours: what it has is not the check's.
  bare =
    (pkgs.testers.runNixOSTest {
      imports = [ common ];
      name = "bare";
      nodes.machine = { };
      testScript = "";
    }).nodes.machine;
in
rec {
  kvm = lib.genAttrs project.checks (check [ ]);
  tcg = lib.mapAttrs (name: test: check [ (emulated test) ] name) kvm;
  sandbox = lib.mapAttrs (
    _: test:
    import ./sandbox.nix {
      inherit bare test;
      inherit (pkgs) writeText;
    }
  ) kvm;
}
