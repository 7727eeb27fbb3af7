"""The sample mirror's pure parts, and its server on a real socket."""

from __future__ import annotations

import gzip
import http.client
import io
import re
import tarfile
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from rootwright.errors import StepError
from rootwright.sample_mirror import debian, keys, mirror, package, packages, texts, tree
from rootwright.sample_mirror.serve import Faults, Server, serve
from rootwright.sample_mirror.tree import Entry

CONTROL = """\
Package: bash
Version: 5.2.15-2+b7
Architecture: amd64
Pre-Depends: libc6 (>= 2.36), libtinfo6 (>= 6)
Depends: base-files (>= 2.1.12), debianutils (>= 5.6-0.1)
Description-en: GNU Bourne Again SHell
Size: 1491000
SHA256: aa

Package: libc6
Version: 2.36-9
Architecture: amd64
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
Size: 2
SHA256: bb

Package: libtinfo6
Version: 6.4-4
Architecture: amd64
Depends: libc6 (>= 2.33) | libc6.1, oddity:any
Size: 3
SHA256: cc

Package: oddity
Version: 1:2~rc1-1
Architecture: all
Size: 4
SHA256: dd

Package: bash
Version: 9
Architecture: arm64
Size: 5
SHA256: ee

"""


def test_it_stands_alone() -> None:
    for path in Path(package.__file__).parent.glob("*.py"):
        found = set(re.findall(r"^ *(?:from|import) (rootwright\S*)", path.read_text(), re.M))
        assert all(
            name == "rootwright.errors" or name.startswith("rootwright.sample_mirror")
            for name in found
        ), path


def test_places_follow_the_merged_usr() -> None:
    assert tree.place("bin/bash") == "usr/bin/bash"
    assert tree.place("usr/sbin/sshd") == "usr/bin/sshd"
    assert tree.place("lib/x86_64-linux-gnu/libc.so.6") == "usr/lib/x86_64-linux-gnu/libc.so.6"
    assert tree.place("lib64/ld-linux-x86-64.so.2") == "usr/lib/ld-linux-x86-64.so.2"
    assert tree.place("libexec/x") == "libexec/x"
    assert tree.place("usr/sbinary") == "usr/sbinary"


def test_links_lead_to_where_their_goal_moved() -> None:
    assert tree.retarget("sbin/ip", "/bin/ip") == "/usr/bin/ip"
    assert tree.retarget("usr/lib/x/libz.so", "../../../lib/x/libz.so.1") == "libz.so.1"
    assert tree.retarget("usr/sbin/sendmail", "../lib/sendmail") == "../lib/sendmail"
    assert tree.retarget("sbin/a", "b") == "b"


