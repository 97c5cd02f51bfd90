#!/bin/sh
# nix-versions.sh FOLDER SUITE...: runs the tests of Nix with the Nix of other suites of Debian, unpacked into FOLDER.
#
# Nothing is installed: each Nix sees the /usr of its suite in a mount namespace of its own. Needs root, apt of Debian with
# lists (`apt-get update`), and what the tests need (`cargo xtask test simple` once).
set -eu

folder=$(realpath -m "$1")
shift
cd "$(dirname "$0")/.."
mirror=$(apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages" "Origin: Debian" | grep -v security | head -n 1)
[ -n "$mirror" ] || {
  echo "apt knows no mirror of Debian here" >&2
  exit 2
}

# unpack SUITE: Nix and all that it needs, into $folder/SUITE/root, with programs in $folder/SUITE/bin
unpack() {
  place=$folder/$1
  mkdir -p "$place/lists/partial" "$place/cache/archives/partial" "$place/root" "$place/bin"
  : >"$place/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$place/sources"
  apt() {
    apt-get -q -y -o Dir::State::lists="$place/lists" -o Dir::State::status="$place/status" \
      -o Dir::Cache="$place/cache" -o Dir::Etc::sourcelist="$place/sources" -o Dir::Etc::sourceparts=/dev/null \
      -o APT::Install-Recommends=false -o APT::Sandbox::User=root "$@"
  }
  apt update
  # What the fixture's builders call stands in /usr, too.
  apt --download-only install nix-bin bash coreutils dash git tar util-linux xz-utils
  for package in "$place"/cache/archives/*.deb; do
    dpkg -x "$package" "$place/root"
  done
  # Packages of Debian 12 hold files beside /usr.
  for part in bin sbin lib lib64; do
    [ ! -d "$place/root/$part" ] || cp -a "$place/root/$part" "$place/root/usr/"
  done
  for program in nix nix-build nix-daemon nix-instantiate nix-store; do
    {
      echo '#!/bin/sh'
      # shellcheck disable=SC2016 # the inner shell's
      printf 'exec unshare -m sh -c '\''mount --bind "$0" /usr && exec "$@"'\'' "%s" /usr/bin/%s "$@"\n' "$place/root/usr" "$program"
    } >"$place/bin/$program"
    chmod 755 "$place/bin/$program"
  done
}

failed=
for suite in "$@"; do
  mkdir -p "$folder/$suite"
  [ -x "$folder/$suite/bin/nix-store" ] || unpack "$suite" >"$folder/$suite/log" 2>&1 || {
    tail -n 5 "$folder/$suite/log" >&2
    exit 2
  }
  echo "== $suite: $("$folder/$suite/bin/nix" --version)"
  PATH="$folder/$suite/bin:$PATH" XTASK_README="$PWD/../README.md" \
    cargo test --locked -p tool-e2e --target-dir ../target --test nix --test configure_nix || failed="$failed $suite"
done
[ -z "$failed" ] || {
  echo "failed with the Nix of:$failed" >&2
  exit 1
}
