# `nix develop`: all that is needed to build the IOC by make and to run cargo xtask.
{
  mkShell,
  epnix,
  ioc,
  cargo,
  clippy,
  python3,
  rustc,
  rustfmt,
}:
mkShell {
  # The compiler, EPICS base and the support modules, as the package has them.
  inputsFrom = [ ioc ];

  packages = [
    cargo
    clippy
    python3
    rustc
    rustfmt
  ];

  # What epicsConfigurePhase writes to RELEASE.local and CONFIG_SITE.local: inputsFrom passes on packages alone.
  local_release_text = ioc.local_release_text or "";
  local_config_site_text = ioc.local_config_site_text or "";

  # Tells `cargo xtask build` and the EPICS tools where base is.
  EPICS_BASE = epnix.epics-base;
}