def make_deb(folder: Path, members: list[tarfile.TarInfo], contents: dict[str, bytes]) -> Path:
    """Write a Debian archive: ar(5) around two tar archives, as deb(5) has it."""
    parts = {"debian-binary": b"2.0\n"}
    for name, infos in (("control.tar", [tarfile.TarInfo("./")]), ("data.tar", members)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for info in infos:
                data = contents.get(info.name, b"")
                if info.name == "./":
                    info.type = tarfile.DIRTYPE
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        parts[name] = buffer.getvalue()
    path = folder / "x.deb"
    with path.open("wb") as stream:
        stream.write(b"!<arch>\n")
        for name, data in parts.items():
            stream.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
            stream.write(data + b"\n" * (len(data) % 2))
    return path


def member(name: str, mode: int = 0o644, gid: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.gid, info.linkname, info.mtime = mode, gid, link, 1000
    if link:
        info.type = tarfile.SYMTYPE
    return info


def test_a_debian_archive_is_taken_at_archs_places(tmp_path: Path) -> None:
    members = [
        member("./sbin/unix_chkpwd", 0o2755, gid=42),
        member("./bin/ip", 0o755),
        member("./sbin/ip", 0o777, link="/bin/ip"),
        member("./usr/bin/helper", 0o755),
        member("./usr/share/doc/ip/copyright"),
        member("./usr/share/lintian/overrides/ip"),
        member("./etc/init.d/ip", 0o755),
    ]
    contents = {"./bin/ip": b"\x7fELF", "./usr/bin/helper": b"#!/usr/bin/perl -w\n"}
    found = tree.from_deb(make_deb(tmp_path, members, contents), package="iproute2")
    assert set(found) == {
        "usr/bin/unix_chkpwd",
        "usr/bin/ip",
        "usr/share/licenses/iproute2/ip",
    }
    assert found["usr/bin/ip"].data == b"\x7fELF"
    # Setgid shadow on Debian, setuid root on Arch, whose /etc/shadow belongs to root alone.
    assert (found["usr/bin/unix_chkpwd"].mode, found["usr/bin/unix_chkpwd"].gid) == (0o4755, 0)


def test_a_broken_debian_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"nothing of the kind")
    with pytest.raises(StepError, match=r"dpkg-deb cannot read x\.deb"):
        tree.from_deb(tmp_path / "x.deb", package="x")


def test_parts_that_bring_the_same_file_are_refused() -> None:
    into = {"usr": Entry("dir"), "usr/a": Entry("file")}
    tree.merge(into, {"usr": Entry("dir"), "usr/b": Entry("file")}, "first")
    with pytest.raises(StepError, match="second brings /usr/a"):
        tree.merge(into, {"usr/a": Entry("file")}, "second")


def test_versions_keep_their_epoch_and_lose_their_hyphens() -> None:
    assert package.version("1:5.2.15-2+b7") == "1:5.2.15.2+b7-1"
    assert package.version("2~rc1-1") == "2_rc1.1-1"


def test_a_package_survives_writing_and_reading(tmp_path: Path) -> None:
    files = {
        "usr/bin/b": Entry("file", mode=0o4755, mtime=1000, data=b"\x7fELF", capability=b"\1\0\2"),
        # The first of two names in the archive's order is the hard link.
        "usr/bin/a": Entry("hard", target="usr/bin/b"),
        "usr/bin/c": Entry("link", mode=0o777, mtime=1000, target="b"),
        "etc/with space": Entry("file", mode=0o640, gid=7, mtime=900, data="é".encode()),
    }
    info = package.Info(
        name="odd",
        version="1:2-1",
        architecture="any",
        description="says x = y",
        builddate=5,
        groups=("base",),
        depends=("glibc", "sh"),
    ).of(files)
    path = tmp_path / info.filename
    package.write(path, info, files, "post_install() { :; }\n")
    again, found, install = package.read(path)
    assert again == info
    assert (info.builddate, info.backup) == (1000, ("etc/with space",))
    assert install == "post_install() { :; }\n"
    assert found["usr/bin/a"].data == b"\x7fELF"
    assert found["usr/bin/a"].capability == b"\1\0\2"
    assert (found["usr/bin/b"].kind, found["usr/bin/b"].target) == ("hard", "usr/bin/a")
    assert found["usr/bin/c"].target == "b"
    assert (found["etc/with space"].mode, found["etc/with space"].gid) == (0o640, 7)
    assert found["etc"].kind == "dir"
    first = path.read_bytes()
    package.write(path, info, files, "post_install() { :; }\n")
    assert path.read_bytes() == first


def test_the_listing_escapes_names() -> None:
    listing = gzip.decompress(package.mtree({"a #é\\b": Entry("file", mtime=3, data=b"x")}))
    line = listing.decode().splitlines()[1]
    assert line.startswith(r"./a\040\043\303\251\134b time=3.0 mode=644 uid=0 gid=0 type=file")


def test_debian_is_read_by_architecture() -> None:
    offered = debian.Offered(CONTROL, "amd64")
    assert set(offered) == {"bash", "libc6", "libtinfo6", "oddity"}
    assert offered["bash"].version == "5.2.15-2+b7"
    assert offered["bash"].summary == "GNU Bourne Again SHell"
    assert offered["bash"].depends[:2] == (("libc6",), ("libtinfo6",))
    assert offered["oddity"].filename == "oddity_1%3a2~rc1-1_all.deb"
    assert offered["libtinfo6"].depends == (("libc6", "libc6.1"), ("oddity",))


def test_dependencies_become_archs() -> None:
    wanted = [
        packages.Package(name="bash", debian=("bash", "bash-extra?")),
        packages.Package(name="glibc", debian=("libc6",), sealed=True),
        packages.Package(name="empty"),
    ]
    parts = {
        part.package.name: part for part in debian.resolve(wanted, debian.Offered(CONTROL, "amd64"))
    }
    # A library goes where the table says, or by its own name; what Debian alone needs goes away.
    assert set(parts) == {"bash", "glibc", "ncurses", "oddity", "empty"}
    assert parts["bash"].depends == ("glibc", "ncurses")
    assert parts["ncurses"].depends == ("glibc", "oddity")
    assert parts["glibc"].depends == ("filesystem",)
    assert [deb.name for deb in parts["ncurses"].debs] == ["libtinfo6"]


def test_what_debian_has_not_got_is_named() -> None:
    offered = debian.Offered(CONTROL, "amd64")
    with pytest.raises(StepError, match="no nano"):
        debian.resolve([packages.Package(name="nano", debian=("nano",))], offered)
    with pytest.raises(StepError, match="libc6 needs libgcc-s1"):
        debian.resolve([packages.Package(name="glibc", debian=("libc6",))], offered)


def test_missing_tools_are_named_with_the_packages_that_bring_them() -> None:
    with pytest.raises(StepError) as raised:
        debian.check_tools(path="/nonexistent")
    assert "bsdtar" in raised.value.what
    assert "repo-add" in raised.value.what
    assert "apt-get install" in raised.value.hint
    assert {"libarchive-tools", "makepkg", "pacman-package-manager", "zstd"} <= set(
        raised.value.hint.split()
    )


def test_the_table_is_consistent() -> None:
    names = [entry.name for entry in packages.PACKAGES]
    assert len(names) == len(set(names))
    known = {*names, *packages.LIBRARIES}
    assert {need for entry in packages.PACKAGES for need in entry.depends} <= known
    assert {*packages.BASE, *packages.IGNORED, *packages.GROUP} <= known
    assert {entry.repo for entry in packages.PACKAGES} <= set(packages.REPOSITORIES)
    assert "nano" not in packages.GROUP


def test_the_accounts_agree_with_each_other() -> None:
    users = [line.split(":") for line in texts.PASSWD.splitlines()]
    groups = [line.split(":") for line in texts.GROUP.splitlines()]
    assert {user[3] for user in users} <= {group[2] for group in groups}
    assert [user[0] for user in users] == [line.split(":")[0] for line in texts.SHADOW.splitlines()]
    assert len({group[2] for group in groups}) == len(groups)


def test_os_release_says_what_it_is() -> None:
    assert "ID=arch\n" in texts.OS_RELEASE
    assert "a stand-in made of Debian's packages" in texts.OS_RELEASE


def make_mirror(folder: Path) -> mirror.SampleMirror:
    """Return a mirror of two small files, with every file it must have."""
    found = {
        name: mirror.Published(name, "1-1", "core", f"{name}.pkg", 3, depends, groups)
        for name, depends, groups in (("a", ("b",), ("base",)), ("b", (), ()))
    }
    keyring = folder / "keyring"
    keyring.mkdir(parents=True)
    made = mirror.SampleMirror(
        folder / "package",
        keyring,
        keys.Keys(folder / "keys", {}),
        "package",
        "x86_64",
        found,
    )
    for repo in packages.REPOSITORIES:
        made.directory(repo).mkdir(parents=True)
        (made.directory(repo) / f"{repo}.db.sig").write_bytes(b"")
    for name in found:
        made.path(name).write_bytes(b"abc")
    return made


def test_a_mirror_survives_saving_and_loading(tmp_path: Path) -> None:
    made = make_mirror(tmp_path)
    mirror.save(made, "inputs", "lists")
    saved = mirror.load(made.folder, made.keyring, made.keys)
    assert saved == mirror.Saved(made, "inputs", "lists")
    assert made.closure(["base"]) == ["a", "b"]
    assert made.server == f"file://{tmp_path}/package/served/$repo/os/$arch"


def test_a_mirror_with_a_file_short_is_not_complete(tmp_path: Path) -> None:
    made = make_mirror(tmp_path)
    assert made.complete()
    made.path("a").write_bytes(b"ab")
    assert not made.complete()
    made.path("a").unlink()
    assert not made.complete()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"packages": [{"name": 1}]}'])
