# shellcheck shell=sh
# What a slim root leaves out; for modules/slim.py. Runs in the root. As a guard it has neither
# /proc nor /dev. The rules are those of docker-slim beside this file: both say the same.
sl_folders='/usr/share/doc /usr/share/gnome/help /usr/share/info /usr/share/linda /usr/share/lintian/overrides /usr/share/locale /usr/share/man /usr/share/omf'

# sl_find ACTION...: find with these actions over all that is to go: files but those kept, links
# that lead nowhere, empty folders but those that man expects.
sl_find() {
    for sl_folder in $sl_folders; do
        [ ! -d "$sl_folder" ] || [ -L "$sl_folder" ] || find "$sl_folder" -xdev -depth -mindepth 1 \
            ! -path '/usr/share/doc/*/copyright' ! -path '/usr/share/doc/kde/HTML/C/*' \
            ! -path '/usr/share/gnome/help/*/C/*' ! -path '/usr/share/locale/all_languages' \
            ! -path '/usr/share/locale/currency/*' ! -path '/usr/share/locale/l10n/*' \
            ! -path '/usr/share/locale/languages' ! -path '/usr/share/locale/locale.alias' \
            ! -path '/usr/share/omf/*/*-C.emf' ! -path '/usr/share/man/man[0-9]' \
            \( \( ! -type d ! -type l \) -o \( -type l -xtype l \) -o \( -type d -empty \) \) \
            \( ! -path '/usr/share/omf/*' -o -path '/usr/share/omf/*/*-*.emf' \) "$@"
    done
}

sl_delete() {
    # A link may lead to a file that just went, a folder hold only such links: again until all is gone.
    while [ -n "$(sl_find -print -quit)" ]; do
        sl_find -delete
    done
}

# sl_restore: bring back what is missing, out of the very packages that are installed. They are
# unpacked by hand: to install them again would run their scripts, and leave other traces.
sl_restore() {
    sl_work=$(mktemp -d)
    mkdir -p "$sl_work/lists/partial" "$sl_work/cache/archives/partial" "$sl_work/debs"
    for sl_list in /var/lib/dpkg/info/*.list; do
        sl_name=${sl_list##*/}
        sl_missing "$sl_list" || echo "${sl_name%.list}"
    done >"$sl_work/packages"
    if [ -s "$sl_work/packages" ]; then
        sl_apt update || sl_fail "the archive's lists cannot be fetched"
        # shellcheck disable=SC2016
        xargs dpkg-query -W -f '${binary:Package}=${Version}\n' <"$sl_work/packages" >"$sl_work/versions"
        # shellcheck disable=SC2046
        (cd "$sl_work/debs" && sl_apt download $(cat "$sl_work/versions")) ||
            sl_fail 'a package with missing files cannot be fetched again, maybe because the archive has a newer one: build with --fresh'
        for sl_deb in "$sl_work"/debs/*.deb; do
            sl_unpack "$sl_deb" || sl_fail "${sl_deb##*/} cannot be unpacked"
        done
    fi
    sl_restore_links
    if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
        for sl_folder in /usr/share $sl_folders; do
            [ ! -d "$sl_folder" ] || find "$sl_folder" -xdev -type d -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
        done
    fi
    rm -rf "$sl_work"
    rm -f /etc/dpkg/dpkg.cfg.d/docker
}

# sl_unpack DEB: what is missing of it in the folders that were slimmed.
sl_unpack() {
    dpkg-deb --fsys-tarfile "$1" >"$sl_work/tar"
    tar -t --quoting-style=literal -f "$sl_work/tar" |
        grep -E '^\./usr/share/(doc|gnome/help|info|linda|lintian/overrides|locale|man|omf)/.' |
        while IFS= read -r sl_member; do
            sl_path=${sl_member#.}
            [ -e "${sl_path%/}" ] || [ -L "${sl_path%/}" ] || printf '%s\n' "$sl_member"
        done >"$sl_work/members"
    tar -x -C / --numeric-owner --same-permissions --no-recursion --verbatim-files-from \
        -T "$sl_work/members" -f "$sl_work/tar"
}

# sl_missing LIST: fail when a file of that package is missing.
sl_missing() {
    grep -E '^/usr/share/(doc|gnome/help|info|linda|lintian/overrides|locale|man|omf)/' "$1" | while IFS= read -r sl_path; do
        [ -e "$sl_path" ] || [ -L "$sl_path" ] || exit 1
    done
}

# sl_restore_links: what no package holds but the scripts of some made: the manuals' links of
# update-alternatives and the directory of info. A file of update-alternatives has the name of a
# master; in it, after the mode, the master's link, then pairs of a name and a link to an empty line.
sl_restore_links() {
    for sl_file in /var/lib/dpkg/alternatives/*; do
        [ ! -f "$sl_file" ] || { echo "${sl_file##*/}" && sed '1d; /^$/,$d' "$sl_file"; } |
            while IFS= read -r sl_name && IFS= read -r sl_link; do
                sl_target=/etc/alternatives/$sl_name
                if [ -e "$sl_target" ] && [ ! -e "$sl_link" ] && [ ! -L "$sl_link" ] && [ -d "${sl_link%/*}" ]; then
                    ln -s "$sl_target" "$sl_link"
                    touch -h -r "$sl_target" "$sl_link"
                fi
            done
    done
    if [ -f /usr/share/base-files/info.dir ] && [ -d /usr/share/info ] && [ ! -e /usr/share/info/dir ]; then
        cp -p /usr/share/base-files/info.dir /usr/share/info/dir
    fi
}

# sl_apt ARGUMENT...: apt-get with lists and caches of its own.
sl_apt() {
    apt-get -q -o "Dir::State::lists=$sl_work/lists" -o "Dir::Cache=$sl_work/cache" -o APT::Sandbox::User=root \
        -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o APT::Update::Error-Mode=any "$@"
}

sl_fail() {
    rm -rf "$sl_work"
    printf 'rootwright: %s\n' "$1" >&2
    exit 1
}
