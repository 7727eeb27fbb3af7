"""Removing what we made, and nothing else."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from rootwright.errors import RootwrightError, StepError
from rootwright.hosts import Host, connect, prompt_for
from rootwright.inventory import HostSpec
from rootwright.run import DEFAULT_WORK_DIR, whoami
from rootwright.session import Session, SessionSpec

# A lock file is the sign that a folder is ours; what else lies in it must be what we put there.
_REMOVE = """
cd "$rw_dir"
for name in * .[!.]*; do
    case $name in
    lock | tree | pristine | *.part | '*' | '.[!.]*') ;;
    *) echo "rootwright: $rw_dir holds $name, which is not ours"; exit 1 ;;
    esac
done
mounted=$(awk -v d="$rw_dir/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo)
[ -z "$mounted" ] || { echo "rootwright: something is mounted at $mounted"; exit 1; }
rm -rf --one-file-system tree pristine ./*.part lock
cd /
rmdir "$rw_dir"
"""


def clean_host(spec: HostSpec, work_dir: str, password: str) -> Iterator[str]:
    """Remove every root below a host's work dir; yield each folder that is gone.

    password: sudo's, asked for where it is empty.
    Raises StepError for a folder that holds what we did not make, or a mount; BusyError for a root
    that a play holds.
    """
    base = work_dir or DEFAULT_WORK_DIR
    host = connect(spec, ask=prompt_for(password))
    try:
        for name in _roots(host, base):
            with Session(host, SessionSpec(folder=f"{base}/{name}", who=whoami())) as s:
                reply = s.request(_REMOVE)
                if reply.status:
                    said = [line for line in reply.output.splitlines() if "rootwright: " in line]
                    raise StepError(
                        said[-1].removeprefix("rootwright: ") if said else "cannot remove the root",
                        where=f"{spec.name}:{base}/{name}",
                        output=reply.output if not said else "",
                        hint="unmount it, or move away what is not ours; nothing was removed",
                    )
            yield f"{base}/{name}"
    finally:
        host.close()


def _roots(host: Host, base: str) -> list[str]:
    """Return the names of our folders below the work dir; it needs a session, for sudo's sake."""
    spec = SessionSpec(folder=f"{base}/.list", who=whoami(), check=True)
    with Session(host, spec) as session:
        reply = session.request(
            'cd "${rw_dir%/*}" || exit 0\n'
            'for f in */lock; do [ ! -f "$f" ] || rw_say root "${f%/lock}"; done\n'
            "rm -rf --one-file-system .host"
        )
    return [payload for kind, payload in reply.records if kind == "root"]


def clean_dist(folder: Path) -> Iterator[Path]:
    """Remove the image archives we made in a folder, unfinished ones too; yield each that is gone.

    The folder itself goes once it is empty.
    """
    from rootwright.sinks.archive import ArchiveSink

    if folder.is_symlink() or not folder.is_dir():
        return
    for part in folder.glob(".*.part"):
        name = re.fullmatch(r"\.(.+\.tar)\.[0-9a-f]{8}\.part", part.name)
        if name:
            ArchiveSink(folder / name[1]).sweep()
            if not part.exists():
                yield part
    for path in sorted(folder.glob("*.tar")):
        if not path.is_symlink() and _is_ours(path):
            path.unlink()
            yield path
    if not any(folder.iterdir()):
        folder.rmdir()


def _is_ours(path: Path) -> bool:
    """Return whether a file is, to the byte of its documents, an archive that we write."""
    from rootwright.sinks.archive import ArchiveSink
    from rootwright.sinks.oci import REF_NAME

    try:
        with tarfile.open(path, "r:") as archive:
            file = archive.extractfile("index.json")
            index = json.loads(file.read()) if file else {}
        tags = [entry["annotations"][REF_NAME] for entry in index["manifests"]]
        return ArchiveSink(path).current(tags) is not None
    except (tarfile.TarError, OSError, RootwrightError, ValueError, LookupError, TypeError):
        return False
