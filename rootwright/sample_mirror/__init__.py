"""The sample mirror: a signed, Arch-shaped package mirror made out of Debian's own binaries.

For where no Arch mirror is in reach: closed networks, trying things out, the tests. The real
pacman, pacstrap, pacman-key and repo-add work on it as they do on Arch's own mirrors, signatures
included; what they install is Debian's software under Arch's names and paths, and says so in
``/etc/os-release``. It is a stand-in, never a distribution.

    mirror = build(folder)              # made once, then a matter of milliseconds
    with serve(mirror.served) as url:   # http://127.0.0.1:PORT
        ...                             # pacman's Server = {url}/$repo/os/$arch

The package stands alone: of the rest of Rootwright it imports `rootwright.errors` only.
"""

from __future__ import annotations

from rootwright.sample_mirror.build import build
from rootwright.sample_mirror.mirror import SampleMirror
from rootwright.sample_mirror.serve import Faults, Server, serve

__all__ = ["Faults", "SampleMirror", "Server", "build", "serve"]
