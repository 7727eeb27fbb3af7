"""Ubuntu, from its archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rootwright.playbook import Recipe, playbook
from rootwright.playbooks._debian_family import FACTS, TOOLS, Archive, Options, recipe

LTS = "noble"
"""A release with long-term support, 24.04."""

ARCHIVE = Archive(
    name="Ubuntu",
    os="ubuntu",
    label="Ubuntu",
    security_label="Ubuntu",
    keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    keyring_package="ubuntu-keyring",
    mirror="http://archive.ubuntu.com/ubuntu",
    ports_mirror="http://ports.ubuntu.com/ubuntu-ports",
    main_architectures=("amd64", "i386"),
    packages=("apt", "tzdata"),  # of priority important there, and required in Debian
)
"""Where the archive is: debootstrap's scripts/gutsy, which all later releases share."""


@playbook(facts=FACTS, tools=TOOLS)
def ubuntu(
    host: Mapping[str, str],
    *,
    suite: str = LTS,
    mirror: str | None = None,
    security_mirror: str | None = None,
    updates: bool = True,
    image_mirror: str | None = None,
    image_security_mirror: str | None = None,
    components: Sequence[str] = ("main", "universe"),
    packages: Sequence[str] = (),
    lang: str = "C.UTF-8",
    locales: Sequence[str] = (),
    timezone: str = "Etc/UTC",
    slim: bool = False,
    architecture: str | None = None,
    keyring: str | None = None,
    tool: Literal["auto", "mmdebstrap", "debootstrap"] = "auto",
) -> Recipe:
    """Ubuntu, from its own archive: the required packages, apt, and what is asked for.

    Security updates and updates are in the image, and in its sources.

    suite: the release, by its code name
    mirror: the archive to build from; the host's own apt's where it has one
    security_mirror: the archive of security updates, found like the mirror; none leaves them out
    updates: take SUITE-updates too
    image_mirror: the archive the image's own apt uses; the mirror unless given
    image_security_mirror: the same for security updates
    components: of the archive
    packages: to be installed besides the base
    lang: the default locale; it is generated where it has to be
    locales: to be generated, such as en_US.UTF-8
    timezone: a name of the tz database
    slim: leave out documentation and translations
    architecture: in Debian's words, such as arm64; the host's unless given
    keyring: a file, on this machine, with the keys the archive is signed with; Ubuntu's own unless
      given
    tool: what makes the root; mmdebstrap where the host has it
    """
    return recipe(
        host,
        ARCHIVE,
        Options(
            suite=suite,
            mirror=mirror,
            security_mirror=security_mirror,
            updates=updates,
            image_mirror=image_mirror,
            image_security_mirror=image_security_mirror,
            components=components,
            packages=packages,
            lang=lang,
            locales=locales,
            timezone=timezone,
            slim=slim,
            architecture=architecture,
            keyring=keyring,
            tool=tool,
        ),
    )
