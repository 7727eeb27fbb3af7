"""Locales: which exist, and which is the default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rootwright.module import Module, read_template
from rootwright.resource import Command, File, Resource, quote

BUILT_IN = ("C", "POSIX", "C.UTF-8", "C.utf8")
"""Locales that every root has without generating them."""

HEADER = "# The locales that locale-gen makes; see locale.gen(5).\n"

# language[_TERRITORY][.CODESET][@modifier], and for locale.gen the character set.
_NAME = re.compile(r"[a-z]{2,4}(_[A-Z]{2,3})?(\.[A-Za-z0-9-]{2,20})?(@[A-Za-z0-9]{2,20})?")
_CHARSET = re.compile(r"[A-Z][A-Za-z0-9-]{2,20}")


@dataclass(frozen=True, kw_only=True)
class Locale(Module):
    """Generate locales, and set the default one.

    lang: the default, such as ``C.UTF-8``; it must be built in or among those generated.
    generate: the locales that exist besides the built-in ones, each as ``en_US.UTF-8`` or, as in
        locale.gen(5), with its character set: ``sr_RS@latin UTF-8``. Those that leave the list
        leave the root. None leaves the root's as they are, and does not look whether lang exists.

    Works on every root whose C library is glibc; where locales are to be generated, locale-gen
    must be there (on Debian: the package ``locales``). The default is written to /etc/locale.conf;
    on Debian and its relatives /etc/default/locale, which they read, becomes a link to it, as it
    is in Debian 13.
    Source: locale.conf(5), locale.gen(5), locale-gen(8), localedef(1).
    """

    lang: str = "C.UTF-8"
    generate: Sequence[str] | None = None

    def entries(self) -> list[tuple[str, str]]:
        """Return what is to be generated as pairs of name and character set, sorted."""
        pairs = set()
        for text in self.generate or ():
            name, _, charset = text.partition(" ")
            if name in BUILT_IN:
                continue
            charset = charset or name.partition("@")[0].partition(".")[2]
            if not _NAME.fullmatch(name):
                raise self.refuse(f"{text!r} is no locale", "something like en_US.UTF-8")
            if not _CHARSET.fullmatch(charset):
                raise self.refuse(
                    f"the locale {text!r} does not say its character set",
                    f"something like '{name} UTF-8'",
                )
            pairs.add((name, charset))
        return sorted(pairs)

    def resources(self) -> Iterator[Resource]:
        """Yield the list and what is made of it, then the default."""
        entries = self.entries()
        if self.lang not in BUILT_IN:
            if not _NAME.fullmatch(self.lang):
                raise self.refuse(f"{self.lang!r} is no locale", "something like C.UTF-8")
            if self.generate is not None and self.lang not in [name for name, _ in entries]:
                raise self.refuse(
                    f"the default locale {self.lang} is not among those generated",
                    "add it to them",
                )
        if self.generate is not None:
            yield from self._generated(entries)
        yield File("/etc/locale.conf", f"LANG={self.lang}\n")
        yield Command(
            "default locale",
            "ln -sfn ../locale.conf /etc/default/locale",
            unless="[ ! -e /etc/debian_version ] || [ ! -d /etc/default ] || "
            '[ "$(readlink /etc/default/locale)" = ../locale.conf ]',
            reads=("/etc/debian_version", "/etc/default"),
            writes=("/etc/default/locale",),
        )

    def _generated(self, entries: Sequence[tuple[str, str]]) -> Iterator[Resource]:
        content = HEADER + "".join(f"{name} {charset}\n" for name, charset in entries)
        places = ("/etc/locale.gen", "/usr/lib/locale")
        # With nothing to be listed, a root without a list is as good as one with an empty one.
        yield File("/etc/locale.gen", content, if_exists=not entries)
        given = "lc_wanted=" + quote("\n".join(f"{name} {charset}" for name, charset in entries))
        common = read_template("locales.sh")
        names = ", ".join(name for name, _ in entries) or "no locales"
        yield Command(
            "locales",
            f"# generate {names}\n{given}\n{common}\nlc_generate",
            unless=f"{given}\n{common}\nlc_all_there",
            reads=places,
            writes=("/usr/lib/locale",),
        )
