"""The contenders in converging: Rootwright, and what people use instead, given the same wishes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.desired import LINE_START, TEMPLATE, Item, Wishes, dump
from benchmarks.lab import REPOSITORY, Lab, alias
from benchmarks.measure import Run, timed
from benchmarks.peers import Peers
from rootwright.errors import StepError

PLAYBOOKS = Path(__file__).resolve().parent / "playbooks"


def program(*words: str) -> list[str]:
    """Return the argv of Rootwright with the benchmarks' playbooks, to be run in the checkout."""
    return [sys.executable, "-m", "benchmarks.program", str(PLAYBOOKS), *words]


class Contender(ABC):
    """A program that makes wishes come true on a host over SSH."""

    name = ""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = lab.folder / "contenders" / type(self).__name__.lower()
        self.folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def write(self, items: Sequence[Item]) -> None:
        """Write what is wished in this program's own language."""

    @abstractmethod
    def command(self, network: str) -> list[str]:
        """Return the argv that makes it so."""

    def environment(self) -> Mapping[str, str]:
        """Return what its environment has besides the lab's."""
        return {}

    def facts(self, output: str) -> dict[str, float]:
        """Return what its output tells of a run; leave nothing of it behind."""
        del output
        return {}

    def once(self, wishes: Wishes, network: str) -> Run:
        """Run it once, timed, and look whether the wishes came true.

        Raises StepError when they did not.
        """
        items = wishes.items()
        self.write(items)
        run, output = timed(
            self.command(network), env={**self.lab.env, **self.environment()}, cwd=self.cwd()
        )
        facts = self.facts(output)
        wrong = [item for item in items if not item.holds()]
        if wrong:
            raise StepError(f"{self.name} did not converge {wrong[0].kind} {wrong[0].path}")
        return run.knowing(**facts)

    def cwd(self) -> Path:
        """Return the folder it runs in."""
        return self.folder


class Rootwright(Contender):
    """Ourselves."""

    name = "Rootwright"

    def write(self, items: Sequence[Item]) -> None:
        dump(items, self.folder / "items.json")

    def command(self, network: str) -> list[str]:
        return program(
            *("build-converge", "--json", "--host", alias(network)),
            *("--items", str(self.folder / "items.json")),
            *("--inventory", str(self.lab.inventory), "--work-dir", str(self.folder / "work")),
        )

    def cwd(self) -> Path:
        return REPOSITORY

    def facts(self, output: str) -> dict[str, float]:
        (host,) = json.loads(output)["hosts"]
        return {"changed": host["changed"], "round_trips": host["round_trips"]}


class Pyinfra(Contender):
    """pyinfra, as its documentation has it."""

    name = "pyinfra"

    def __init__(self, lab: Lab, peers: Peers) -> None:
        super().__init__(lab)
        self._program = peers.program("pyinfra")
        for network, port in lab.ports.items():
            data = {
                "ssh_hostname": lab.sshd.host,
                "ssh_port": port,
                "ssh_user": "root",
                "ssh_key": str(lab.sshd.client_key),
                "ssh_known_hosts_file": str(lab.known_hosts),
                "ssh_strict_host_key_checking": "yes",
            }
            self._inventory(network).write_text(f"hosts = [({alias(network)!r}, {data!r})]\n")

    def _inventory(self, network: str) -> Path:
        return self.folder / f"inventory_{network.split()[0]}.py"

    def write(self, items: Sequence[Item]) -> None:
        (self.folder / "template.j2").write_text(TEMPLATE)
        lines = [
            "from io import StringIO",
            "from pyinfra import host",
            "from pyinfra.facts.files import File",
            "from pyinfra.operations import apt, files, server",
        ]
        lines += [_pyinfra(item) for item in items]
        (self.folder / "deploy.py").write_text("\n".join([*lines, ""]))

    def command(self, network: str) -> list[str]:
        return [self._program, "-y", self._inventory(network).name, "deploy.py"]


