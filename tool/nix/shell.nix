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

  # Tells `cargo xtask build` and the EPICS tools where base is.
  EPICS_BASE = epnix.epics-base;
}
