"""Inventories that come from Ansible: what the real ansible-inventory says, we say too."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootwright.inventory import HostSpec, Inventory
from rootwright.inventory.ansible_value import literal
from rootwright.report.data import json_text
from tests.support.apart import cache, environment
from tests.support.books import waiting_book
from tests.support.program import PROGRAM
from tests.support.sshd import Sshd

Ansible = Callable[..., str]

YAML = """
all:
  vars: {timezone: Etc/UTC, lang: C.UTF-8, note: "{{ lang }}", ansible_user: build}
  hosts:
    lone: {ansible_host: 192.0.2.1, ansible_connection: local}
  children:
    prod:
      vars: {lang: de_DE.UTF-8, deep: {a: [1, null, 2.5, "two words"]}}
      children:
        arch:
          hosts:
            a[1:3]: {ansible_port: 2222, ansible_ssh_private_key_file: ~/.ssh/fleet}
          vars: {lang: fr_FR.UTF-8, ansible_group_priority: 5}
        deb:
          hosts:
            a1: {}
            d1: {ansible_become: yes, plain: !unsafe "{{ x }}"}
          vars: {lang: it_IT.UTF-8}
        late: {hosts: {d1: {}}, vars: {lang: ja_JP.UTF-8}}
    zed:
      hosts:
        a2: {lang: zu_ZA.UTF-8}
      vars: {sealed: !vault "$ANSIBLE_VAULT;1.1;AES256\\n6162"}
"""
INI = """
lone ansible_host=192.0.2.1 ansible_connection=local ansible_user=build
[web]
a[1:3] mirror=http://mirror.example.org lang=C ansible_ssh_private_key_file=~/.ssh/fleet
[db]
d1 ansible_become=true names='["a", "b"]'
a2
[prod:children]
web
db
[site:children]
prod
[prod:vars]
lang=de_DE.UTF-8
number=3
ansible_user=build
[web:vars]
ansible_port=2222
[site:vars]
lang=fr_FR.UTF-8
outer=yes
"""


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of Ansible's own programs."""
    return environment(cache("tests"), "ansible", ["ansible-core"], print) / "bin"