def test_a_manifest_that_makes_no_sense_is_no_mirror(tmp_path: Path, text: str) -> None:
    (tmp_path / mirror.MANIFEST).write_text(text)
    assert mirror.load(tmp_path, tmp_path, keys.Keys(tmp_path, {})) is None


DATA = bytes(range(256)) * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("private")
    served = tmp_path / "served"
    served.mkdir()
    (served / "a:1+b.zst").write_bytes(DATA)
    (served / "link.db").symlink_to("a:1+b.zst")
    (served / "out").symlink_to("../secret")
    return served


def ask(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Return status, contents and headers of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_files_are_served_and_nothing_else(folder: Path) -> None:
    with serve(folder) as server:
        status, data, headers = ask(server, "/a:1+b.zst")
        assert (status, data) == (200, DATA)
        assert headers["Content-Length"] == str(len(DATA))
        assert ask(server, "/link.db")[1] == DATA
        assert ask(server, "/a%3A1%2Bb.zst", "HEAD")[:2] == (200, b"")
        assert [ask(server, path)[0] for path in ("/", "/no", "/../secret", "/out")] == [404] * 4
        assert server.requests[0] == "GET /a:1+b.zst 200"
        assert server.mirror == f"http://127.0.0.1:{server.port}/$repo/os/$arch"


def test_parts_can_be_asked_for(folder: Path) -> None:
    with serve(folder) as server:
        status, data, headers = ask(server, "/link.db", Range="bytes=10-19")
        assert (status, data) == (206, DATA[10:20])
        assert headers["Content-Range"] == f"bytes 10-19/{len(DATA)}"
        assert ask(server, "/link.db", Range="bytes=100-")[1] == DATA[100:]
        assert ask(server, "/link.db", Range="bytes=-7")[1] == DATA[-7:]
        assert ask(server, "/link.db", Range=f"bytes={len(DATA)}-")[0] == 416
        assert ask(server, "/link.db", Range="lines=1-2")[:2] == (200, DATA)


def test_what_has_not_changed_is_not_sent_again(folder: Path) -> None:
    stamp = (folder / "link.db").stat().st_mtime
    with serve(folder) as server:
        same = {"If-Modified-Since": formatdate(stamp, usegmt=True)}
        older = {"If-Modified-Since": formatdate(stamp - 10, usegmt=True)}
        assert ask(server, "/link.db", **same)[:2] == (304, b"")
        assert ask(server, "/link.db", **older)[0] == 200


def test_one_connection_serves_many_requests(folder: Path) -> None:
    with serve(folder) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for path, status in (("/no", 404), ("/link.db", 200), ("/no", 404)):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, len(answer.read())) == (status, len(DATA) * (status == 200))
        connection.close()


