machine.succeed("printf '[Service]\nType=oneshot\nUser=operator1\nRemainAfterExit=yes\nStateDirectory=mine\nExecStart=/usr/bin/touch /var/lib/mine/made\n' > /etc/systemd/system/mine.service")
machine.succeed("printf '[Service]\nType=oneshot\nDynamicUser=yes\nRemainAfterExit=yes\nExecStart=/usr/bin/id -u\n' > /etc/systemd/system/dynamic.service")
machine.succeed("systemctl daemon-reload", "touch /home/operator1/by-root", "systemctl start dynamic")
