"""The inventory: what it says, whom a name means, and that nonsense is an error with a hint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rootwright.errors import InventoryError
from rootwright.inventory import HostSpec, Inventory
from rootwright.inventory.source import MAX_BYTES
from rootwright.inventory.toml import describe, read_toml

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = Path("some/hosts.toml")

FLEET = """
[all]
timezone = "UTC"
lang = "C.UTF-8"
[hosts.archie]
address = "192.0.2.7"
port = 2222
user = "builder"
key = "/keys/archie"
become = "sudo"
vars = { mirror = "https://mirror.example.org", lang = "de_DE.UTF-8" }
[hosts."b.example.org"]
[groups.arch]
hosts = ["archie", "b.example.org", "archie"]
vars = { lang = "en_US.UTF-8", packages = ["base"] }
[groups.late]
hosts = ["b.example.org"]
vars = { lang = "fr_FR.UTF-8" }
[groups.empty]
"""


def parse(text: str | bytes) -> Inventory:
    data = text.encode() if isinstance(text, str) else text
    return Inventory(describe(read_toml(data, SOURCE), SOURCE), SOURCE)


def refused(text: str | bytes) -> InventoryError:
    with pytest.raises(InventoryError) as caught:
        parse(text)
    return checked(caught.value)


def checked(error: InventoryError) -> InventoryError:
    assert error.exit_code == 2
    assert error.what
    assert error.where
    assert error.hint
    assert all(line.isprintable() for line in error.lines())
    return error


def names(specs: list[HostSpec]) -> list[str]:
    return [spec.name for spec in specs]


def test_a_host_is_what_the_file_says() -> None:
    fleet = parse(FLEET)
    assert fleet.hosts["archie"] == HostSpec(
        name="archie",
        address="192.0.2.7",
        port=2222,
        user="builder",
        key="/keys/archie",
        become="sudo",
        vars={"mirror": "https://mirror.example.org", "lang": "de_DE.UTF-8"},
    )
    assert fleet.hosts["b.example.org"] == HostSpec("b.example.org")
    assert list(fleet.hosts) == ["localhost", "archie", "b.example.org"]
    assert list(fleet.groups) == ["arch", "late", "empty"]
    assert fleet.groups["arch"].hosts == ("archie", "b.example.org")
    assert fleet.source == SOURCE


def test_names_of_hosts_and_groups_keep_their_order_and_come_once() -> None:
    fleet = parse(FLEET)
    assert names(fleet.select([])) == ["localhost"]
    assert names(fleet.select(["localhost", "b.example.org", "arch"])) == [
        "localhost",
        "b.example.org",
        "archie",
    ]
    assert names(fleet.select(["all"])) == ["archie", "b.example.org"]


def test_the_nearer_variable_wins() -> None:
    fleet = parse(FLEET)
    assert fleet.variables("localhost") == {"timezone": "UTC", "lang": "C.UTF-8"}
    assert fleet.variables("archie") == {
        "timezone": "UTC",
        "lang": "de_DE.UTF-8",
        "packages": ["base"],
        "mirror": "https://mirror.example.org",
    }
    assert fleet.variables(fleet.hosts["b.example.org"])["lang"] == "fr_FR.UTF-8"


def test_variables_are_copies() -> None:
    fleet = parse(FLEET)
    packages = fleet.variables("archie")["packages"]
    assert isinstance(packages, list)
    packages.append("vim")
    assert fleet.variables("archie")["packages"] == ["base"]


def test_localhost_may_be_written() -> None:
    own = parse('[hosts.far]\n[hosts.localhost]\nbecome = "none"\nvars = { lang = "C" }')
    assert list(own.hosts) == ["far", "localhost"]
    assert own.hosts["localhost"].become == "none"
    assert own.hosts["localhost"].local
    assert not own.hosts["far"].local
    assert own.variables("localhost") == {"lang": "C"}
    assert names(own.select(["all"])) == ["far", "localhost"]


def test_a_group_may_name_the_unwritten_localhost() -> None:
    assert names(parse('[groups.g]\nhosts = ["localhost"]').select(["g"])) == ["localhost"]


def test_a_key_starts_at_the_home_or_at_the_inventory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "hosts.toml").write_text('[hosts.a]\nkey = "~/k"\n[hosts.b]\nkey = "keys/k"')
    hosts = Inventory.load(tmp_path / "hosts.toml").hosts
    assert hosts["a"].key == "/home/me/k"
    assert hosts["b"].key == str(tmp_path / "keys/k")


def test_no_inventory_is_localhost_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    empty = Inventory.load(None)
    assert list(empty.hosts) == ["localhost"]
    assert empty.source is None
    with pytest.raises(InventoryError) as caught:
        empty.select(["archie"])
    assert "localhost" in checked(caught.value).hint
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.toml").write_text("[hosts.here]")
    assert "here" in Inventory.load(None).hosts


def test_the_inventory_that_comes_along_is_valid_and_its_examples_are_too() -> None:
    path = REPOSITORY / "inventory" / "hosts.toml"
    assert list(Inventory.load(path).hosts) == ["localhost"]
    examples = "\n".join(
        line.removeprefix("# ")
        for line in path.read_text().splitlines()
        if line.startswith("# [") or " = " in line.partition("#")[2].partition("#")[0]
    )
    fleet = parse(examples)
    assert names(fleet.select(["arch"])) == ["archie"]
    assert set(fleet.variables("archie")) == {"timezone", "mirror", "lang"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("archi", "did you mean archie or arch?"), ("archh", "arch"), ("zzz", "[hosts.zzz]")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse(FLEET).select([name])
    error = checked(caught.value)
    assert name in error.what
    assert hint in error.hint
    assert "known are localhost, archie, b.example.org, arch, late, empty" in error.hint
    assert error.where == str(SOURCE)


@pytest.mark.parametrize("name", ["empty", "all"])
def test_a_name_without_hosts_is_refused(name: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse("[groups.empty]").select([name])
    assert name in checked(caught.value).what


@pytest.mark.parametrize("name", ["", "-x", "a\x1b[31mb", "\udc80"])
def test_whatever_name_is_asked_for_the_message_is_harmless(name: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse(FLEET).select([name])
    checked(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[host.archie]", "host", "did you mean hosts?"),
        ("[fleet]", "fleet", "all, hosts, groups"),
        ("hosts = 1", "hosts", "[hosts]"),
        ('[hosts]\narchie = "192.0.2.7"', "hosts.archie", "[hosts.archie]"),
        ("[hosts.archie]\nprot = 22", "hosts.archie.prot", "did you mean port?"),
        ('[hosts.archie]\nmirror = "x"', "hosts.archie.mirror", "vars"),
        ("[hosts.archie]\nport = true", "hosts.archie.port", "1 to 65535"),
        ('[hosts.archie]\nport = "22"', "hosts.archie.port", "port = 22"),
        ("[hosts.archie]\nport = 22.0", "hosts.archie.port", "port = 22"),
        ("[hosts.archie]\nport = 0", "hosts.archie.port", "1 to 65535"),
        ("[hosts.archie]\nport = 65536", "hosts.archie.port", "1 to 65535"),
        ("[hosts.archie]\naddress = 1", "hosts.archie.address", "192.0.2.7"),
        ('[hosts.archie]\naddress = ""', "hosts.archie.address", "192.0.2.7"),
        ('[hosts.archie]\naddress = "a:22"', "hosts.archie.address", "port"),
        ('[hosts.archie]\naddress = "me@a"', "hosts.archie.address", "user"),
        ('[hosts.archie]\nuser = "-l"', "hosts.archie.user", "builder"),
        ('[hosts.archie]\nkey = "a\\u0000b"', "hosts.archie.key", "id_ed25519"),
        ('[hosts.archie]\nkey = "~no-such-user-here/k"', "hosts.archie.key", "home"),
        ("[hosts.archie]\nbecome = true", "hosts.archie.become", "sudo"),
        ('[hosts.archie]\nbecome = "doas"', "hosts.archie.become", "sudo"),
        ("[hosts.archie]\nvars = 3", "hosts.archie.vars", "[hosts.archie.vars]"),
        ("[hosts.archie.vars]\nbuilt = 2024-01-01", "hosts.archie.vars.built", "quote"),
        ("[hosts.archie.vars]\na = [1, inf]", "hosts.archie.vars.a[1]", "quote"),
        ("[hosts.archie.vars]\na = 0xffffffffffffffff", "hosts.archie.vars.a", "quote"),
        ('[all]\nimage-mirror = "x"', "all.image-mirror", "image_mirror"),
        ("[all.vars]\nlang = 1", "all.vars", "[all] itself"),
        (f"[all]\n{'.'.join('a' * 5000)} = 1", "all.a.a", "text"),
        ("[hosts.-x]", "hosts.-x", "letters"),
        ('[hosts."a b"]', 'hosts."a b"', "letters"),
        ('[hosts."../a"]', 'hosts."../a"', "letters"),
        ('[hosts."a\\u001bb"]', 'hosts."a\\u001bb"', "letters"),
        ('[hosts."a\\u202eb"]', 'hosts."a\\u202eb"', "letters"),
        ('[hosts."me@a"]', 'hosts."me@a"', "letters"),
        ('[hosts.""]', 'hosts.""', "letters"),
        ("[hosts.all]", "hosts.all", "another name"),
        ("[hosts.localhost]\nport = 22", "hosts.localhost.port", "another name"),
        ("[groups.-x]", "groups.-x", "letters"),
        ("[groups.localhost]", "groups.localhost", "another name"),
        ("[hosts.x]\n[groups.x]", "groups.x", "another name"),
        ('[groups.g]\nhosts = "archie"', "groups.g.hosts", '["archie"]'),
        ("[groups.g]\nhosts = [1]", "groups.g.hosts", '["archie"]'),
        ('[groups.g]\nhosts = ["x"]', "groups.g.hosts", "known are localhost"),
        (
            '[hosts.archie]\n[groups.g]\nhosts = ["archi"]',
            "groups.g.hosts",
            "did you mean archie?",
        ),
        ("[groups.g]\nhost = []", "groups.g.host", "did you mean hosts?"),
    ],
)
def test_nonsense_is_refused_with_its_key_and_what_would_be_right(
    text: str, key: str, words: str
) -> None:
    error = refused(text)
    assert error.where.startswith(f"{SOURCE}: {key}")
    assert words in f"{error.what} {error.hint}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[hosts.a]\nport = \n", ":2"),
        ("[hosts.a]\n[hosts.a]\n", ":2"),
        (b"[hosts.a]\nuser = 'a\xff'\n", ":2"),
        (b"\xef\xbb\xbf\xff", ":1"),
        ("a\0", ":1"),
        ("x = " + "[" * 5000, ""),
        ("x = " + "1" * 5000, ""),
        (b"#" * (MAX_BYTES + 1), ""),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(text: str | bytes, line: str) -> None:
    assert refused(text).where == f"{SOURCE}{line}"


def test_a_byte_order_mark_is_let_pass() -> None:
    assert "a" in parse(b"\xef\xbb\xbf[hosts.a]").hosts


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    bad = [tmp_path / "none.toml", tmp_path, tmp_path / "a\0b", Path("/dev/zero")]
    for path in bad:
        with pytest.raises(InventoryError) as caught:
            Inventory.load(path)
        assert checked(caught.value).where
    locked = tmp_path / "locked.toml"
    locked.touch(0)
    if os.geteuid() != 0:  # root may read it
        with pytest.raises(InventoryError):
            Inventory.load(locked)


def survives(data: bytes) -> None:
    try:
        inventory = parse(data)
    except InventoryError as error:
        checked(error)
    else:
        for host in inventory.hosts:
            inventory.variables(host)
            assert names(inventory.select([host])) == [host]


@given(st.binary())
@example(b"\xff\xfe[")
@example(b'[hosts."\\ud800"]')
@example(b"a = 0000-00-00")
def test_any_bytes_are_an_inventory_or_an_error(data: bytes) -> None:
    survives(data)


TOKENS = [
    *["[", "]", "{", "}", "=", ".", ",", '"', "'", "\n", " ", "#", "-", "\\", "\0", "\x1b", "é"],
    *["all", "hosts", "groups", "vars", "port", "user", "key", "address", "become", "localhost"],
    *["[hosts.a]\n", "[groups.g]\n", "[all]\n", "true", "1", "1e9", "nan", "07:32:00", '"a"', "~"],
]


@given(st.lists(st.sampled_from(TOKENS)).map("".join))
def test_anything_like_toml_is_an_inventory_or_an_error(text: str) -> None:
    survives(text.encode())


KEYS = st.sampled_from(
    ["all", "hosts", "groups", "vars", "port", "user", "key", "address", "become", "a", "localhost"]
) | st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("sudo"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)
TABLES = st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=3)


@given(st.dictionaries(KEYS, TABLES | VALUES, max_size=3))
def test_any_mapping_is_an_inventory_or_an_error(mapping: dict[str, object]) -> None:
    try:
        described = describe(mapping, SOURCE)
    except InventoryError as error:
        checked(error)
    else:
        Inventory(described, SOURCE).select([])
