"""Text that came from elsewhere (a host's output, a file's contents), made fit for a terminal.

A leaf: every room may use it. Two readings of the same text: `harmless` shows each byte that would
act on a terminal, so that a diff hides nothing; `terminal_text` gives what a program meant to be
read, so that coloured or overwritten output stays legible. Neither ever returns a control
character other than newline and tab.
"""

from __future__ import annotations

import re
import unicodedata

# What may act on a terminal, or deceive the reader's eye: C0 but tab and newline, DEL, C1; marks
# that turn the direction of writing (CVE-2021-42574, "Trojan Source"); zero-width and tag
# characters that hide text; separators that some programs take for a newline; surrogates, which
# stand for undecodable bytes and cannot be written out.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

# ECMA-48: control strings (OSC, DCS, APC, PM, SOS) up to their terminator, control sequences
# (CSI), and the short escapes. Each repeated class excludes what ends it, so matching is linear.
_SEQUENCE = re.compile(
    "(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\\\|\x9c)"
    "|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|\x1b[ -/]*[0-~]"
)
_NOISE = re.compile("[\x00\x07\x08\x0e\x0f]")  # padding, bell, backspace, shifts: nothing to read


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python's surrogateescape could not decode
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def harmless(text: str) -> str:
    """Return text with everything that could act on a terminal shown instead of sent.

    Control characters come out in caret notation as ``cat -v`` has it (ESC is ``^[``), undecodable
    bytes as ``\\xff``, other deceptive characters as ``\\u202e``. Newline, tab and printable
    characters are left as they are.
    """
    return _UNSAFE.sub(_visible, text)


def terminal_text(text: str) -> str:
    """Return what a program meant to be read, from what it wrote to a terminal.

    Escape sequences, bells and backspaces are dropped; of a line that was overwritten after
    carriage returns the last writing stays; what then remains is made `harmless`.
    """
    plain = _NOISE.sub("", _SEQUENCE.sub("", text))
    if "\r" in plain:
        plain = "\n".join(_last_writing(line) for line in plain.split("\n"))
    return harmless(plain)


def _last_writing(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


def whole_number(text: str, digits: int = 18) -> int | None:
    """Return the number that text says, as the tools of a host print one; None where it is none.

    digits: how many it may have. Python's own `int` takes the digits of every script, blanks and
    underscores, and fails at more digits than it has patience for.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def cells(text: str) -> int:
    """Return how many columns of a terminal a line takes (wide characters take two)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def pad(text: str, width: int) -> str:
    """Return text followed by the spaces that make it at least width columns wide."""
    return text + " " * (width - cells(text))
