"""The sandbox's test driver: names, semantics and log of nixpkgs' NixOS test driver, for machines made of namespaces.

Runs outside the machines. `channel` speaks to sandbox-keeper and to each machine's PID 1; `machine` and `vm` are what a
script sees; `driver` holds one run together. The target is the driver of NixOS 26.05.
"""
