"""The exception classes that scripts see, and that of our own configuration."""


class RequestedAssertionFailed(AssertionError):
    """Something the script asked for is not so: a command, a unit, a retry, an assertion of `t`."""

    unit = None  # (machine, unit) when the failure is about a systemd unit


class MachineError(Exception):
    """The machine itself failed: it did not start, or it went away under a command."""


class PollingConditionError(Exception):
    """A polling condition that was entered does not hold."""


class NotInSandbox(Exception):
    """The script uses something that only a virtual machine has."""

    def __init__(self, function, why):
        super().__init__(
            f"{function} is not in the sandbox: {why}\n"
            "hint: run this check in a virtual machine: --backend nixos or --backend driver"
        )


class ChannelClosed(Exception):
    """The other end of a channel is gone. Internal: scripts see MachineError."""


class ConfigError(Exception):
    """The configuration file cannot be used: exit status 3."""
