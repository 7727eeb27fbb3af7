"""Ansible's form of an inventory: what of it holds here, and what is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rootwright.errors import InventoryError
from rootwright.inventory import HostSpec, Inventory
from rootwright.inventory.ansible import describe, read_json

SOURCE = Path("some/hosts.json")


def parse(document: dict[str, Any]) -> Inventory:
    said = read_json(json.dumps(document).encode(), str(SOURCE))
    return Inventory(describe(said, SOURCE), SOURCE)


def one(**variables: object) -> Inventory:
    """Return an inventory of one host, ``a``."""
    return parse({"g": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": variables}}})


def checked(error: InventoryError) -> InventoryError:
    assert error.exit_code == 2
    assert error.what
    assert error.where.startswith(str(SOURCE))
    assert error.hint
    assert all(line.isprintable() for line in error.lines())
    return error


def reached(**variables: object) -> HostSpec:
    (spec,) = one(**variables).select(["a"])
    return spec


@pytest.mark.parametrize(
    ("variables", "spec"),
    [
        ({}, HostSpec("a")),
        ({"ansible_host": "192.0.2.7"}, HostSpec("a", "192.0.2.7")),
        ({"ansible_host": "x", "ansible_ssh_host": "192.0.2.7"}, HostSpec("a", "192.0.2.7")),
        ({"ansible_host": "2001:db8::7"}, HostSpec("a", "2001:db8::7")),
        ({"ansible_port": 2222}, HostSpec("a", port=2222)),
        ({"ansible_ssh_port": "2222"}, HostSpec("a", port=2222)),
        ({"ansible_ssh_user": "me"}, HostSpec("a", user="me")),
        ({"ansible_user": None}, HostSpec("a")),
        ({"ansible_private_key_file": "/k"}, HostSpec("a", key="/k")),
        ({"ansible_ssh_private_key_file": "k"}, HostSpec("a", key=f"{Path.cwd()}/k")),
        ({"ansible_become": "yes"}, HostSpec("a", become="sudo")),
        ({"ansible_become": True, "ansible_become_user": "root"}, HostSpec("a", become="sudo")),
        ({"ansible_become": "False", "ansible_become_user": "me"}, HostSpec("a", become="none")),
        ({"ansible_become_method": "ansible.builtin.sudo"}, HostSpec("a")),
        ({"ansible_connection": "ansible.builtin.ssh"}, HostSpec("a")),
        ({"ansible_connection": "local", "ansible_user": "x"}, HostSpec("a", here=True)),
        ({"ansible_ssh_args": ""}, HostSpec("a")),
        (
            {"ansible_ssh_common_args": "-C -o StrictHostKeyChecking=no -oControlPersist=60s"},
            HostSpec("a"),
        ),
    ],
)
def test_how_a_host_is_reached(variables: dict[str, object], spec: HostSpec) -> None:
    assert reached(**variables) == spec
    assert one(**variables).variables("a") == {}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ansible_host": "{{ x }}.example.org"}, "ansible_host template"),
        ({"ansible_host": {"__ansible_vault": "$ANSIBLE_VAULT;1.1"}}, "ansible_host Vault"),
        ({"ansible_host": 7}, "ansible_host 192.0.2.7"),
        ({"ansible_host": "-oProxyCommand=x"}, "ansible_host '-'"),
        ({"ansible_port": "many"}, "ansible_port 65535"),
        ({"ansible_port": 0}, "ansible_port 65535"),
        ({"ansible_port": True}, "ansible_port 65535"),
        ({"ansible_user": "a b"}, "ansible_user spaces"),
        ({"ansible_ssh_private_key_file": ""}, "ansible_ssh_private_key_file path"),
        ({"ansible_become": "perhaps"}, "ansible_become true"),
        ({"ansible_become": True, "ansible_become_method": "su"}, "ansible_become_method sudo"),
        ({"ansible_become_user": "postgres"}, "ansible_become_user root"),
        ({"ansible_connection": "winrm"}, "ansible_connection winrm"),
        ({"ansible_connection": "community.docker.docker"}, "ansible_connection docker"),
        ({"ansible_ssh_common_args": "-o ProxyJump=gate"}, "ansible_ssh_common_args config"),
        ({"ansible_ssh_common_args": "-J gate"}, "ansible_ssh_common_args -J"),
        ({"ansible_ssh_extra_args": "-o"}, "ansible_ssh_extra_args config"),
        ({"ansible_ssh_args": "'"}, "ansible_ssh_args config"),
        ({"ansible_ssh_args": "-oHostName=x -C"}, "ansible_ssh_args config"),
        ({"ansible_ssh_args": ["-C"]}, "ansible_ssh_args config"),
        ({"ansible_ssh_executable": "/opt/gate"}, "ansible_ssh_executable config"),
    ],
)
def test_what_cannot_be_followed_is_refused_when_the_host_is_meant(
    variables: dict[str, object], words: str
) -> None:
    inventory = one(**variables)
    for name in ("a", "g", "all"):
        with pytest.raises(InventoryError) as caught:
            inventory.select([name])
        error = checked(caught.value)
        assert error.where.startswith(f"{SOURCE}: a, ")
        for word in words.split():
            assert word in "\n".join(error.lines())
    assert [spec.name for spec in inventory.select(["localhost"])] == ["localhost"]


@pytest.mark.parametrize("name", ["-x", "a b", "me@a", "a:22", "", "\x1b[31m", "all"])
def test_a_name_that_cannot_be_a_host_s_is_refused(name: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse({"g": {"hosts": [name]}}).select(["g"])
    checked(caught.value)


def test_localhost_is_this_machine_or_refused() -> None:
    inventory = parse({"all": {"hosts": ["localhost"]}})
    assert inventory.select([]) == [HostSpec("localhost")]
    for own in ({"ansible_host": "192.0.2.7"}, {"ansible_port": 22}, {"ansible_user": "me"}):
        document: dict[str, Any] = {"all": {"hosts": ["localhost"], "vars": own}}
        with pytest.raises(InventoryError) as caught:
            parse(document).select([])
        assert "ansible_connection" in checked(caught.value).hint
        document["all"]["vars"] = own | {"ansible_connection": "local"}
        assert parse(document).select([]) == [HostSpec("localhost", here=True)]


def test_the_nearer_variable_wins_as_in_ansible() -> None:
    def group(number: int, **more: object) -> dict[str, Any]:
        return {"vars": {"v": number}, **more}

    document = {
        "all": group(0, children=["parent", "other"]),
        "child": group(2, hosts=["a", "b"]),
        "parent": group(1, children=["child", "sister"]),
        "sister": group(3, hosts=["b"]),
        "other": group(4, hosts=["b", "c"]),
        "_meta": {"hostvars": {"c": {"v": 5}}},
    }
    inventory = parse(document)
    assert [inventory.variables(name)["v"] for name in ("localhost", "a", "b", "c")] == [0, 2, 3, 5]
    document["child"]["vars"]["ansible_group_priority"] = 2
    assert parse(document).variables("b") == {"v": 2}
    assert inventory.groups["parent"].hosts == ("a", "b")
    assert [spec.name for spec in inventory.select(["other", "parent"])] == ["b", "c", "a"]


def test_only_the_options_asked_for_must_be_plain() -> None:
    sealed = {"__ansible_vault": "$ANSIBLE_VAULT;1.1"}
    inventory = one(
        mirror=[{"__ansible_unsafe": "{{ literal }}"}, "http://m"],
        lang=["C", "{% if x %}y{% endif %}"],
        password=sealed,
        nested={"deep": [sealed]},
        nothing=None,
    )
    (spec,) = inventory.select(["a"])
    assert inventory.options(spec, {"mirror"}) == {"mirror": ["{{ literal }}", "http://m"]}
    assert inventory.options(spec, {"slim"}) == {}
    for name in ("lang", "password", "nested"):
        with pytest.raises(InventoryError) as caught:
            inventory.options(spec, {name})
        assert checked(caught.value).where == f"{SOURCE}: a, {name}"
    assert inventory.variables("a")["password"] == sealed


@pytest.mark.parametrize(
    ("document", "key", "words"),
    [
        ({"g": {"hosts": {"a": {}}}}, "g.hosts", "ansible-inventory"),
        ({"g": {"hosts": "a"}}, "g.hosts", '["archie"]'),
        ({"g": {"hosts": [1]}}, "g.hosts", '["archie"]'),
        ({"g": {"children": {"h": {}}}}, "g.children", "ansible-inventory"),
        ({"g": {"vars": []}}, "g.vars", "a list"),
        ({"g": {"vars": {"ansible_group_priority": "high"}}}, "g.vars.ansible_group", "whole"),
        ({"g": "a"}, "g", "a text"),
        ({"g": None}, "g", "null"),
        ({"_meta": []}, "_meta", "a list"),
        ({"_meta": {"hostvars": 1}}, "_meta.hostvars", "a number"),
        (
            {"g": ["a"], "_meta": {"hostvars": {"a": True}}},
            "_meta.hostvars.a",
            "true or false",
        ),
        ({"g": {"children": ["g"]}}, "g.children", "g, g"),
        (
            {"a": {"children": ["b"]}, "b": {"children": ["c"]}, "c": {"children": ["a"]}},
            "",
            "groups are in one another",
        ),
    ],
)
def test_nonsense_is_refused_with_its_key(document: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse(document)
    error = checked(caught.value)
    assert error.where.startswith(f"{SOURCE}: {key}")
    assert words in f"{error.what} {error.hint}"


def test_a_host_and_a_group_of_others_with_one_name_is_refused_when_meant() -> None:
    inventory = parse({"a": ["a", "b"], "c": ["c"]})
    with pytest.raises(InventoryError) as caught:
        inventory.select(["a"])
    assert "at once" in checked(caught.value).what
    assert [spec.name for spec in inventory.select(["b", "c"])] == ["b", "c"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"{", ":1"),
        (b'{"g": {\n"hosts": [a]}}', ":2"),
        (b"[]", ""),
        (b"", ":1"),
        (b"{\xff}", ":1"),
        (b'{"a": ' * 40000, ""),
        (b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}", ""),
        (b'{"a": ' + b"1" * 5000 + b"}", ""),
    ],
)
def test_what_is_not_such_json_is_refused_with_its_line(text: bytes, line: str) -> None:
    with pytest.raises(InventoryError) as caught:
        read_json(text, str(SOURCE))
    assert checked(caught.value).where == f"{SOURCE}{line}"


def survives(document: dict[str, Any]) -> None:
    try:
        inventory = parse(document)
    except InventoryError as error:
        checked(error)
        return
    for name, spec in inventory.hosts.items():
        inventory.variables(name)
        try:
            assert inventory.select([name]) == [spec]
            inventory.options(spec, {"v", "a"})
        except InventoryError as error:
            checked(error)


NAMES = st.sampled_from(["all", "ungrouped", "a", "b", "g", "localhost", "_meta"]) | st.text(
    max_size=2
)
KEYS = st.sampled_from(
    [
        *("hosts", "vars", "children", "hostvars", "v", "ansible_host", "ansible_port"),
        *("ansible_user", "ansible_connection", "ansible_become", "ansible_ssh_args"),
        *("ansible_group_priority", "ansible_private_key_file"),
        *("__ansible_vault", "__ansible_unsafe"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | NAMES, inner, max_size=3),
)
GROUPS = st.dictionaries(
    st.sampled_from(["hosts", "vars", "children"]),
    st.lists(NAMES, max_size=3) | st.dictionaries(KEYS, VALUES, max_size=3) | VALUES,
)
META = st.fixed_dictionaries({"hostvars": st.dictionaries(NAMES, st.dictionaries(KEYS, VALUES))})


@given(st.dictionaries(NAMES, GROUPS | META | VALUES, max_size=4))
@example({"a": {"vars": {"ansible_private_key_file": "~\0"}}})
def test_any_mapping_is_an_inventory_or_an_error(document: dict[str, Any]) -> None:
    survives(document)


@given(st.lists(NAMES, max_size=3), st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_variables_are_a_host_or_an_error(hosts: list[str], own: dict[str, Any]) -> None:
    survives({"g": {"hosts": hosts, "vars": own}})
