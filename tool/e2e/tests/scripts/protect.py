# What services may not touch (systemd.exec(5), "Sandboxing"), measured on systemd 252.
import json
import textwrap

PLACES = ["/etc", "/root", "/home", "/run", "/var", "/var/lib", "/var/tmp", "/tmp", "/srv", "/data", "/data/in", "/dev/shm"]
number = 0

def service(directives, command="true"):
    """Runs a command as a service: status of the start, what it said, what was told of it."""
    global number
    number += 1
    name = f"p{number}"
    text = f"[Service]\nType=oneshot\n{textwrap.dedent(directives).strip()}\nExecStart=/bin/bash /srv/{name}.sh\n"
    machine.succeed(f"cat > /etc/systemd/system/{name}.service <<'END'\n{text}\nEND", f"cat > /srv/{name}.sh <<'END'\n{command}\nEND")
    status, _ = machine.execute(f"systemctl daemon-reload; systemctl start {name}")
    said, told = [], []
    for entry in map(json.loads, machine.succeed(f"journalctl --sync; journalctl -o json -u {name}").splitlines()):
        (said if entry["_TRANSPORT"] == "stdout" else told).append(entry["MESSAGE"].replace(name, "NAME"))
    # The second is the sandbox's, where the host grants it one user only.
    return status, said, [x for x in told if x != "Starting NAME.service..." and "DynamicUser=yes: runs as root" not in x]

def says(directives, command):
    status, said, told = service(directives, command)
    t.assertEqual((status, told), (0, ["NAME.service: Deactivated successfully.", "Finished NAME.service."]), said)
    return said

def writable(directives, *places):
    return says(directives, f"for p in {' '.join(places or PLACES)}; do touch $p/probe 2>/dev/null && echo $p && rm $p/probe; done; true")

def fails(directives, step):
    # What the process says itself of the step is not compared: systemd's journal often finds it gone, and drops its unit.
    status, said, told = service(directives)
    t.assertEqual((status, said, told[-3:]), (1, [], [f"NAME.service: Main process exited, code=exited, status={step}",
                  "NAME.service: Failed with result 'exit-code'.", "Failed to start NAME.service."]))

machine.succeed("mkdir -p /data/in/deep; echo x > /data/file; echo home > /home/operator1/seen; chmod 755 /srv /data")

# The whole file system
t.assertEqual(writable(""), PLACES)
t.assertEqual(writable("ProtectSystem=yes"), PLACES)
t.assertEqual(writable("ProtectSystem=full"), PLACES[1:])
t.assertEqual(writable("ProtectSystem=strict"), ["/root", "/home", "/dev/shm"])
t.assertEqual(writable("ProtectSystem=strict\nReadWritePaths=/data/in", "/data", "/data/in", "/data/in/deep"), ["/data/in", "/data/in/deep"])
t.assertEqual(writable("ReadOnlyPaths=/data\nReadWritePaths=/data/in", "/data", "/data/in", "/data/in/deep"), ["/data/in", "/data/in/deep"])
folders = """
    ProtectSystem=strict
    StateDirectory=st
    RuntimeDirectory=rt
    CacheDirectory=ca
    LogsDirectory=lo
    ConfigurationDirectory=co
    """
t.assertEqual(writable(folders, "/var/lib/st", "/run/rt", "/var/cache/ca", "/var/log/lo", "/etc/co", "/var/lib", "/run"),
              ["/var/lib/st", "/run/rt", "/var/cache/ca", "/var/log/lo", "/etc/co"])
t.assertEqual(says(folders, "env | grep DIRECTORY | sort"),
              ["CACHE_DIRECTORY=/var/cache/ca", "CONFIGURATION_DIRECTORY=/etc/co", "LOGS_DIRECTORY=/var/log/lo",
               "RUNTIME_DIRECTORY=/run/rt", "STATE_DIRECTORY=/var/lib/st"])

# Paths that are not there
for name in ["ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths"]:
    fails(f"{name}=/none", "226/NAMESPACE")
    t.assertEqual(says(f"{name}=-/none", "echo ran"), ["ran"])
fails("WorkingDirectory=/none", "200/CHDIR")
t.assertEqual(says("WorkingDirectory=-/none", "pwd"), ["/"])
fails("ProtectHome=yes\nWorkingDirectory=/home/operator1", "200/CHDIR")

