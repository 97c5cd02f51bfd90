#!/bin/sh
# Checks the Nix code with Nix alone: no nixpkgs, no network, no store, any user.  Takes a second.
# Every file parses, nix/tests.nix passes; prints as JSON what Nix reads from ioc.toml and checks/
# of the project as shipped, tool/template/.
set -eu
cd "$(dirname "$0")/.."

# Evaluation needs no store, and an ordinary user may have none; Debian's Nix would warn of a missing group.
export NIX_REMOTE=dummy:// NIX_CONFIG='build-users-group ='

for file in nix/*.nix template/flake.nix template/checks/*.nix; do
  nix-instantiate --parse "$file" >/dev/null
done
nix-instantiate --eval --strict --json nix/tests.nix
