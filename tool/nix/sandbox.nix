# What the sandbox of `cargo xtask` runs of a NixOS test where checks/NAME.toml has services = "nixos": a file of JSON.
# It names store paths, so that building it builds or fetches them; nothing else is built, and no machine is booted.
#
# Of each machine it has what a machine without any setting has not.  What the sandbox cannot honour, it names.  Uses
# builtins only, so that the tool's tests run it without nixpkgs.
{
  test, # a NixOS test: `nodes`, `driver` and `config` count
  bare, # configuration of a machine without any setting
  writeText,
}:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    elem
    filter
    isAttrs
    isString
    listToAttrs
    map
    mapAttrs
    match
    split
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
  lines = text: filter (line: isString line && line != "") (split "\n" text);

  # The names of a set whose values are not those of another one, with these.
  changed =
    theirs: ours:
    map (name: "${name} = ${toJSON ours.${name}}") (
      filter (name: (theirs.${name} or null) != ours.${name}) (attrNames ours)
    );

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
    shell =
      if isAttrs (u.shell or null) then
        "${u.shell}${u.shell.shellPath or ""}"
      else
        toString u.shell or "";
    groups = u.extraGroups or [ ];
  };

  group = g: {
    gid = g.gid or null;
    members = g.members or [ ];
  };

  # A unit's own text: what begins with X- is for a switch to another configuration.
  ownText = u: filter (line: match "X-.*" line == null) (lines (toString u.text or ""));

  # Variables of commands, whose text the shell of NixOS does not change.
  isPlain = value: match "[^$`\"\\]*" value != null;
  variables =
    node:
    let
      all = node.environment.variables or { };
    in
    removeAttrs all (
      filter (name: (bare.environment.variables or { }).${name} or null == all.${name}) (attrNames all)
    );

  # What the test framework and every machine say of the network.
  networkOf =
    node:
    let
      n = node.networking;
      vlans = map (vlan: "192.168.${toString vlan}.${toString node.virtualisation.test.nodeNumber}");
      framework = concatMap (
        m:
        map (address: "${address} ${m.networking.hostName}") [
          m.networking.primaryIPAddress
          (m.networking.primaryIPv6Address or "")
        ]
      ) (attrValues test.nodes);
      named = mapAttrs (
        _:
        notIn [
          n.hostName
          "localhost"
        ]
      ) n.hosts;
    in
    {
      hosts =
        map (address: "${address} ${toString named.${address}}") (
          filter (address: named.${address} != [ ]) (attrNames named)
        )
        ++ notIn (framework ++ lines bare.networking.extraHosts) (lines n.extraHosts);
      addresses = concatMap (
        card:
        map (address: "${card} ${address}") (
          notIn (vlans node.virtualisation.vlans) (
            map (a: a.address) (n.interfaces.${card}.ipv4.addresses or [ ])
          )
        )
      ) (attrNames n.interfaces);
      # The sandbox has no firewall: what is let in is let in there, too, and what is kept out is not.
      rules = filter (line: match ".*-j nixos-fw-accept" line == null) (
        notIn (lines bare.networking.firewall.extraCommands) (lines n.firewall.extraCommands)
      );
    };

  # What makes a difference on NixOS and none in the sandbox: { option, names }.
  unheard =
    name: node:
    let
      network = networkOf node;
      own = variables node;
    in
    filter (x: x.names != [ ]) [
      {
        option = "boot.kernel.sysctl";
        names = changed (bare.boot.kernel.sysctl or { }) (node.boot.kernel.sysctl or { });
      }
      {
        option = "environment.variables";
        names = filter (name: !isPlain own.${name}) (attrNames own);
      }
      {
        option = "networking.firewall.extraCommands";
        names = network.rules;
      }
      {
        option = "networking.hostName";
        names = notIn [ name ] [ node.networking.hostName ];
      }
      {
        option = "networking.hosts";
        names = network.hosts;
      }
      {
        option = "networking.interfaces";
        names = network.addresses;
      }
      {
        option = "systemd.units";
        names =
          let
            ours = removeAttrs node.systemd.units (
              [ "firewall.service" ] ++ filter isOurs (attrNames node.systemd.units)
            );
          in
          filter (
            name: bare.systemd.units ? ${name} && ownText bare.systemd.units.${name} != ownText ours.${name}
          ) (attrNames ours);
      }
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
        names = attrNames (
          beyond (bare.system.activationScripts or { }) (node.system.activationScripts or { })
        );
      }
      {
        option = "systemd.packages";
        names = map (p: p.name or "${p}") (
          notIn (bare.systemd.packages or [ ]) (node.systemd.packages or [ ])
        );
      }
      {
        option = "systemd.tmpfiles.rules";
        names = notIn (bare.systemd.tmpfiles.rules or [ ]) (node.systemd.tmpfiles.rules or [ ]);
      }
      {
        option = "systemd.tmpfiles.settings";
        names = attrNames (
          beyond (bare.systemd.tmpfiles.settings or { }) (node.systemd.tmpfiles.settings or { })
        );
      }
    ];

  machine =
    name: node:
    let
      foreign = set: removeAttrs set (filter isOurs (attrNames set));
      units = foreign (beyond bare.systemd.units node.systemd.units);
      etc = foreign (beyond bare.environment.etc node.environment.etc);
    in
    {
      vlans = node.virtualisation.vlans;
      tools = "${node.system.path}";
      variables = variables node;
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
      unheard = unheard name node;
    };
in
writeText "sandbox-${test.config.name or test.name}.json" (toJSON {
  script = test.config.testScriptString or test.driver.testScript;
  timeout = test.config.globalTimeout or null;
  machines = mapAttrs machine test.nodes;
  inherit (builtins) storeDir;
})
