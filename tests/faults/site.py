"""A site: a root, and what the sink of its images holds now and may hold after a fault."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import tarfile
from pathlib import Path

from tests.faults.schedule import Sink, Task
from tests.support.docker_api import client_of, images
from tests.support.leftovers import of_apt
from tests.support.program import Ended, Place

TAG = "demo/faults:1"
_UNNAMED = "<none>:<none>"


class Site:
    """A place whose images go to one sink.

    place: where the program runs. engine: what DOCKER_HOST says of the sink, where it is one.
    variant: what root and sink hold now, both the same. expected: what the sink holds for each
    variant: the image's ID, or the archive's digest. ids: the image's ID for each.
    """

    def __init__(self, place: Place, sink: Sink, engine: str) -> None:
        self.place = place
        self.sink = sink
        self.variant = ""
        self.expected: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self._engine = engine
        self._temporary = place.folder / "tmp"
        self._temporary.mkdir()
        place.env |= {"TMPDIR": str(self._temporary), "PYTHONFAULTHANDLER": "1"}
        self._known: set[Path] = set()

    def learn(self, variant: str, ended: Ended) -> None:
        """Take what a build without faults made for what that variant is."""
        self.variant = variant
        self.expected[variant] = self.held()
        self.ids[variant] = ended.host["image"]["id"]
        self._known = set(self._own_files())

    @property
    def _file(self) -> Path:
        return self.place.folder / "dist/debian.tar"

    def held(self) -> str:
        """Return what is under the image's name: its ID, or the file's digest; empty: nothing."""
        if self.sink == "docker":
            return next((id for id, name in images(self._engine) if name == TAG), "")
        with contextlib.suppress(FileNotFoundError), self._file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return ""

    def stray(self) -> list[str]:
        """Return what is in the sink besides what is held, and what was before where it moved."""
        if self.sink == "archive":
            return [str(path) for path in self._file.parent.iterdir() if path != self._file]
        held, before = self.held(), self.expected[self.variant]
        allowed = {(held, TAG)} | ({(before, _UNNAMED)} if held != before else set())
        return [f"image {id} {name}" for id, name in images(self._engine) - allowed]

    def files_left(self) -> list[str]:
        """Return what was left where the program runs, in its home and in its temporary files."""
        left = set(self._own_files()) - self._known
        return [str(path) for path in (*left, *of_apt(self.place.root))]

    def _own_files(self) -> list[Path]:
        folders = (self._temporary, self.place.home)
        below = [path for folder in folders for path in folder.rglob("*")]
        return [*self.place.folder.iterdir(), *below]

    def layer_is_whole(self) -> bool:
        """Return whether the engine can give back the image's layer, byte for byte."""
        with client_of(self._engine) as client:
            wanted: str = client.inspect_image(TAG)["RootFS"]["Layers"][0]
            data = b"".join(client.get_image(TAG))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            files = [archive.extractfile(member) for member in archive if member.isfile()]
            digests = {hashlib.sha256(file.read()).hexdigest() for file in files if file}
        return wanted.removeprefix("sha256:") in digests

    def prepare(self, task: Task) -> str:
        """Make the site what a task begins with; return the variant that is to be made."""
        if self.sink == "docker":
            with client_of(self._engine) as client:
                for id in {id for id, name in images(self._engine) if name != TAG}:
                    client.remove_image(id)
        if task in ("anew", "first"):
            shutil.rmtree(self.place.root / "pristine", ignore_errors=True)
        if task == "first":
            shutil.rmtree(self.place.root / "tree")
        (other,) = self.expected.keys() - {self.variant}
        return self.variant if task == "again" else other
