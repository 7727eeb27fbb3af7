"""Removing what we made, and nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from rootwright.errors import RootwrightError, StepError
from rootwright.hosts import Host, connect, prompt_for
from rootwright.inventory import HostSpec
from rootwright.run import DEFAULT_WORK_DIR, whoami
from rootwright.session import Session, SessionSpec, decoded
from rootwright.text import harmless

# A lock as our sessions write it is the sign that a folder is ours; what else lies in it must be
# what we put there. To open a session in a folder is to change it already, so this is only a look.
_LOOK = """
cd "${rw_dir%/*}" || exit 0
for folder in *; do
    lock=$folder/lock foreign=
    [ -f "$lock" ] || continue
    [ ! -s "$lock" ] || grep -Eqx '.* since [0-9-]+ [0-9:]+ UTC' "$lock" || foreign=lock
    for path in "$folder"/* "$folder"/.[!.]*; do
        case ${path##*/} in
        lock | tree | pristine | tree.part | tree.old.part | pristine.part) ;;
        *) if [ -e "$path" ] || [ -L "$path" ]; then foreign=${path##*/}; fi ;;
        esac
    done
    rw_say folder "$(printf %s "$folder" | rw_encoded)" "$(printf %s "$foreign" | rw_encoded)"
done
"""

_REMOVE = """
cd "$rw_dir"
mounted=$(awk -v d="$rw_dir/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo)
[ -z "$mounted" ] || { echo "rootwright: something is mounted at $mounted"; exit 1; }
rm -rf --one-file-system tree pristine tree.part tree.old.part pristine.part lock
cd /
rmdir "$rw_dir"
"""

# What plays remember of the host itself.
_FORGET = """
cd "${rw_dir%/*}/.host" 2>/dev/null || exit 0
rm -rf --one-file-system stamps tmp devices devices.new
cd ..
rmdir .host 2>/dev/null || :
"""


def clean_host(
    spec: HostSpec, work_dir: str, password: str, *, accept_new: bool = False
) -> Iterator[str]:
    """Remove every root below a host's work dir; yield each folder that is gone.

    password: sudo's, asked for where it is empty. accept_new: trust a host seen the first time.
    Raises StepError for a folder that holds what we did not make, or a mount; BusyError for a root
    that a play holds.
    """
    base = work_dir or DEFAULT_WORK_DIR
    host = connect(spec, ask=prompt_for(password), accept_new=accept_new)
    # It needs a session, for sudo's sake; one that makes nothing.
    looking = SessionSpec(folder=f"{base}/.list", who=whoami(), check=True)
    try:
        with Session(host, looking) as look:
            for name, foreign in _folders(look):
                where = f"{spec.name}:{base}/{name}"
                if foreign:
                    raise StepError(
                        f"{base}/{name} holds {harmless(foreign)}, which is not ours",
                        where=where,
                        hint="move away what is not ours; nothing was removed",
                    )
                _remove(host, f"{base}/{name}", where)
                yield f"{base}/{name}"
            look.request(_FORGET)
    finally:
        host.close()


def _folders(look: Session) -> Iterator[tuple[str, str]]:
    """Yield the folders below the work dir that may be ours, each with what in it is not."""
    for kind, payload in look.request(_LOOK).records:
        folder, _, foreign = payload.partition(" ")
        # Ours have the name of a playbook, which is that of a function.
        if kind == "folder" and decoded(folder).isidentifier():
            yield decoded(folder), decoded(foreign)


def _remove(host: Host, folder: str, where: str) -> None:
    with Session(host, SessionSpec(folder=folder, who=whoami())) as session:
        reply = session.request(_REMOVE)
    if reply.status:
        said = [line for line in reply.output.splitlines() if "rootwright: " in line]
        raise StepError(
            said[-1].removeprefix("rootwright: ") if said else "cannot remove the root",
            where=where,
            output=reply.output if not said else "",
            hint="unmount it; nothing was removed" if said else "the lines above say why",
        )


def clean_dist(folder: Path) -> Iterator[Path]:
    """Remove the image archives we made in a folder, unfinished ones too; yield each that is gone.

    The folder itself goes once it is empty. Raises StepError for what is not ours to remove.
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
            with _removing(path):
                path.unlink()
            yield path
    if not any(folder.iterdir()):
        with _removing(folder):
            folder.rmdir()


@contextlib.contextmanager
def _removing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise StepError(
            f"cannot remove it: {e.strerror}",
            where=str(path),
            hint="remove it as the user who made it",
        ) from None


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
