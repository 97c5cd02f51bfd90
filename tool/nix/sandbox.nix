# What the sandbox of `cargo xtask` runs of a NixOS test where checks/NAME.toml has services = "nixos": a file of JSON.
# It names store paths, so that building it builds or fetches them; nothing else is built, and no machine is booted.
#
# Of each machine it has what a machine without any setting has not: names alone are compared.  Uses builtins only, so
# that the tool's tests run it without nixpkgs.
{
  test, # a NixOS test: `nodes`, `driver` and `config` count
  bare, # configuration of a machine without any setting
  writeText,
}:
let
  inherit (builtins)
    attrNames
    concatMap
    elem
    filter
    isAttrs
    listToAttrs
    map
    mapAttrs
    match
    toJSON
    ;

  # The attributes of a set whose names are not in another one.
  beyond =
    theirs: ours:
    listToAttrs (
      map (name: {
        inherit name;
        value = ours.${name};
      }) (filter (name: !theirs ? ${name}) (attrNames ours))
    );
  notIn = theirs: filter (x: !elem x theirs);

  unit = u: {
    text = if u.text or null == null then "" else u.text;
    enable = u.enable or true;
    dropIn = u.overrideStrategy or "asDropinIfExists" == "asDropin";
    wantedBy = u.wantedBy or [ ];
    requiredBy = u.requiredBy or [ ];
    aliases = u.aliases or [ ];
  };

  # Network cards are the sandbox's own, and so is what configures systemd.
  isOurs = name: match "network-(addresses|link)-.*|systemd/.*" name != null;

  file = e: {
    source = "${e.source}";
    mode = e.mode or "symlink";
  };

  user = u: {
    uid = u.uid or null;
    group = u.group or "";
    home = u.home or "/var/empty";
    createHome = u.createHome or false;
    normal = u.isNormalUser or false;
    shell = if isAttrs (u.shell or null) then "${u.shell}${u.shell.shellPath or ""}" else toString u.shell or "";
    groups = u.extraGroups or [ ];
  };

  group = g: {
    gid = g.gid or null;
    members = g.members or [ ];
  };

  # What makes a difference on NixOS and none in the sandbox: { option, names }.
  unheard =
    node:
    filter (x: x.names != [ ]) [
      {
        option = "boot.kernelModules";
        names = notIn (bare.boot.kernelModules or [ ]) (node.boot.kernelModules or [ ]);
      }
      {
        option = "fileSystems";
        names = attrNames (beyond (bare.fileSystems or { }) (node.fileSystems or { }));
      }
      {
        option = "security.wrappers";
        names = attrNames (beyond (bare.security.wrappers or { }) (node.security.wrappers or { }));
      }
      {
        option = "system.activationScripts";
        names = attrNames (beyond (bare.system.activationScripts or { }) (node.system.activationScripts or { }));
      }
      {
        option = "systemd.packages";
        names = map (p: p.name or "${p}") (notIn (bare.systemd.packages or [ ]) (node.systemd.packages or [ ]));
      }
      {
        option = "systemd.tmpfiles.rules";
        names = notIn (bare.systemd.tmpfiles.rules or [ ]) (node.systemd.tmpfiles.rules or [ ]);
      }
      {
        option = "systemd.tmpfiles.settings";
        names = attrNames (beyond (bare.systemd.tmpfiles.settings or { }) (node.systemd.tmpfiles.settings or { }));
      }
    ];

  machine =
    node:
    let
      foreign = set: removeAttrs set (filter isOurs (attrNames set));
      units = foreign (beyond bare.systemd.units node.systemd.units);
      etc = foreign (beyond bare.environment.etc node.environment.etc);
    in
    {
      vlans = node.virtualisation.vlans;
      tools = "${node.system.path}";
      units = mapAttrs (_: unit) units;
      etc = listToAttrs (
        concatMap (
          e:
          if e.enable or true then
            [
              {
                name = e.target;
                value = file e;
              }
            ]
          else
            [ ]
        ) (map (name: etc.${name}) (attrNames etc))
      );
      users = mapAttrs (_: user) (beyond bare.users.users node.users.users);
      groups = mapAttrs (_: group) (beyond bare.users.groups node.users.groups);
      unheard = unheard node;
    };
in
writeText "sandbox-${test.config.name or test.name}.json" (toJSON {
  script = test.config.testScriptString or test.driver.testScript;
  timeout = test.config.globalTimeout or null;
  machines = mapAttrs (_: machine) test.nodes;
  inherit (builtins) storeDir;
})
