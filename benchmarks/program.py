"""Rootwright's own program with further playbooks: ``python -m benchmarks.program FOLDER …``.

It is the process that is measured, so it imports nothing but the program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rootwright import cli

if __name__ == "__main__":
    cli.main(["rootwright", *sys.argv[2:]], cli.namespace(Path(sys.argv[1])))
