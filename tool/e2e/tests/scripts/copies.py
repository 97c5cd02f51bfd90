import pathlib
import tempfile

source = pathlib.Path(tempfile.mkdtemp())
(source / "dir").mkdir()
(source / "dir/tool").write_bytes(b"#!/bin/sh\necho run\n\xff")
(source / "dir/tool").chmod(0o755)
machine.copy_from_host(str(source / "dir"), "/opt2/deep/dir")
machine.succeed("test -x /opt2/deep/dir/tool", "test $(stat -c %u /opt2/deep/dir/tool) = 0")
machine.copy_from_host_via_shell(str(source / "dir/tool"), "/tmp/a-b")
machine.succeed("cmp '/tmp/a-b' /opt2/deep/dir/tool")
machine.succeed("mkdir -p /tmp/out/sub; echo 1 > /tmp/out/sub/f")
machine.copy_from_machine("/tmp/out", "results")
t.assertEqual((driver.out_dir / "results/out/sub/f").read_text(), "1\n")
with t.assertRaises(FileExistsError):
    machine.copy_from_machine("/tmp/out", "results")
machine.succeed("echo shared > /tmp/shared/f")
t.assertEqual((pathlib.Path(machine.shared_dir) / "f").read_text(), "shared\n")
t.assertEqual(machine.shared_dir, machine.tmp_dir / "shared-xchg")
t.assertEqual(machine.state_dir, machine.tmp_dir / f"vm-state-{machine.name}")
for folder in (machine.shared_dir, machine.state_dir):
    t.assertEqual(folder.stat().st_mode & 0o777, 0o700)
