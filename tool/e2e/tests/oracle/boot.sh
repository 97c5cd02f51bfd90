#!/bin/sh
# Boots the host's systemd as PID 1 of namespaces that unshare(1) has just made (../oracle.rs), with a file system of its own and the
# journal, and runs `inside.py` of folder $2 as a service there. $1 is an empty folder. The machine ends when the service does.
set -eu
root=$1 work=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir -p usr etc/systemd/system proc sys dev run tmp var/lib var/log/journal var/tmp home/operator1 root srv work old units
for link in bin sbin lib lib64; do [ ! -L "/$link" ] || cp -a "/$link" .; done
mount --bind /usr usr
mount -o remount,ro,bind usr
for file in passwd group shadow gshadow ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf alternatives dbus-1 pam.d security login.defs; do
    [ ! -e "/etc/$file" ] || cp -a "/etc/$file" etc/
done
# The user of a machine of the sandbox; the host's of that number gives way.
sed -i '/:1000:/d' etc/passwd etc/group
echo 'operator1:x:1000:1000::/home/operator1:/bin/sh' >>etc/passwd
echo 'operator1:x:1000:' >>etc/group
echo 'operator1:*:20000::::::' >>etc/shadow
chown 1000:1000 home/operator1
chmod 1777 tmp var/tmp
chmod 700 root
echo machine >etc/hostname
echo 0123456789abcdef0123456789abcdef >etc/machine-id
mount -t proc proc proc
mount -t sysfs -o ro sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 run run
# Of the host's units those that a machine of the sandbox has, and the journal's and the bus's.
for unit in basic sysinit multi-user default shutdown umount final local-fs sockets timers paths slices network network-online \
    poweroff reboot exit; do
    cp -P "/usr/lib/systemd/system/$unit.target" units/ 2>/dev/null || :
done
for unit in systemd-poweroff.service systemd-reboot.service systemd-exit.service systemd-journald.service \
    systemd-journald.socket systemd-journald-dev-log.socket dbus.socket dbus.service; do
    cp -P "/usr/lib/systemd/system/$unit" units/
done
ln -sf multi-user.target units/default.target
mount --bind units usr/lib/systemd/system
mount --bind "$work" work
mkdir etc/systemd/system/multi-user.target.wants etc/systemd/system/sockets.target.wants
cat >etc/systemd/system/questions.service <<'END'
[Unit]
After=basic.target systemd-journald.socket
[Service]
Type=exec
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root
StandardOutput=file:/work/stdout
StandardError=file:/work/stderr
WorkingDirectory=/tmp
ExecStart=/usr/bin/python3 -B /work/inside.py
ExecStopPost=/bin/systemctl --no-block exit
END
ln -s ../questions.service etc/systemd/system/multi-user.target.wants/
for socket in systemd-journald.socket systemd-journald-dev-log.socket dbus.socket; do
    ln -s "/lib/systemd/system/$socket" etc/systemd/system/sockets.target.wants/
done
pivot_root . old
umount -l /old
rmdir /old
hostname machine
ip link set lo up 2>/dev/null || :
cd /
exec env -i container=oracle PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-level=info --show-status=no --log-target=journal --unit=multi-user.target