@pytest.fixture(scope="session")
def ansible(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Ansible:
    """Run one of Ansible's programs and return what it prints."""
    home = tmp_path_factory.mktemp("ansible")
    env = {"HOME": str(home), "LANG": "C.UTF-8", "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(*words: object, folder: Path) -> str:
        argv = list(map(str, words))
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def program(programs: Path, tmp_path: Path) -> Callable[[str, str], Path]:
    """Make an executable that may call Ansible's programs."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / name
        line = f"PATH={shlex.quote(str(programs))}:$PATH HOME={shlex.quote(str(tmp_path))}"
        path.write_text(f"#!/bin/sh\n{line} LANG=C.UTF-8\nexport PATH HOME LANG\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def groups_of(ansible: Ansible, source: Path, host: str) -> dict[str, set[str]]:
    """Return the members of every group, as Ansible itself works them out."""
    said = ansible(
        "ansible", "-i", source, host, "-m", "debug", "-a", "var=groups", folder=source.parent
    )
    found: dict[str, list[str]] = json.loads(said.partition("=>")[2])["groups"]
    return {name: set(hosts) for name, hosts in found.items()}


def same(inventory: Inventory, variables: dict[str, Any], groups: dict[str, set[str]]) -> None:
    """Check that an inventory has the hosts, groups and variables that Ansible has."""
    assert inventory.hosts.keys() - {"localhost"} == variables.keys()
    assert {spec.name for spec in inventory.hosts.values()} == inventory.hosts.keys()
    for name, own in variables.items():
        wanted = {key: value for key, value in own.items() if not key.startswith("ansible_")}
        # In old forms of a group Ansible marks all texts as no templates.
        assert literal(inventory.variables(name)) == literal(wanted), name
    ours = {group.name: set(group.hosts) for group in inventory.groups.values()}
    assert ours | {"all": variables.keys()} == {k: v for k, v in groups.items() if v or k in ours}


@pytest.mark.parametrize("text", [YAML, INI], ids=["yaml", "ini"])
def test_hosts_groups_and_variables_are_ansible_s(
    ansible: Ansible, tmp_path: Path, text: str, home: Path
) -> None:
    source = tmp_path / ("fleet.yml" if text == YAML else "fleet.ini")
    source.write_text(text)
    merged = ansible("ansible-inventory", "-i", source, "--list", folder=tmp_path)
    exported = ansible("ansible-inventory", "-i", source, "--list", "--export", folder=tmp_path)
    variables = json.loads(merged)["_meta"]["hostvars"]
    groups = groups_of(ansible, source, "lone")
    for name, said in (("merged.json", merged), ("exported.json", exported)):
        (tmp_path / name).write_text(said)
        inventory = Inventory.load(tmp_path / name)
        same(inventory, variables, groups)
        fleet = f"{home}/.ssh/fleet"
        assert reached(inventory, "a1") == HostSpec("a1", None, 2222, "build", fleet)
        assert reached(inventory, "lone") == HostSpec("lone", here=True)
        become = reached(inventory, "d1").become
        assert become == "sudo"
        listed(tmp_path / name, variables, groups)


def reached(inventory: Inventory, name: str) -> HostSpec:
    """Return how a host is reached, without its variables."""
    (spec,) = inventory.select([name])
    return HostSpec(
        spec.name, spec.address, spec.port, spec.user, spec.key, spec.become, here=spec.here
    )


def listed(source: Path, variables: dict[str, Any], groups: dict[str, set[str]]) -> None:
    """Check what the command line says of an inventory."""
    argv = [*PROGRAM, "hosts", "--inventory", source.name]
    done = subprocess.run(argv, cwd=source.parent, capture_output=True, text=True, check=True)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines.keys() - {"localhost"} <= variables.keys() | groups.keys()
    for name, own in variables.items():
        line = lines[name]
        for key, value in own.items():
            plain = isinstance(value, str) and not set(value) & set(' "\n')
            word = f" {key}={value if plain else json_text(value)}"
            assert key.startswith("ansible_") or word in line, line
            line = line.replace(word, "")
        assert "=" not in line
    for name, members in groups.items():
        if members and name != "all":
            assert set(lines[name].partition(" group of ")[2].split(", ")) == members


def test_a_program_is_asked(ansible: Ansible, program: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "fleet.ini").write_text(INI)
    variables = json.loads(
        ansible("ansible-inventory", "-i", "fleet.ini", "--list", folder=tmp_path)
    )["_meta"]["hostvars"]
    groups = groups_of(ansible, tmp_path / "fleet.ini", "lone")
    fleet = shlex.quote(str(tmp_path / "fleet.ini"))
    whole = program("whole.toml", f'exec ansible-inventory -i {fleet} "$@"')
    same(Inventory.load(whole), variables, groups)
    # Without _meta it is asked for each host.
    forget = "import json, sys; d = json.load(sys.stdin); del d['_meta']; print(json.dumps(d))"
    piecemeal = program(
        "piecemeal",
        f'[ $1 = --list ] || exec ansible-inventory -i {fleet} "$@"\n'
        f'ansible-inventory -i {fleet} --list --export | {shutil.which("python3")} -c "{forget}"',
    )
    same(Inventory.load(piecemeal), variables, groups)


def test_old_forms_of_groups_mean_what_they_mean_to_ansible(
    ansible: Ansible, program: Callable[..., Path], tmp_path: Path
) -> None:
    document = {
        "oldest": ["x", "y"],
        "alone": {"lang": "C"},
        "bare": {"children": ["oldest", "unwritten"], "vars": {"ansible_group_priority": "7"}},
        "all": {"hosts": ["z"], "vars": {"lang": "de_DE.UTF-8"}},
        "_meta": {"hostvars": {"x": {"number": 1}, "unheard": {"number": 2}}},
    }
    old = program("old", f"echo {shlex.quote(json.dumps(document))}")
    said = json.loads(ansible("ansible-inventory", "-i", old, "--list", folder=tmp_path))
    inventory = Inventory.load(old)
    same(
        inventory,
        said["_meta"]["hostvars"] | {"y": {"lang": "de_DE.UTF-8"}},
        groups_of(ansible, old, "z"),
    )
    assert reached(inventory, "alone") == HostSpec("alone")


def test_a_play_on_a_host_of_ansible_s(
    ansible: Ansible, sshd: Sshd, work_dir: str, home: Path, tmp_path: Path
) -> None:
    (home / ".ssh/known_hosts").write_text(sshd.known_hosts_line())
    (tmp_path / "fleet.ini").write_text(
        f"[near]\nbox ansible_host=127.0.0.1 ansible_port={sshd.port}\n[far]\nwin text=x\n"
        "[fleet:children]\nnear\nfar\n[far:vars]\nansible_connection=winrm\n[fleet:vars]\n"
        f"ansible_user=root\nansible_ssh_private_key_file={sshd.client_key}\n"
        "text=said by the inventory\nanother='{{ that means nothing here }}'\n"
        "ansible_ssh_common_args='-o StrictHostKeyChecking=no'\n"
    )
    listing = ansible("ansible-inventory", "-i", "fleet.ini", "--list", folder=tmp_path)
    (tmp_path / "hosts.json").write_text(listing)
    place = ["--inventory", "hosts.json", "--work-dir", work_dir, "--json"]

    def play(*more: str) -> subprocess.CompletedProcess[str]:
        argv = [*waiting_book(tmp_path), *place, *more]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)

    done = play("--host", "near")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["options"]["text"] == "said by the inventory"
    assert Path(work_dir, "waiting/tree/rootfs/etc/note").read_text() == "said by the inventory"
    # A host that is of no use here costs nobody the others, and is refused when it is meant.
    refused = play("--host", "fleet")
    assert refused.returncode == 2
    assert "hosts.json: win, ansible_connection" in refused.stderr
    (tmp_path / "hosts.json").write_text(listing.replace("said by", "{{ said_by }}"))
    refused = play("--host", "box")
    assert refused.returncode == 2
    assert "is a template for Ansible to fill in" in refused.stderr
    assert play("--host", "box", "--text", "said by the inventory").returncode == 0
