# What ioc.toml and the folder checks/ say.  Nix's builtins only, so tool/nix/test.sh can try it without nixpkgs.
# Functions called …Problems judge facts and return messages; `load` and `find` throw.
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatStringsSep
    elem
    elemAt
    filter
    genList
    hasAttr
    head
    isAttrs
    isInt
    isList
    isString
    length
    listToAttrs
    map
    mapAttrs
    match
    pathExists
    readDir
    readFile
    split
    toJSON
    ;

  values = set: map (name: set.${name}) (attrNames set);
  quote = toJSON;
  commas = concatStringsSep ", ";

  # EPNix and nixpkgs give these to the unit of an IOC with a word that outweighs ours.
  ofTheUnit = [
    "EPICS_CA_ADDR_LIST"
    "EPICS_CA_AUTO_ADDR_LIST"
    "EPICS_IOCSH_HISTFILE"
    "PATH"
  ];

  # ---- ioc.toml -----------------------------------------------------------------------------------------------

  # Names become attributes, files, units and parts of derivations: what is good for all of them.
  isName = v: isString v && match "[A-Za-z0-9_][A-Za-z0-9_-]*" v != null;
  nameRule = "letters, digits, \"_\" and \"-\" (not first)";

  # A name like `name` that is allowed.
  goodName =
    name:
    let
      clean = concatStringsSep "-" (
        filter (part: isString part && part != "") (split "[^A-Za-z0-9_-]+" name)
      );
    in
    if isName clean then clean else "check-${clean}";

  kinds = {
    name = {
      is = isName;
      text = "a name of ${nameRule}";
      example = quote "example";
    };
    names = {
      is = v: isList v && all isName v;
      text = "a list of names of ${nameRule}";
      example = quote [ "StreamDevice" ];
    };
    folders = {
      is =
        v:
        isList v
        && all (f: isString f && match "[A-Za-z0-9_][A-Za-z0-9_./-]*" f != null && match ".*[.][.].*" f == null) v;
      text = "a list of folders of the project";
      example = quote [ "tools" ];
    };
    command = {
      is = v: isList v && v != [ ] && all isString v && head v != "";
      text = "a list of strings, the program first";
      example = quote [ "psu-simulator" ];
    };
    script = {
      is = v: isString v && match "[A-Za-z0-9_][A-Za-z0-9_.-]*" v != null;
      text = "the name of a file in the boot folder";
      example = quote "st.cmd";
    };
    variables = {
      is =
        v:
        isAttrs v
        && all isString (values v)
        && all (name: match "[A-Za-z_][A-Za-z0-9_]*" name != null && !elem name ofTheUnit) (attrNames v);
      text = "a table of texts, by names of variables that the unit does not set itself (${commas ofTheUnit})";
      example = "{ PREFIX = \"A:\" }";
    };
    tty = {
      # NixOS has /dev/tty1, /dev/ttyS0 and their like itself.
      is = v: isString v && match "/dev/tty(S?[A-RT-Za-z_]|SS)[A-Za-z0-9_-]*" v != null;
      text = "a tty that no machine has by itself";
      example = quote "/dev/ttyPSU";
    };
    path = {
      is = v: isString v && match "/[A-Za-z0-9/_.-]+" v != null && match ".*[.][.].*" v == null;
      text = "the absolute path of a file";
      example = quote "/run/psu/ready";
    };
    port = {
      is = v: isInt v && 1 <= v && v <= 65535;
      text = "a TCP port, 1 to 65535";
      example = "9999";
    };
  };

  # Tables that concern Nix.  Other tables are for cargo xtask alone, which checks them.
  iocKeys = {
    app = kinds.name;
    ioc = kinds.name;
    support = kinds.names // {
      optional = true;
    };
    script = kinds.script // {
      optional = true;
    };
    environment = kinds.variables // {
      optional = true;
    };
  };
  simulatorKeys = {
    package = kinds.name;
    command = kinds.command;
    port = kinds.port // {
      optional = true;
    };
    serial = kinds.tty // {
      optional = true;
    };
    ready = kinds.path // {
      optional = true;
    };
    ioc = kinds.name // {
      optional = true;
    };
    environment = kinds.variables // {
      optional = true;
    };
  };

  # What programs have on a machine: in ioc.toml for all checks, in checks/NAME.toml for one beside that.
  programKeys = {
    python = kinds.names // {
      example = quote [ "pyepics" ];
    };
    path = kinds.folders;
  };
  programProblems =
    file: toml:
    map
      (
        key:
        "${file}: ${key} = ${toJSON toml.${key}} is not ${programKeys.${key}.text}\nhint: ${key} = ${programKeys.${key}.example}"
      )
      (
        filter (key: hasAttr key toml && !programKeys.${key}.is toml.${key}) (attrNames programKeys)
      );

  # Two simulators at one tty: the second one would take it from the first.
  serialProblems =
    simulators:
    let
      serial = name: if isAttrs simulators.${name} then simulators.${name}.serial or null else null;
      byTty = listToAttrs (
        map
          (tty: {
            name = tty;
            value = filter (name: serial name == tty) (attrNames simulators);
          })
          (filter isString (map serial (attrNames simulators)))
      );
    in
    map (
      tty:
      "ioc.toml: ${tty} is the serial line of ${concatStringsSep " and " byTty.${tty}}\nhint: give each a line of its own"
    ) (filter (tty: length byTty.${tty} > 1) (attrNames byTty));

  tableProblems =
    where: keys: table:
    if !isAttrs table then
      [ "ioc.toml: ${where} is not a table\nhint: [${where}]" ]
    else
      map (
        key:
        "ioc.toml: unknown key ${quote key} in [${where}]\nhint: the known keys are ${commas (attrNames keys)}"
      ) (filter (key: !hasAttr key keys) (attrNames table))
      ++ map (
        key: "ioc.toml: [${where}] lacks the key ${quote key}\nhint: ${key} = ${keys.${key}.example}"
      ) (filter (key: !hasAttr key table && !keys.${key}.optional or false) (attrNames keys))
      ++ map (
        key:
        "ioc.toml: ${key} = ${toJSON table.${key}} in [${where}] is not ${keys.${key}.text}\nhint: ${key} = ${keys.${key}.example}"
      ) (filter (key: hasAttr key keys && !keys.${key}.is table.${key}) (attrNames table));

  simulatorProblems =
    iocs: name: simulator:
    (
      if !isName name then
        [
          "ioc.toml: ${quote name} cannot be the name of a simulator, which has only ${nameRule}\nhint: [simulators.${goodName name}]"
        ]
      else if hasAttr name iocs then
        [
          "ioc.toml: a simulator cannot be called ${quote name}, because ${name}.service is the IOC\nhint: [simulators.simulator]"
        ]
      else if isAttrs simulator && isName (simulator.ioc or null) && !hasAttr simulator.ioc iocs then
        [
          "ioc.toml: simulator ${quote name} is of an IOC ${quote simulator.ioc}, which is not there\nhint: the IOCs are ${commas (attrNames iocs)}"
        ]
      else if isAttrs simulator && !(simulator ? port || simulator ? serial || simulator ? ready) then
        [
          "ioc.toml: simulator ${quote name} has no port, serial or ready: nobody knows when it is up\nhint: port = 9999"
        ]
      else
        [ ]
    )
    ++ tableProblems "simulators.${name}" simulatorKeys simulator;

  # The IOCs by the names of their units: [ioc] is "ioc", and [iocs.NAME] is "NAME".
  iocsOf =
    toml:
    let
      several = toml.iocs or { };
    in
    if isAttrs several && several != { } then several else { ioc = toml.ioc or { }; };

  iocProblems =
    name: ioc:
    (
      if isName name then
        [ ]
      else
        [
          "ioc.toml: ${quote name} cannot be the name of an IOC, which has only ${nameRule}\nhint: [iocs.${goodName name}]"
        ]
    )
    ++ tableProblems "iocs.${name}" iocKeys ioc;

  iocTomlProblems =
    toml:
    let
      several = toml.iocs or { };
    in
    programProblems "ioc.toml" toml
    ++ (
      if !isAttrs several then
        [ "ioc.toml: iocs is not a table\nhint: [iocs.NAME]" ]
      else if several == { } then
        tableProblems "ioc" iocKeys (toml.ioc or { })
      else if toml ? ioc then
        [
          "ioc.toml: [ioc] is for one IOC, and there is [iocs] for several\nhint: give the one of [ioc] a name, too: [iocs.NAME]"
        ]
      else
        concatLists (values (mapAttrs iocProblems several))
    )
    ++ (
      if isAttrs (toml.simulators or { }) then
        concatLists (values (mapAttrs (simulatorProblems (iocsOf toml)) (toml.simulators or { })))
        ++ serialProblems (toml.simulators or { })
      else
        [ "ioc.toml: simulators is not a table\nhint: [simulators.simulator]" ]
    );

  # Which folders of ioc/ ioc.toml names; `exists` tells of a path below the repository whether it is there.
  folderProblems =
    {
      app,
      ioc,
      script ? "st.cmd",
      ...
    }:
    exists:
    map
      (
        { path, key }:
        "${path}: no such file, but ioc.toml has ${key}\nhint: correct ioc.toml, or, where the file is new, git add ${path}"
      )
      (
        filter ({ path, ... }: !exists path) [
          {
            path = "ioc/${app}App";
            key = "app = ${quote app}";
          }
          {
            path = "ioc/iocBoot/${ioc}/${script}";
            key = "ioc = ${quote ioc}";
          }
        ]
      );

  # ---- checks/ ------------------------------------------------------------------------------------------------

  # Names of the .nix files among what `readDir` gives.  Hidden files are left to editors.
  nixFiles =
    entries:
    concatLists (
      map (
        file:
        let
          stem = match "([^.].*)[.]nix" file;
        in
        if stem == null || entries.${file} == "directory" then [ ] else stem
      ) (attrNames entries)
    );

  checkNameProblems =
    name:
    if isName name then
      [ ]
    else
      [
        "checks/${name}.nix: ${quote name} cannot be the name of a check, which has only ${nameRule}\nhint: git mv ${quote "checks/${name}.nix"} checks/${goodName name}.nix"
      ];

  # ---- ports --------------------------------------------------------------------------------------------------

  # listeners: [ { name, port } ], programs that listen on one machine.
  portConflicts =
    listeners:
    let
      byPort = listToAttrs (
        map (
          { port, ... }:
          {
            name = toString port;
            value = filter (other: other.port == port) listeners;
          }
        ) listeners
      );
    in
    map (
      port:
      "TCP port ${port} is claimed by ${
        concatStringsSep " and " (map (l: l.name) byPort.${port})
      }\nhint: give each a port of its own, simulators in ioc.toml"
    ) (filter (port: length byPort.${port} > 1) (attrNames byPort));

  # Where a value is an attribute that is not there.
  unknown =
    key: search: name:
    let
      file = if key == "python" then "ioc.toml or checks/NAME.toml" else "ioc.toml";
    in
    "${file}: ${key} names ${quote name}, which EPNix does not have\nhint: nix search github:epics-extensions/epnix/nixos-26.05 ${search}";

  orThrow =
    problems: value: if problems == [ ] then value else throw (concatStringsSep "\n" problems);