def test_faults_are_as_ordered(folder: Path) -> None:
    with serve(folder, Faults(missing="*.zst")) as server:
        assert ask(server, "/a:1+b.zst")[0] == 404
        assert ask(server, "/link.db")[0] == 200
        server.faults.missing = ""
        assert ask(server, "/a:1+b.zst")[0] == 200
        server.faults.cut, server.faults.cut_after = "/link*", 1000
        with pytest.raises(http.client.IncompleteRead) as raised:
            ask(server, "/link.db")
        assert len(raised.value.partial) == 1000
        assert ask(server, "/a:1+b.zst")[1] == DATA


def test_a_stalled_answer_ends_with_the_server(folder: Path) -> None:
    found: list[Exception] = []
    with serve(folder, Faults(stall="*.db")) as server:

        def wait() -> None:
            try:
                ask(server, "/link.db")
            except (OSError, http.client.HTTPException) as error:
                found.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while not server.requests:
            time.sleep(0.01)
        assert waiting.is_alive()
    waiting.join(5)
    assert isinstance(found[0], http.client.IncompleteRead)


def test_a_throttled_server_takes_its_time(folder: Path) -> None:
    with serve(folder, Faults(throttle=1_000_000)) as server:
        began = time.monotonic()
        assert ask(server, "/link.db")[1] == DATA
        assert time.monotonic() - began > 0.2
