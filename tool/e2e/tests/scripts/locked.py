import re

# What is read-only on a machine stays so, and what is its own can be changed.
for folder in ["/usr", "/machine/host/etc", "/machine/xtask", "/sys"]:
    machine.fail(f"mount -o remount,rw,bind {folder}")
    machine.fail(f"mount --rbind {folder} /mnt && mount -o remount,rw,bind /mnt")
    machine.fail(f"umount {folder}")
    machine.fail(f"unshare --mount mount -o remount,rw,bind {folder}")

# No device of the host's, and rights of a program's own only in folders of programs.
mounts = dict(line.split() for line in machine.succeed("cut -d' ' -f5,6 /proc/self/mountinfo").splitlines())
for place, flags in mounts.items():
    if not place.startswith("/dev/"):
        t.assertIn("nodev", flags.split(","), place)
        if not re.match("/(usr|bin|sbin|lib|nix|opt|gnu)", place):
            t.assertIn("nosuid", flags.split(","), place)

# Written with what it is already: a hole harms nobody.
for setting in ["vm/swappiness", "kernel/core_pattern", "fs/pipe-max-size"]:
    machine.fail(f"value=$(cat /proc/sys/{setting}); echo \"$value\" > /proc/sys/{setting}")
machine.fail("test -w /proc/sysrq-trigger")
machine.fail("umount /proc/sys; mount -o remount,rw,bind /proc/sys")

machine.succeed("test $(cat /proc/sys/net/ipv4/ip_forward) = 0")
machine.fail("grep -v 0 /proc/sys/net/ipv6/conf/all/forwarding")
for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "kernel.hostname=other"]:
    machine.succeed(f"sysctl -w {setting}")
machine.succeed("echo 1000 > /proc/sys/kernel/msgmni")
t.assertEqual(machine.succeed("hostname").strip(), "other")
machine.succeed("mount -t tmpfs none /mnt && touch /mnt/x && umount /mnt")
machine.succeed("mount --bind /home /srv && umount /srv")
machine.succeed("ip link add dummy1 type veth && ip address add 10.1.2.3/24 dev dummy1 && ip link set dummy1 up")
machine.succeed("unshare --user --map-root-user --mount --net true")
machine.shutdown()
machine.start()
machine.succeed("hostname | grep -x machine; test $(cat /proc/sys/net/ipv4/ip_forward) = 0")
