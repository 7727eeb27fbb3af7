"""Text that is safe to show, and how wide it is."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rootwright.text import cells, harmless, pad, terminal_text
from tests.support.reports import ACTING, anything


@given(anything)
@example("\x1b]0;title\x07\x1b[2J\x9b31m\x1bPq\x1b\\")
@example("\x1b\x1b[0m[31m")  # dropping the inner sequence must not make an outer one
def test_no_text_can_act_on_a_terminal(text: str) -> None:
    for shown in (harmless(text), terminal_text(text)):
        assert not ACTING.search(shown)
        shown.encode()  # no surrogate is left, so it can be written out
        assert harmless(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
@example("naïve 漢字 👩‍💻 [red]not markup[/red]")
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text
    assert terminal_text(text) == text


def test_what_is_hidden_is_shown() -> None:
    assert harmless("a\tb\n\x1b[31m\r\x7f\x85\u202e\udcff") == "a\tb\n^[[31m^M^?\\u0085\\u202e\\xff"


def test_terminal_output_is_read_as_it_was_meant() -> None:
    assert terminal_text("\x1b[1;32m::\x1b[0m Proceed? [Y/n] \x1b[?25h") == ":: Proceed? [Y/n] "
    assert terminal_text("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert terminal_text("10%\r 50%\r100%\r\ndone\r") == "100%\ndone"


def test_cleaning_takes_linear_time() -> None:
    # Quadratic time would be hours here.
    for hostile in ("\x9d", "\x1b]", "\x1b[", "\x1b[0;", "\r", "\x1bP\x9d"):
        assert not ACTING.search(terminal_text(hostile * 500_000))


def test_padding_counts_columns() -> None:
    assert cells("漢字") == 4
    assert cells("e\u0301") == 1
    assert pad("漢", 4) == "漢  "
    assert pad("longer", 2) == "longer"
