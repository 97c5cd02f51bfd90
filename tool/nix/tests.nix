# Tests of project.nix, without nixpkgs: tool/nix/test.sh runs them.
# Evaluates to what Nix reads from a project (tool/template/), for others to compare with; throws when a test fails.
let
  inherit (builtins)
    concatStringsSep
    filter
    fromTOML
    map
    match
    removeAttrs
    toJSON
    ;

  project = import ./project.nix;

  toml = text: project.iocTomlProblems (fromTOML text);
  good = ''
    [ioc]
    app = "example"
    ioc = "iocExample"
    support = ["StreamDevice"]
  '';
  simulator = ''
    package = "psu-simulator"
    command = ["psu-simulator", "--seed", "1"]
    port = 9999
  '';

  regular =
    names:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = "regular";
      }) names
    );

  tests = {
    "no simulator" = {
      got = toml good;
      want = [ ];
    };
    "a simulator" = {
      got = toml "${good}[simulators.psu]\n${simulator}";
      want = [ ];
    };
    "tables of others are left alone" = {
      got = toml "${good}[xtask]\nbackend = \"sandbox\"";
      want = [ ];
    };
    "empty file" = {
      got = toml "";
      want = [
        "ioc.toml: [ioc] lacks the key \"app\"\nhint: app = \"example\""
        "ioc.toml: [ioc] lacks the key \"ioc\"\nhint: ioc = \"example\""
      ];
    };
    "unknown key" = {
      got = toml "${good}suport = []";
      want = [
        "ioc.toml: unknown key \"suport\" in [ioc]\nhint: the known keys are app, environment, ioc, script, support"
      ];
    };
    "Python packages that no package can be called" = {
      got = toml "python = [\"a b\"]\n${good}";
      want = [
        "ioc.toml: python = [\"a b\"] is not a list of names of letters, digits, \"_\" and \"-\" (not first)\nhint: python = [\"pyepics\"]"
      ];
    };
    "programs of checks" = {
      got = project.programProblems "checks/a.toml" (fromTOML "path = [\"../x\"]\npython = [\"numpy\"]\ntimeout = 3");
      want = [
        "checks/a.toml: path = [\"../x\"] is not a list of folders of the project\nhint: path = [\"tools\"]"
      ];
    };
    "two simulators at one serial line" = {
      got = toml (
        good
        + builtins.concatStringsSep "" (
          map (n: "[simulators.${n}]\npackage = \"p\"\ncommand = [\"p\"]\nserial = \"/dev/ttyP\"\n") [
            "a"
            "b"
          ]
        )
      );
      want = [ "ioc.toml: /dev/ttyP is the serial line of a and b\nhint: give each a line of its own" ];
    };
    "ioc is no table" = {
      got = toml "ioc = 1";
      want = [ "ioc.toml: ioc is not a table\nhint: [ioc]" ];
    };
    "path as a name" = {
      got = project.iocTomlProblems {
        ioc = {
          app = "../up";
          ioc = "iocExample";
          support = [ ];
        };
      };
      want = [
        "ioc.toml: app = \"../up\" in [ioc] is not a name of letters, digits, \"_\" and \"-\" (not first)\nhint: app = \"example\""
      ];
    };
    "port out of range" = {
      got = toml "${good}[simulators.psu]\npackage = \"p\"\ncommand = [\"p\"]\nport = 65536";
      want = [
        "ioc.toml: port = 65536 in [simulators.psu] is not a TCP port, 1 to 65535\nhint: port = 9999"
      ];
    };
    "port as a text, command empty" = {
      got = toml "${good}[simulators.psu]\npackage = \"p\"\ncommand = []\nport = \"9999\"";
      want = [
        "ioc.toml: command = [] in [simulators.psu] is not a list of strings, the program first\nhint: command = [\"psu-simulator\"]"
        "ioc.toml: port = \"9999\" in [simulators.psu] is not a TCP port, 1 to 65535\nhint: port = 9999"
      ];
    };
    "simulators is no table" = {
      got = toml "simulators = 1\n${good}";
      want = [ "ioc.toml: simulators is not a table\nhint: [simulators.simulator]" ];
    };
    "a simulator called ioc" = {
      got = toml "${good}[simulators.ioc]\n${simulator}";
      want = [
        "ioc.toml: a simulator cannot be called \"ioc\", because ioc.service is the IOC\nhint: [simulators.simulator]"
      ];
    };
    "a simulator that no unit can be called after" = {
      got = toml "${good}[simulators.\"my psu\"]\n${simulator}";
      want = [
        "ioc.toml: \"my psu\" cannot be the name of a simulator, which has only letters, digits, \"_\" and \"-\" (not first)\nhint: [simulators.my-psu]"
      ];
    };

    "several IOCs" = {
      got = toml ''
        [iocs.a]
        app = "x"
        ioc = "iocA"
        environment = { PREFIX = "A:" }
        [iocs.b]
        app = "x"
        ioc = "iocB"
        script = "stTCP.cmd"
        [simulators.psu]
        ${simulator}ioc = "b"
      '';
      want = [ ];
    };
    "one IOC and several" = {
      got = toml "${good}[iocs.a]\napp = \"a\"\nioc = \"b\"";
      want = [
        "ioc.toml: [ioc] is for one IOC, and there is [iocs] for several\nhint: give the one of [ioc] a name, too: [iocs.NAME]"
      ];
    };
    "a simulator at a serial line, one with a file" = {
      got = toml ''
        ${good}[simulators.a]
        package = "a"
        command = ["a"]
        serial = "/dev/ttyPSU"
        environment = { PSU_ADDRESS = "/dev/ttyPSU" }
        [simulators.b]
        package = "b"
        command = ["b"]
        ready = "/run/b/ready"
      '';
      want = [ ];
    };
    "a simulator that is nowhere, one at a line of the machine's own" = {
      got = toml "${good}[simulators.a]\npackage = \"a\"\ncommand = [\"a\"]\n[simulators.b]\npackage = \"a\"\ncommand = [\"a\"]\nserial = \"/dev/ttyS0\"";
      want = [
        "ioc.toml: simulator \"a\" has no port, serial or ready: nobody knows when it is up\nhint: port = 9999"
        "ioc.toml: serial = \"/dev/ttyS0\" in [simulators.b] is not a tty that no machine has by itself\nhint: serial = \"/dev/ttyPSU\""
      ];
    };
    "a simulator of nobody" = {
      got = toml "${good}[simulators.psu]\n${simulator}ioc = \"b\"";
      want = [
        "ioc.toml: simulator \"psu\" is of an IOC \"b\", which is not there\nhint: the IOCs are ioc"
      ];
    };
    "a script elsewhere, a variable that is none" = {
      got = toml "${good}script = \"../st.cmd\"\nenvironment = { \"1\" = \"\" }";
      want = [
        "ioc.toml: environment = {\"1\":\"\"} in [ioc] is not a table of texts, by names of variables that the unit does not set itself (EPICS_CA_ADDR_LIST, EPICS_CA_AUTO_ADDR_LIST, EPICS_IOCSH_HISTFILE, PATH)\nhint: environment = { PREFIX = \"A:\" }"
        "ioc.toml: script = \"../st.cmd\" in [ioc] is not the name of a file in the boot folder\nhint: script = \"st.cmd\""
      ];
    };

    "a variable of the unit" = {
      got = map (match ".*is not (a table).*") (toml "${good}environment = { PATH = \"/bin\" }");
      want = [ [ "a table" ] ];
    };
    "folders are there" = {
      got = project.folderProblems (fromTOML good).ioc (_: true);
      want = [ ];
    };
    "no st.cmd" = {
      got = project.folderProblems (fromTOML good).ioc (path: path == "ioc/exampleApp");
      want = [
        "ioc/iocBoot/iocExample/st.cmd: no such file, but ioc.toml has ioc = \"iocExample\"\nhint: correct ioc.toml, or, where the file is new, git add ioc/iocBoot/iocExample/st.cmd"
      ];
    };

    "discovery" = {
      got = project.nixFiles (
        regular [
          "b.nix"
          "a.nix"
          "a.py"
          "notes.nix.md"
          ".hidden.nix"
          ".nix"
        ]
        // {
          "folder.nix" = "directory";
          "link.nix" = "symlink";
        }
      );
      want = [
        "a"
        "b"
        "link"
      ];
    };
    "names that EPNix does not have" = {
      got = map (key: project.unknown key "words" "x") [
        "support"
        "python"
      ];
      want = [
        "ioc.toml: support names \"x\", which EPNix does not have\nhint: nix search github:epics-extensions/epnix/nixos-26.05 words"
        "ioc.toml or checks/NAME.toml: python names \"x\", which EPNix does not have\nhint: nix search github:epics-extensions/epnix/nixos-26.05 words"
      ];
    };
    "names of checks" = {
      got = map project.checkNameProblems [
        "simple"
        "A-b_9"
        "01"
      ];
      want = [
        [ ]
        [ ]
        [ ]
      ];
    };
    "odd names of checks" = {
      got = builtins.concatMap project.checkNameProblems [
        "my check"
        "a.b"
        "-x"
        "größe"
      ];
      want =
        map
          (
            { name, better }:
            "checks/${name}.nix: \"${name}\" cannot be the name of a check, which has only letters, digits, \"_\" and \"-\" (not first)\nhint: git mv \"checks/${name}.nix\" checks/${better}.nix"
          )
          [
            {
              name = "my check";
              better = "my-check";
            }
            {
              name = "a.b";
              better = "a-b";
            }
            {
              name = "-x";
              better = "check--x";
            }
            {
              name = "größe";
              better = "gr-e";
            }
          ];
    };

    "Python comes with programs of a folder" = {
      got =
        let
          machine =
            import ./machine.nix
              {
                epnixLib = { };
                iocService = { };
                project = {
                  python = [ ];
                  path = [ "tools" ];
                };
              }
              {
                config = { };
                lib = {
                  optional = wanted: package: if wanted then [ package ] else [ ];
                  hiPrio = package: package;
                };
                pkgs = {
                  epnix.epics-base = "epics-base";
                  runCommand =
                    name: _: _:
                    name;
                  python3.withPackages = _: "python3";
                };
              };
        in
        machine.environment.systemPackages;
      want = [
        "epics-base"
        "programs"
        "python3"
      ];
    };
    "ports of their own" = {
      got = project.portConflicts [
        {
          name = "a";
          port = 1;
        }
        {
          name = "b";
          port = 2;
        }
      ];
      want = [ ];
    };
    "one port for three" = {
      got = project.portConflicts [
        {
          name = "simulator a";
          port = 9999;
        }
        {
          name = "simulator b";
          port = 2000;
        }
        {
          name = "simulator c";
          port = 9999;
        }
      ];
      want = [
        "TCP port 9999 is claimed by simulator a and simulator c\nhint: give each a port of its own, simulators in ioc.toml"
      ];
    };
  };

  failed = filter (name: tests.${name}.got != tests.${name}.want) (builtins.attrNames tests);
in
if failed != [ ] then
  throw (
    concatStringsSep "\n" (
      map (name: "${name}: got ${toJSON tests.${name}.got}, want ${toJSON tests.${name}.want}") failed
    )
  )
else
  removeAttrs (project.load ../template) [
    "find"
    "portConflicts"
    "settings"
    "root"
  ]