# What is hidden
t.assertEqual(says("InaccessiblePaths=/data/in /data/file", "stat -c '%n %F %a' /data/in /data/file; ls /data/in; cat /data/file"),
              ["/data/in directory 0", "/data/file regular empty file 0"])
look = "ls -A /home /root; stat -c '%n %a' /home /root"
t.assertEqual(says("ProtectHome=yes", look), ["/home:", "/root:", "/home 0", "/root 0"])
t.assertEqual(writable("ProtectHome=yes", "/home", "/root"), [])
t.assertEqual(writable("ProtectHome=read-only", "/home", "/root", "/home/operator1"), [])
t.assertEqual(says("ProtectHome=read-only", "cat /home/operator1/seen"), ["home"])
t.assertEqual(writable("ProtectHome=tmpfs", "/home", "/root"), [])
t.assertEqual(says("ProtectHome=tmpfs", look), ["/home:", "/root:", "/home 755", "/root 755"])
t.assertEqual(says("PrivateTmp=yes", "ls -A /tmp /var/tmp; stat -c '%n %a %U' /tmp /var/tmp; touch /tmp/mine"),
              ["/tmp:", "/var/tmp:", "/tmp 1777 root", "/var/tmp 1777 root"])
machine.fail("test -e /tmp/mine", f"ls -d /tmp/systemd-private-*-p{number}.service-*")
t.assertEqual(says("PrivateDevices=yes", "ls /dev | grep -c console; test -c /dev/null && echo null; touch /dev/x 2>&1 | sed 's/.*: //'"),
              ["0", "null", "Read-only file system"])
t.assertEqual(says("ProtectKernelTunables=yes", "echo x 2>&1 > /proc/sys/kernel/hostname; stat -c %a /proc/kallsyms")[-1:], ["0"])

# `+` is not protected, `!` is: it only stays root
both = "ExecStartPre=+/bin/bash -c 'touch /etc/plus && echo plus'\nExecStartPre=!-/bin/bash -c 'touch /etc/bang && echo bang'"
t.assertEqual(says(f"ProtectSystem=strict\n{both}", "test -e /etc/plus && echo there; test -e /etc/bang || echo not"),
              ["plus", "touch: cannot touch '/etc/bang': Read-only file system", "there", "not"])

# A user of its own: what comes with it cannot be given up
t.assertEqual(writable("DynamicUser=yes\nProtectSystem=no\nPrivateTmp=no\nProtectHome=no", *PLACES), ["/var/tmp", "/tmp", "/dev/shm"])
t.assertEqual(service("DynamicUser=yes\nProtectSystem=no\nPrivateTmp=no\nNoNewPrivileges=no\nRemainAfterExit=yes", "touch /tmp/shown")[0], 0)
t.assertEqual(machine.succeed(f"systemctl show p{number} -p ProtectSystem,ProtectHome,PrivateTmp,NoNewPrivileges,RestrictSUIDSGID,RemoveIPC").splitlines(),
              ["RemoveIPC=yes", "PrivateTmp=yes", "ProtectHome=read-only", "ProtectSystem=strict", "NoNewPrivileges=yes", "RestrictSUIDSGID=yes"])
machine.fail("test -e /tmp/shown")
t.assertEqual(says("DynamicUser=yes\nStateDirectory=a/b\nRuntimeDirectory=rt2", """
    env | grep _DIRECTORY | sort; readlink /var/lib/a/b; readlink -f $STATE_DIRECTORY; pwd; grep NoNewPrivs /proc/self/status
    touch $STATE_DIRECTORY/kept /run/rt2/kept && echo kept; touch /var/lib/pvlist 2>&1 | sed 's/.*: //'"""),
              ["RUNTIME_DIRECTORY=/run/rt2", "STATE_DIRECTORY=/var/lib/a/b", "../private/a/b", "/var/lib/private/a/b", "/",
               "NoNewPrivs:\t1", "kept", "Read-only file system"])
machine.succeed("test -e /var/lib/a/b/kept", "test $(stat -c %a /var/lib/private) = 700")
machine.succeed("mkdir /var/lib/was; echo kept > /var/lib/was/file")
t.assertEqual(service("DynamicUser=yes\nStateDirectory=was", "cat /var/lib/was/file"),
              (0, ["kept"], ["Found pre-existing public StateDirectory= directory /var/lib/was, migrating to /var/lib/private/was.",
                             "Apparently, service previously had DynamicUser= turned off, and has now turned it on.",
                             "NAME.service: Deactivated successfully.", "Finished NAME.service."]))