def _pyinfra(item: Item) -> str:
    owned = "user='root', group='root'"
    match item.kind:
        case "directory":
            return f"files.directory({item.path!r}, mode={item.mode!r}, {owned})"
        case "file":
            return (
                f"files.put(StringIO({item.content!r}), {item.path!r}, mode={item.mode!r}, {owned})"
            )
        case "template":
            return (
                f"files.template('template.j2', {item.path!r}, mode={item.mode!r}, {owned}, "
                f"**{item.values!r})"
            )
        case "line":
            return f"files.line({item.path!r}, {f'^{LINE_START}.*'!r}, replace={item.line!r})"
        case "symlink":
            return f"files.link({item.path!r}, target={item.target!r})"
        case "command":
            return (
                f"if not host.get_fact(File, path={item.path!r}):\n"
                f"    server.shell([{item.script!r}])"
            )
        case "package":
            return f"apt.packages([{item.content!r}])"


class Ansible(Contender):
    """ansible-playbook as it comes, facts not gathered."""

    name = "Ansible"
    settings: Mapping[str, str] = {}

    def __init__(self, lab: Lab, peers: Peers) -> None:
        super().__init__(lab)
        self._program = peers.program("ansible-playbook")
        self._strategies = peers.strategies()
        hosts = {
            alias(network): {
                "ansible_host": lab.sshd.host,
                "ansible_port": port,
                "ansible_user": "root",
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_common_args": f"-F {lab.ssh_config}",
            }
            for network, port in lab.ports.items()
        }
        inventory = {"all": {"hosts": hosts}}
        (self.folder / "inventory.yml").write_text(json.dumps(inventory))

    def write(self, items: Sequence[Item]) -> None:
        (self.folder / "template.j2").write_text(TEMPLATE)
        play = {"hosts": "all", "gather_facts": False, "tasks": [_ansible(item) for item in items]}
        (self.folder / "play.yml").write_text(json.dumps([play]))

    def command(self, network: str) -> list[str]:
        return [self._program, "-i", "inventory.yml", "-l", alias(network), "play.yml"]

    def environment(self) -> Mapping[str, str]:
        return {
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._sockets),
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            **self.settings,
        }

    @property
    def _sockets(self) -> Path:
        return self.lab.folder / "cp"

    def facts(self, output: str) -> dict[str, float]:
        # The next run connects anew, as every other contender does.
        for path in self._sockets.glob("*"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                end = ["ssh", "-O", "exit", "-o", f"ControlPath={path}", "-F", "none", "host"]
                subprocess.run(end, capture_output=True, check=False, timeout=10)
        recap = output.rpartition("changed=")[2]
        return {"changed": float(recap.split()[0])} if recap else {}


class PipeliningAnsible(Ansible):
    """ansible-playbook with pipelining, the setting everybody is told to make."""

    name = "Ansible, pipelining"
    settings: Mapping[str, str] = {"ANSIBLE_PIPELINING": "True"}


class MitogenAnsible(Ansible):
    """ansible-playbook with Mitogen's strategy."""

    name = "Ansible, Mitogen"

    def environment(self) -> Mapping[str, str]:
        mine = {
            "ANSIBLE_STRATEGY": "mitogen_linear",
            "ANSIBLE_STRATEGY_PLUGINS": str(self._strategies),
        }
        return {**super().environment(), **mine}


def _ansible(item: Item) -> dict[str, object]:
    owned = {"owner": "root", "group": "root", "mode": f"0{item.mode}"}
    match item.kind:
        case "directory":
            return {"ansible.builtin.file": {"path": item.path, "state": "directory", **owned}}
        case "file":
            return {"ansible.builtin.copy": {"dest": item.path, "content": item.content, **owned}}
        case "template":
            given = {"src": "template.j2", "dest": item.path, **owned}
            return {"ansible.builtin.template": given, "vars": item.values}
        case "line":
            edit = {"path": item.path, "regexp": f"^{LINE_START}", "line": item.line}
            return {"ansible.builtin.lineinfile": edit}
        case "symlink":
            link = {"path": item.path, "src": item.target, "state": "link"}
            return {"ansible.builtin.file": link}
        case "command":
            return {"ansible.builtin.shell": {"cmd": item.script, "creates": item.path}}
        case "package":
            return {"ansible.builtin.apt": {"name": item.content, "state": "present"}}
