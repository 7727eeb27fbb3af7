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

# sl_restore: install again, everything unpacked, those packages of whose files some are missing.
sl_restore() {
    sl_packages=$(
        for sl_list in /var/lib/dpkg/info/*.list; do
            sl_name=${sl_list##*/}
            sl_name=${sl_name%.list}
            grep -E '^(/usr/share/(doc|info|linda|locale|man|omf)|/usr/share/gnome/help|/usr/share/lintian/overrides)/' "$sl_list" |
                while IFS= read -r sl_path; do
                    [ -e "$sl_path" ] || [ -L "$sl_path" ] || { echo "$sl_name" && break; }
                done
        done
    )
    if [ -n "$sl_packages" ]; then
        apt-get -q -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o APT::Update::Error-Mode=any update
        # Given last, this outdoes the instructions, which stay until all is there again.
        # shellcheck disable=SC2086
        apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=30 \
            -o 'Dpkg::Options::=--path-include=/usr/share/*' --no-install-recommends --reinstall install $sl_packages || {
            echo 'rootwright: the packages with missing files cannot be fetched again; the archive may have newer ones: build with --fresh' >&2
            exit 1
        }
    fi
    rm -f /etc/dpkg/dpkg.cfg.d/docker
}