in
{
  inherit
    checkNameProblems
    folderProblems
    iocTomlProblems
    nixFiles
    portConflicts
    programProblems
    unknown
    ;

  # The keys of ioc.toml that are known here.  A test holds them against those that cargo xtask knows.
  keys = {
    ioc = attrNames iocKeys;
    simulators = attrNames simulatorKeys;
  };

  # Reads the project in the folder `root`: { root, app, iocs, support, simulators, checks, pname } and functions to use it.
  load =
    root:
    let
      toml = builtins.fromTOML (readFile (root + "/ioc.toml"));
      valid = orThrow (iocTomlProblems toml) toml;
      # Git keeps no empty folder.
      iocs = iocsOf valid;
      # procServ's ports, as the sandbox counts them.
      places = listToAttrs (
        genList (n: {
          name = elemAt (attrNames iocs) n;
          value = 2000 + n;
        }) (length (attrNames iocs))
      );
      all = mapAttrs (
        name: ioc:
        {
          support = [ ];
          script = "st.cmd";
          environment = { };
        }
        // ioc
      ) iocs;
      folders = concatLists (
        map (ioc: folderProblems ioc (path: pathExists (root + "/${path}"))) (values iocs)
      );
      names = if pathExists (root + "/checks") then nixFiles (readDir (root + "/checks")) else [ ];
    in
    orThrow folders {
      inherit root places;
      iocs = all;
      # Of one top there is one package.
      inherit (head (values iocs)) app;
      support = attrNames (
        listToAttrs (
          map (name: {
            inherit name;
            value = null;
          }) (concatLists (map (ioc: ioc.support) (values all)))
        )
      );
      simulators = valid.simulators or { };
      python = valid.python or [ ];
      path = valid.path or [ ];
      checks = orThrow (concatLists (map checkNameProblems names)) names;

      # The package; not just `app`, which may be the name of another package.
      pname = "${(head (values iocs)).app}-ioc";

      inherit portConflicts;

      # What checks/NAME.toml says, and the project with the programs that it adds.
      settings =
        name:
        let
          file = root + "/checks/${name}.toml";
          own = if pathExists file then builtins.fromTOML (readFile file) else { };
        in
        orThrow (programProblems "checks/${name}.toml" own) own;

      # The attribute that a value in ioc.toml or checks/NAME.toml names; `search` is a word that finds its like.
      find =
        key: search: set: name:
        set.${name} or (throw (unknown key search name));
    };
}
