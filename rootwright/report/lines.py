"""The console's lines, as data: what each says and in which style, before anything is printed.

A line is a row of spans, text and style. Styles are named as rich names them, so that a line can
be printed by rich above a live line and, without importing it, by `ansi` everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rootwright.errors import RootwrightError
from rootwright.report.data import ChangeReport, HostReport, ImageReport, ModuleReport, RunReport
from rootwright.text import cells, pad

Span = tuple[str, str]
Line = tuple[Span, ...]

STATE_WIDTH = len("would change")
# A name longer than this pushes its own line out instead of every other line with it.
WIDEST_NAME = 32
_SECONDS_WIDTH = 7  # "123.4 s"
# difflib takes quadratic time at its worst; what is longer than this nobody reads on a terminal.
_LARGEST_DIFF = 1_000_000

_STATE_STYLES = {
    "ok": "green",
    "changed": "yellow",
    "would change": "cyan",
    "skipped": "dim",
    "failed": "bold red",
}
_SGR = {
    "": "",
    "bold": "1",
    "dim": "2",
    "red": "31",
    "bold red": "1;31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}


def ansi(line: Line, *, colour: bool) -> str:
    """Return a line as text, with SGR escapes where colour is wanted."""
    if not colour:
        return "".join(text for text, _ in line)
    return "".join(
        f"\x1b[{_SGR[style]}m{text}\x1b[0m" if style and text else text for text, style in line
    )


def size_text(size: int) -> str:
    """Return a number of bytes as people read it, in decimal units: ``113.4 MB``."""
    if size < 1000:
        return f"{size} B"
    amount = size / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 999.95:  # or it would be rounded to 1000.0
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def seconds_text(seconds: float) -> str:
    """Return a duration as ``11.9 s``: one unit, so that a column of them can be compared."""
    return f"{seconds:.1f} s"


def short_id(identifier: str) -> str:
    """Return an image's ID as Docker abbreviates it: ``sha256:`` and twelve digits."""
    algorithm, colon, digits = identifier.rpartition(":")
    return f"{algorithm}{colon}{digits[:12]}"


def columns(prefix: str, state: str, name: str, name_width: int, seconds: float | None) -> Line:
    """Return what every line of a step begins with: state, name and seconds, aligned."""
    time = "" if seconds is None else seconds_text(seconds)
    return (
        (prefix, "bold"),
        (pad(state, STATE_WIDTH) + "  ", _STATE_STYLES.get(state, "")),
        (pad(name, name_width) + "  ", ""),
        (time.rjust(_SECONDS_WIDTH), "dim"),
    )


def _after(changes: Iterable[ChangeReport]) -> str:
    earlier = dict.fromkeys(change.depends_on for change in changes if change.depends_on)
    return f"(after {', '.join(earlier)})" if earlier else ""


def module_line(prefix: str, module: ModuleReport, name_width: int) -> Line:
    """Return a module's one line. A planned or skipped module has no seconds worth printing."""
    timed = module.state not in ("would change", "skipped")
    remarks = [_after(module.changes) if module.state == "would change" else "", module.note]
    remark = "  ".join(filter(None, remarks))
    return (
        *columns(prefix, module.state, module.name, name_width, module.seconds if timed else None),
        (f"  {remark}" if remark else "", ""),
    )


def change_lines(change: ChangeReport, *, check: bool, diff: bool) -> list[Line]:
    """Return what is shown of a change below its module.

    check: its summary. diff: its contents compared; where they do not differ as text, its summary.
    """
    compared = _diff_lines(change) if diff else []
    summary: Line = ((f"    {change.resource}: {change.summary}", ""),)
    return [summary, *compared] if check or not compared else compared


def _diff_lines(change: ChangeReport) -> list[Line]:
    before, after = change.before or "", change.after or ""
    if before == after:
        return []
    if "\0" in before or "\0" in after:
        return [(("    binary contents differ", "dim"),)]
    if len(before) + len(after) > _LARGEST_DIFF:
        return [(("    contents differ, too long to be shown", "dim"),)]
    from difflib import unified_diff

    # Header lines are made here: a resource's name may hold a newline, which is shown further on.
    body = list(unified_diff(_split(before), _split(after), n=3, lineterm="\n"))[2:]
    lines: list[Line] = [
        ((f"    --- before {change.resource}", "bold"),),
        ((f"    +++ after {change.resource}", "bold"),),
    ]
    for text in body:
        style = {"-": "red", "+": "green", "@": "cyan"}.get(text[0], "")
        lines.append((("    " + text.removesuffix("\n"), style),))
        if not text.endswith("\n"):  # as diff(1) says it
            lines.append((("    \\ No newline at end of file", "dim"),))
    return lines


