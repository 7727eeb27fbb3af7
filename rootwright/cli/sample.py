"""``--mirror sample``: the sample mirror takes the place of an Arch mirror that is not in reach."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from rootwright.errors import UsageError
from rootwright.hosts import Host
from rootwright.run import Prepare

SAMPLE = "sample"

PORT = 8642
"""Where the mirror is served, so that the images made from it name the same place each time."""

STAND_IN = "a stand-in made of Debian's packages, not Arch Linux"


def wanted(settings: Mapping[str, object]) -> bool:
    """Tell whether a playbook's options ask for the sample mirror.

    Raises UsageError when they ask for another one beside it.
    """
    mirror = settings.get("mirror")
    if mirror != SAMPLE and not (isinstance(mirror, tuple) and SAMPLE in mirror):
        return False
    if mirror != (SAMPLE,) or not {"image_mirror", "keyring", "labels"} <= settings.keys():
        raise UsageError(
            "the sample mirror stands alone, and for Arch only",
            where="option mirror",
            hint="give --mirror sample to build-arch, without further mirrors",
        )
    return True


def cache() -> Path:
    """Return the folder in which the mirror is kept between runs: the XDG cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rootwright" / "sample-mirror"


@contextlib.contextmanager
def preparing(
    plays: Iterable[Mapping[str, object]], say: Callable[[str], None]
) -> Iterator[Prepare]:
    """Make and serve the mirror where one of the plays wants it.

    plays: the playbook's options for each. say: told what happens, in sentences.
    Yields what turns options that name the sample mirror into ones that use it, on a connected
    host; one reached over SSH gets a tunnel back to here.
    Raises StepError where the mirror cannot be made, UsageError where its port is taken.
    """
    # All of them are looked at: each may be wrong.
    if True not in list(map(wanted, plays)):
        yield lambda _host, settings: settings
        return
    from rootwright import sample_mirror as sample

    say(f"The mirror is the sample: the image will be {STAND_IN}.")
    mirror = sample.build(cache(), say=say)

    def prepare(host: Host, settings: Mapping[str, object]) -> Mapping[str, object]:
        if not wanted(settings):
            return settings
        labels = settings.get("labels")
        return {
            **settings,
            "mirror": (f"http://127.0.0.1:{host.reach(PORT)}",),
            "image_mirror": settings.get("image_mirror") or (f"http://127.0.0.1:{PORT}",),
            "keyring": settings.get("keyring") or str(mirror.keyring),
            "labels": (
                *(labels if isinstance(labels, tuple) else ()),
                f"org.opencontainers.image.title=Sample, {STAND_IN}",
                f"org.rootwright.stand-in={STAND_IN}",
            ),
        }

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(sample.serve(mirror.served, port=PORT))
        except OSError as e:
            raise UsageError(
                f"the sample mirror cannot be served on port {PORT}: {e.strerror}",
                hint="another build serves it: wait for that one",
            ) from None
        yield prepare
