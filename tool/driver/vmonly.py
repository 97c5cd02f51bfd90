"""What only a virtual machine has: every such function exists, and refuses by name."""
from .errors import NotInSandbox

DISPLAY = "there is no display"
KEYBOARD = "there is no keyboard"
TTY = "there are no virtual consoles"
X11 = "there is no X server"
QEMU = "there is no QEMU"
KERNEL = "machines share the host's kernel and have no initrd"

# Method of a machine -> why the sandbox has none.
METHODS = {
    "screenshot": DISPLAY,
    "get_screen_text": DISPLAY,
    "get_screen_text_variants": DISPLAY,
    "wait_for_text": DISPLAY,
    "send_key": KEYBOARD,
    "send_chars": KEYBOARD,
    "send_console": "the console has no input",
    "console_interact": "the console has no input; shell_interact() gives a shell",
    "send_monitor_command": QEMU,
    "wait_for_monitor_prompt": QEMU,
    "wait_for_qmp_event": QEMU,
    "forward_port": QEMU,
    "ssh_backdoor_command": "there is no SSH backdoor; shell_interact() gives a shell",
    "get_tty_text": TTY,
    "wait_until_tty_matches": TTY,
    "dump_tty_contents": TTY,
    "wait_for_x": X11,
    "get_window_names": X11,
    "wait_for_window": X11,
    "switch_root": KERNEL,
}
# Function of the driver -> why.
FUNCTIONS = {"create_machine": "it starts a further QEMU"}
VLAN = "there is no VDE switch"


def refusing(name, why):
    """A function, or a method of a machine, that refuses."""
    def refused(*owner, **_):
        of = f"{owner[0].name}." if name in METHODS else ""
        raise NotInSandbox(f"{of}{name}()", why)

    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = f"Not in the sandbox: {why}."
    return refused


class Vlan:
    """A network of the test. It is a bridge of the sandbox: only its number is known here."""

    def __init__(self, nr):
        self.nr = nr

    def __repr__(self):
        return f"<Vlan Nr. {self.nr}>"

    def stop(self):
        raise NotInSandbox(f"vlan{self.nr}.stop()", VLAN + "; machine.block() unplugs a machine")

    @property
    def socket_dir(self):
        raise NotInSandbox(f"vlan{self.nr}.socket_dir", VLAN)