def _split(text: str) -> list[str]:
    """Split at newlines and nowhere else, unlike str.splitlines, and keep them."""
    *whole, last = text.split("\n")
    return [line + "\n" for line in whole] + ([last] if last else [])


def error_lines(prefix: str, error: RootwrightError) -> list[Line]:
    """Return an error as its own lines, the first in red."""
    lines: list[Line] = []
    for entry in error.lines():
        indent = " " * (len(entry) - len(entry.lstrip(" ")) + 4) if lines else "  "
        for number, text in enumerate(entry.split("\n")):
            style = "" if lines else "bold red"
            lines.append(((prefix, "bold"), (indent * bool(number) + text, style)))
    return lines


def image_note(image: ImageReport) -> str:
    """Return what stands beside an image when it is done: what was sent of it."""
    sent = f"{size_text(image.sent_bytes)} sent" if image.sent_bytes else ""
    return "  ".join(filter(None, [sent, image.note]))


def image_line(prefix: str, image: ImageReport) -> Line:
    """Return the image's line in the recap: ID, tags, size, state and what was sent."""
    size = size_text(image.size) if image.size else ""
    if image.sent_bytes == image.size:
        sent = ", sent" if image.size else ""
    else:
        sent = f", {size_text(image.sent_bytes)} sent" if image.sent_bytes else ""
    return (
        (prefix, "bold"),
        (" ".join(filter(None, ["image", short_id(image.id), *image.tags, size])) + " ", ""),
        (image.state, _STATE_STYLES[image.state]),
        (sent, ""),
    )


def recap_lines(report: RunReport, *, check: bool) -> list[Line]:
    """Return the recap: a line for one host, a table for several, and the images below.

    check: whether it was one; what would change is counted there only, so that the line of an
    ordinary run stays within 80 columns.
    """
    hosts = report.hosts
    counted = check or any(host.would_change for host in hosts)
    names = ["ok", "changed", *["would change"] * counted, "skipped", "failed", "round trips"]
    if len(hosts) == 1:
        lines, prefixes = [_recap_line(hosts[0], names)], [""]
    else:
        lines, prefixes = _recap_table(hosts, names), prefixes_of([host.host for host in hosts])
    for host, prefix in zip(hosts, prefixes, strict=True):
        if host.image is not None:
            lines.append(image_line(prefix, host.image))
        if host.error is not None and len(hosts) > 1:  # by now it has scrolled away
            lines.append(error_lines(prefix, host.error)[0])
    return lines


def prefixes_of(hosts: Sequence[str]) -> list[str]:
    """Return what begins the lines of each host, all of one width."""
    width = max(map(cells, hosts), default=0)
    return [pad(host, width) + "  " for host in hosts]


def _count(host: HostReport, name: str) -> tuple[str, str]:
    """Return one of a host's numbers, and the style of its state where it is not 0."""
    number = host.summary()[name.replace(" ", "_")]
    return str(number), _STATE_STYLES.get(name, "") if number else "dim"


def _host_style(host: HostReport) -> str:
    return "bold red" if host.exit_code else "bold"


def _recap_line(host: HostReport, names: Sequence[str]) -> Line:
    spans: list[Span] = [(host.host, _host_style(host)), (" :", "")]
    for name in names:
        number, style = _count(host, name)
        spans += [(" ", ""), (f"{name}={number}", style)]
    return (*spans, (f" {seconds_text(host.seconds)}", ""))


def _recap_table(hosts: Sequence[HostReport], names: Sequence[str]) -> list[Line]:
    width = max([cells(host.host) for host in hosts] + [len("host")])
    head = [pad("host", width), *names, "time".rjust(_SECONDS_WIDTH)]
    lines: list[Line] = [(("  ".join(head), "dim"),)]
    for host in hosts:
        spans: list[Span] = [(pad(host.host, width), _host_style(host))]
        for name in names:
            number, style = _count(host, name)
            spans.append(("  " + number.rjust(len(name)), style))
        lines.append((*spans, ("  " + seconds_text(host.seconds).rjust(_SECONDS_WIDTH), "")))
    return lines
