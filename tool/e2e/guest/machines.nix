# What a guest needs of each machine of the checks: units, and the scripts that these start. For `nix eval --json --apply`.
checks:
let
  inherit (builtins)
    attrNames
    concatMap
    elemAt
    filter
    getContext
    appendContext
    isList
    listToAttrs
    map
    mapAttrs
    match
    readFile
    split
    ;
  wanted =
    name: match "(network-addresses-eth1|network-setup|firewall|ioc|simulator)[.]service" name != null;
  scripts =
    text:
    map (x: elemAt x 0) (
      filter isList (
        split "(/nix/store/[a-z0-9]*-(unit-script-[^/ \n]*|firewall-start|ioc-ready)[^ \n]*)" text
      )
    );
  read =
    text: path:
    let
      context = getContext text;
      name = elemAt (match "/nix/store/[a-z0-9]*-([^/]*).*" path) 0;
      own = filter (drv: match ".*-${name}([.]drv)?" drv != null) (attrNames context);
    in
    readFile (
      appendContext path (
        listToAttrs (
          map (drv: {
            name = drv;
            value = context.${drv};
          }) own
        )
      )
    );
in
mapAttrs (
  _: check:
  mapAttrs (_: c: {
    number = c.virtualisation.test.nodeNumber;
    variables = c.environment.variables;
    hosts = c.networking.extraHosts;
    units = listToAttrs (
      map (name: {
        inherit name;
        value = {
          inherit (c.systemd.units.${name}) text;
          wantedBy = c.systemd.units.${name}.wantedBy or [ ];
        };
      }) (filter wanted (attrNames c.systemd.units))
    );
    files = listToAttrs (
      concatMap (
        name:
        let
          text = c.systemd.units.${name}.text;
        in
        map (path: {
          name = path;
          value = read text path;
        }) (scripts text)
      ) (filter wanted (attrNames c.systemd.units))
    );
  }) check.nodes
) checks
