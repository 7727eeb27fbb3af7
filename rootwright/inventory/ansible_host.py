"""How to reach a host, read from Ansible's own variables; what cannot be followed is refused.

Sources: the connection plugin ``ssh`` and "Connecting to hosts: behavioral inventory parameters"
in Ansible's documentation.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from rootwright.inventory.ansible_value import flaw_of
from rootwright.inventory.checks import Checks, kind
from rootwright.inventory.description import LOCALHOST, Become, HostSpec
from rootwright.inventory.text import shown

OWN = "ansible_"
"""What the names of Ansible's own variables begin with."""

# Where two names mean one thing, Ansible takes the last.
_CONNECTION = ("ansible_connection",)
_ADDRESS = ("ansible_host", "ansible_ssh_host")
_PORT = ("ansible_port", "ansible_ssh_port")
_USER = ("ansible_user", "ansible_ssh_user")
_KEY = ("ansible_private_key_file", "ansible_ssh_private_key_file")
_BECOME = ("ansible_become",)
_BECOME_METHOD = ("ansible_become_method",)
_BECOME_USER = ("ansible_become_user",)
_EXECUTABLE = ("ansible_ssh_executable",)
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")

_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh")
_TRUTH = dict.fromkeys(("y", "yes", "on", "1", "true", "t"), True)
_TRUTH |= dict.fromkeys(("n", "no", "off", "0", "false", "f"), False)

# Options of ssh that change neither which host is reached nor as whom. Host keys are checked
# whatever they say.
_HARMLESS = {
    *("batchmode", "compression", "connectionattempts", "connecttimeout", "controlmaster"),
    *("controlpath", "controlpersist", "forwardagent", "globalknownhostsfile", "identitiesonly"),
    *("loglevel", "passwordauthentication", "preferredauthentications", "serveralivecountmax"),
    *("serveraliveinterval", "stricthostkeychecking", "tcpkeepalive", "userknownhostsfile"),
}


def host_spec(source: Path, name: str, variables: Mapping[str, object]) -> HostSpec:
    """Return how to reach a host, without its variables.

    source: the inventory, to name in errors.
    variables: all that hold for the host, those of its groups included.
    Raises InventoryError for what we cannot do as it says, and for a value of the wrong kind.
    """
    return _Host(source, name, variables).spec()


class _Host(Checks):
    def __init__(self, source: Path, name: str, variables: Mapping[str, object]) -> None:
        super().__init__(source)
        self.host = name
        self.variables = variables

    def key(self, variable: str) -> str:
        return f"{shown(self.host)}, {variable}"

    def find(self, names: tuple[str, ...]) -> tuple[str, object]:
        """Return the value of the last of these variables that has one, and its key."""
        found = [name for name in names if self.variables.get(name) is not None]
        if not found:
            return self.key(names[0]), None
        value = self.variables[found[-1]]
        if flaw := flaw_of(value):
            self.fail(self.key(found[-1]), f"the value {flaw}", "write what it comes to")
        return self.key(found[-1]), value

    def spec(self) -> HostSpec:
        self.name(shown(self.host), self.host)
        if self.connection() == "local":
            return HostSpec(self.host, become=self.become_way(), here=True)
        if self.host == LOCALHOST:
            for names in (_ADDRESS, _PORT, _USER, _KEY):
                key, value = self.find(names)
                if value is not None:
                    what = "localhost is this machine, reached without SSH"
                    right = "set ansible_connection to local, or give the host another name"
                    self.fail(key, what, right)
        self.arguments()
        key, port = self.find(_PORT)
        if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6:
            port = int(port)
        return HostSpec(
            self.host,
            address=self.word(*self.find(_ADDRESS), '"192.0.2.7"'),
            port=self.port(key, port, "22"),
            user=self.word(*self.find(_USER), '"builder"'),
            # Where Ansible itself would look.
            key=self.path(*self.find(_KEY), Path()),
            become=self.become_way(),
        )

    def connection(self) -> str:
        key, value = self.find(_CONNECTION)
        way = str(value or "ssh").rpartition(".")[2]
        if way != "local" and way not in _SSH:
            right = "a host that one can build on is reached by ssh, or is local"
            self.fail(key, f"there is no way for us to connect by {shown(str(value))}", right)
        return way

    def become_way(self) -> Become | None:
        key, value = self.find(_BECOME)
        wanted = None if value is None else _TRUTH.get(str(value).lower())
        if value is not None and wanted is None:
            self.fail(key, f"{kind(value)} that is neither yes nor no", "write true or false")
        if wanted is False:
            return "none"
        for names, right in ((_BECOME_METHOD, "sudo"), (_BECOME_USER, "root")):
            key, value = self.find(names)
            if value is not None and str(value).rpartition(".")[2] != right:
                what = f"we cannot become root by {shown(str(value))}"
                self.fail(key, what, f"write {right}, or log in as root with ansible_become false")
        return "sudo" if wanted else None

    def arguments(self) -> None:
        """Refuse a program, or arguments of ssh, that would lead somewhere else."""
        right = "write what it says into ~/.ssh/config, which is read, and leave it out here"
        key, value = self.find(_EXECUTABLE)
        if value is not None and Path(str(value)).name != "ssh":
            self.fail(key, f"we do not call {shown(str(value))}", right)
        for name in _ARGUMENTS:
            key, value = self.find((name,))
            if value is not None and (word := _astray(str(value))):
                self.fail(key, f"we do not call ssh, and cannot follow {shown(word)}", right)


def _astray(arguments: str) -> str:
    """Return the first of ssh's arguments that may lead somewhere else, empty for none."""
    try:
        words = shlex.split(arguments)
    except ValueError:
        return arguments
    while words:
        word = words.pop(0)
        if word in ("-C", "-q"):
            continue
        option = word[2:] or (words.pop(0) if words else "")
        if word[:2] != "-o" or option.replace("=", " ").split(" ")[0].lower() not in _HARMLESS:
            return f"{word} {option}" if word == "-o" else word
    return ""
