machine.succeed(r"""cat > /etc/systemd/system/saver.service <<'END'
[Service]
StateDirectory=saver
WorkingDirectory=/var/lib/saver
ExecStart=/bin/sh -c 'cp -f saved restored 2>/dev/null; trap "echo 42 > saved; exit 0" TERM; touch /run/up; while :; do sleep 0.05; done'
[Install]
WantedBy=multi-user.target
END""", "systemctl enable --now saver", "until test -e /run/up; do sleep 0.02; done")
machine.shutdown()
machine.start()
machine.wait_for_unit("saver")
machine.wait_for_file("/run/up")
t.assertEqual(machine.succeed("cat /var/lib/saver/restored"), "42\n")
