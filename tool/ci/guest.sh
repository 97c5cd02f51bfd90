#!/bin/sh
# guest.sh FOLDER: runs the template's checks on Debian guests under emulation, with real systemd, by nixpkgs' own test driver.
#
# FOLDER keeps what that needs, and what is there already is not made again: a bare guest of Debian 12 (it lives in memory, without
# a disk) and QEMU, unpacked and not installed; the units, addresses and scripts of the machines, as Nix evaluates them
# (machines.json); the driver (test_driver/), from the sources of nixpkgs 25.11 or older in $XTASK_NIXPKGS. It proves ordering,
# readiness, addresses and the driver's ways, not that NixOS or C EPICS build: the IOC is the soft IOC.
# Needs root, apt of Debian with lists, python3-venv, `cargo xtask test simple` once; Nix where machines.json is not there.
set -eu

mkdir -p "$1"
folder=$(realpath "$1")
tool=$(realpath "$(dirname "$0")/..")
cd "$folder"

[ -d test_driver ] || cp -r "$(find "${XTASK_NIXPKGS:?names no sources of nixpkgs}/nixos/lib/test-driver" -name test_driver)" .
[ -e python/done ] || {
  python3 -m venv --clear python
  # What the driver imports.
  python/bin/pip install -q ptpython colorama junit-xml
  : >python/done
}
[ -s machines.json ] || (
  cd "$tool/.."
  NIX_CONFIG="build-users-group =" nix --extra-experimental-features "nix-command flakes" \
    eval --json ".#checks.$(uname -m)-linux" --apply "$(cat tool/e2e/guest/machines.nix)"
) >machines.json
mkdir -p programs
for program in soft-ioc psu-simulator caget caput; do
  cp "$tool/../target/embedded/$(cat "$tool/../target/embedded/built")/$program" programs/
done

apt() {
  apt-get -qq -y -o Dir::State::lists="$folder/lists" -o Dir::State::status="$folder/status" \
    -o Dir::Cache="$folder/cache" -o Dir::Etc::sourcelist="$folder/sources" -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root "$@"
}

# unpack TREE PACKAGE...: packages and all that they need; /bin and the like become links into /usr
unpack() {
  tree=$1
  shift
  rm -rf "$tree" cache/archives/*.deb
  apt --download-only install "$@"
  mkdir "$tree"
  for package in cache/archives/*.deb; do
    dpkg -x "$package" "$tree"
  done
  for part in bin sbin lib lib64; do
    [ -d "$tree/$part" ] || continue
    cp -a "$tree/$part" "$tree/usr/"
    rm -r "${tree:?}/$part"
    ln -s "usr/$part" "$tree/$part"
  done
}

make_guest() {
  mirror=$(apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages" "Origin: Debian" | grep -v security | head -n 1)
  [ -n "$mirror" ] || {
    echo "apt knows no mirror of Debian here" >&2
    exit 2
  }
  mkdir -p lists/partial cache/archives/partial bin
  : >status
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >sources
  apt update
  unpack host qemu-system-x86 vde2 cpio
  for program in qemu-system-x86_64 vde_switch cpio; do
    {
      echo '#!/bin/sh'
      # shellcheck disable=SC2016 # the inner shell's
      printf 'exec unshare -m sh -c '\''mount --bind "$0" /usr && exec "$@"'\'' "%s" /usr/bin/%s "$@"\n' "$folder/host/usr" "$program"
    } >"bin/$program"
    chmod 755 "bin/$program"
  done
  unpack guest linux-image-cloud-amd64 systemd-sysv udev kmod iproute2 iptables netcat-openbsd bash coreutils util-linux grep procps procserv
  mv guest/boot/vmlinuz-* vmlinuz

  cd guest
  # Booting takes the longer the more there is to unpack.
  rm -r boot/* usr/share/doc usr/share/man usr/share/locale usr/share/perl usr/lib/*/perl usr/lib/*/gconv usr/lib/udev/hwdb.d
  find usr/lib/modules/*/kernel -type f | grep -vE '/kernel/(net/(core|ipv[46]|netfilter|packet)|lib|crypto|drivers/(virtio|net/(virtio_net|net_failover)|char/virtio_console|char/hw_random))' | xargs rm
  chroot . depmod "$(ls usr/lib/modules)"
  # Each rule runs for each device, which takes half of the boot.
  find usr/lib/udev/rules.d -type f | grep -vE '/(50-udev-default|80-drivers|99-systemd)[.]rules$' | xargs rm
  ln -sf nc.openbsd usr/bin/nc
  for program in iptables ip6tables; do
    ln -sf xtables-nft-multi usr/sbin/$program
  done
  # NixOS has it for its resolv.conf, which the guest does not need.
  ln -s ../bin/true usr/sbin/resolvconf
  # What the packages' scripts would have made.
  [ -e usr/bin/sh ] || ln -s bash usr/bin/sh
  printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'nobody:x:65534:65534:nobody:/:/usr/sbin/nologin' >etc/passwd
  printf '%s\n' root:x:0: tty:x:5: nogroup:x:65534: >etc/group
  printf '%s\n' 'passwd: files systemd' 'group: files systemd' 'hosts: files' >etc/nsswitch.conf
  : >etc/machine-id
  ln -sf usr/lib/systemd/systemd init
  ln -sf /usr/lib/systemd/system/multi-user.target etc/systemd/system/default.target
  for unit in getty.target systemd-logind.service systemd-update-utmp.service systemd-tmpfiles-clean.timer; do
    ln -sf /dev/null "etc/systemd/system/$unit"
  done
  find . -print0 | ../bin/cpio --null --quiet -o -H newc -R 0:0 >../base.new
  mv ../base.new ../base.cpio
}

[ -s base.cpio ] || make_guest
cd "$tool"
XTASK_GUEST=$folder cargo test --locked -p tool-e2e --target-dir ../target --test guest
