# The names that test scripts have, for editors. `cargo xtask lint` keeps it.
from script_names import *
from script_names import _Vlan

client: QemuMachine
first: QemuMachine
machine: QemuMachine
second: QemuMachine
server: QemuMachine
vlan1: _Vlan
