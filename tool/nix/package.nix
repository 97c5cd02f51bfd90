# The IOC: the EPICS top in ioc/, built by EPNix.
{
  lib,
  stdenv,
  mkEpicsPackage,
  epnix,
  epnixLib,
  project,
}:
mkEpicsPackage {
  inherit (project) pname;
  # A constant: a version taken from Git would build and test everything again after each commit.
  version = "0.1.0";

  # The name of this top in configure/RELEASE of a top that builds on it.
  varname = lib.toUpper (builtins.replaceStrings [ "-" "." ] [ "_" "_" ] project.app);

  # Only ioc/: a change of the checks or of the tool builds nothing again.
  src = project.root + "/ioc";

  # EPICS support modules work as propagatedBuildInputs only.
  propagatedBuildInputs = map (project.find "support" "EPNix's support modules"
    epnix.support
  ) project.support;

  # st.cmd names its interpreter by architecture, and Git can hold only one.
  postPatch =
    let
      script = ioc: "iocBoot/${ioc.ioc}/${ioc.script}";
      # Those that ioc.toml names must be there.
      scripts = "iocBoot/*/st.cmd ${toString (map script (lib.attrValues project.iocs))}";
    in
    ''
      sed -i '1s,/bin/linux-[^/]*/,/bin/${epnixLib.toEpicsArch stdenv.hostPlatform}/,' ${scripts}
      # `nix flake init` writes files that cannot be executed.
      chmod +x ${scripts}
    '';

  # What make does not install, and st.cmd finds below its top all the same.
  postInstall = ''
    for folder in data iocsh protocol; do
      if [ -d $folder ] && ! [ -e $out/$folder ]; then
        cp -r $folder $out/
      fi
    done
  '';

  meta = {
    description = "EPICS IOC ${project.app}";
    mainProgram = project.app;
    platforms = lib.platforms.linux;
  };
}
