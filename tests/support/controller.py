"""A controller in a process of its own, which a test can kill: one session, one request.

Run by path with one argument, JSON: ``host`` (fields of a HostSpec), ``folder``, ``script`` and,
to run as somebody else, ``uid``. Prints each record as a line, then ``end`` and the status.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rootwright.hosts import connect
from rootwright.inventory import HostSpec
from rootwright.session import Session, SessionSpec, boot_script


def start(
    host: HostSpec, folder: str, script: str, *, uid: int = 0, package: Path
) -> subprocess.Popen[str]:
    """Start a controller.

    package: a folder with a copy of Rootwright that the user can read.
    """
    fields = {name: getattr(host, name) for name in ("name", "address", "port", "user", "key")}
    fields["become"] = host.become
    given = {"host": fields, "folder": folder, "script": script, "uid": uid}
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(given)],
        env=os.environ | {"PYTHONPATH": str(package)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def main() -> None:
    """Be the controller."""
    given = json.loads(sys.argv[1])
    # Before setuid, after which what these import may be out of reach.
    host = connect(HostSpec(**given["host"]), ask=lambda _: "")
    boot_script(SessionSpec(folder="", who=""), "")
    if given["uid"]:
        os.setgroups([])
        os.setgid(given["uid"])
        os.setuid(given["uid"])
    with Session(host, SessionSpec(folder=given["folder"], who="the controller")) as session:
        reply = session.request(
            given["script"], on_record=lambda kind, payload: print(kind, payload, flush=True)
        )
        print("end", reply.status, reply.output, flush=True)


if __name__ == "__main__":
    main()
