"""The live lines at the foot of a terminal: one a host, a running step's or a bar.

rich draws them. It is imported when the first of them is due, so a play that is over at once, or
that nobody watches, does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from rootwright.report.lines import Line
from rootwright.text import cells

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID
    from rich.text import Text

# The numbers beside a bar as quiet as those beside a step; rich has one colour for each.
_THEME = {
    "bar.complete": "yellow",
    "bar.finished": "yellow",
    "progress.percentage": "none",
    "progress.download": "none",
    "progress.data.speed": "dim",
    "progress.remaining": "dim",
}
# What a bar's numbers need beside its label, with some columns left for the bar itself.
_WIDTH_OF_ALL_NUMBERS = 47
# Lines left to what was printed before, however many hosts there are.
_LINES_ABOVE = 4


@dataclass(eq=False)  # one is the same only as itself: the region knows its bar by it
class Doing:
    """What a host is at right now.

    state and name: as in a module's line. last: the last line of output, raw.
    total, sent and target: the layer's bytes and where they go; 0 and empty when none are being
    sent. since: time.monotonic().
    """

    state: str
    name: str
    last: str = ""
    total: int = 0
    sent: int = 0
    target: str = ""
    since: float = field(default_factory=time.monotonic)


class Region:
    """Draws the live lines and prints other lines above them.

    Not safe for threads: the console calls it under its own lock, and nothing here runs by itself.

    stream: the terminal. colour: whether to use styles at all.
    """

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        import rich.console
        from rich.live import Live
        from rich.theme import Theme

        self._console = rich.console.Console(
            file=stream,
            force_terminal=True,
            force_interactive=True,
            force_jupyter=False,
            color_system="auto" if colour else None,
            theme=Theme(_THEME),
        )
        # stdout is not to be redirected: the JSON report goes there.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress = _bars(self._console)
        self._columns = tuple(self._progress.columns)
        self._tasks: dict[Doing, TaskID] = {}

    @property
    def shown(self) -> bool:
        """Whether live lines stand on the terminal now, so that others must go above them."""
        return self._live.is_started

    def draw(
        self,
        steps: Sequence[Line],
        bars: Sequence[tuple[str, Doing]],
        above: Sequence[Line],
        tally: str = "",
    ) -> None:
        """Show these lines, and these bars with their labels, instead of those shown before.

        Those that do not fit are counted.

        above: lines to stay, printed above the live ones. tally: a line below them.
        """
        from rich.console import Group

        room = max(1, self._console.height - _LINES_ABOVE)
        hidden = len(steps) + len(bars) + bool(tally) - room
        if hidden > 0:
            hidden += not tally  # for the line that says so
            bars = bars[: room - 1]
            steps = steps[: room - 1 - len(bars)]
            tally = ", ".join(filter(None, [f"and {hidden} more hosts at work", tally]))
        self._update(bars)
        shown = [self._text(line) for line in steps]
        below = [self._text(((tally, "dim"),))] if tally else []
        self._live.start()
        self._live.update(
            Group(*shown, *([self._progress.get_renderable()] if bars else []), *below),
            refresh=True,
        )
        if above:
            self._print(above)

    def _update(self, bars: Sequence[tuple[str, Doing]]) -> None:
        for gone in self._tasks.keys() - {doing for _, doing in bars}:
            self._progress.remove_task(self._tasks.pop(gone))
        for label, doing in bars:
            if doing not in self._tasks:
                self._tasks[doing] = self._progress.add_task(label, total=doing.total)
            self._progress.update(self._tasks[doing], completed=doing.sent)
        widest = max((cells(label) for label, _ in bars), default=0)
        cramped = self._console.width < widest + _WIDTH_OF_ALL_NUMBERS
        self._progress.columns = self._columns[:-2] if cramped else self._columns

    def _text(self, line: Line) -> Text:
        from rich.text import Text

        # The ellipsis is no ASCII; a terminal that has no more gets a plain cut.
        if self._console.options.ascii_only:
            return Text.assemble(*line, no_wrap=True, overflow="crop")
        return Text.assemble(*line, no_wrap=True, overflow="ellipsis")

    def _print(self, lines: Iterable[Line]) -> None:
        from rich.text import Text

        # Long lines are left for the terminal to wrap, so that they can be copied whole.
        block = Text("\n").join(Text.assemble(*line) for line in lines)
        self._console.print(block, soft_wrap=True, highlight=False)

    def stop(self) -> None:
        """Take the live lines away and give the cursor back."""
        self._live.stop()


def _bars(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    class Percentage(ProgressColumn):
        """Whole percents, rounded down: 100 % is said when the last byte is out."""

        def render(self, task: Task) -> Text:
            from rich.text import Text

            return Text(f"{int(task.percentage):3d}%", style="progress.percentage")

    def column() -> Column:
        return Column(no_wrap=True, justify="right")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        Percentage(column()),
        DownloadColumn(table_column=column()),
        TransferSpeedColumn(column()),
        TimeRemainingColumn(table_column=column()),
        console=console,
        expand=True,
        auto_refresh=False,
        disable=True,
    )
