# shellcheck shell=sh
# Which locales are generated, and how to generate others; for modules/locale.py, which sets
# lc_wanted to lines of "NAME CHARSET". Runs in the root. As a guard it has neither /proc nor /dev.
: "${lc_wanted:=}"
lc_archive=/usr/lib/locale/locale-archive

# lc_all_there: whether the archive holds exactly the wanted locales. localedef writes en_US.UTF-8
# as en_US.utf8; a name without a codeset stands there with its codeset too, and so do the aliases
# of locale.alias that mean one of them.
lc_all_there() {
    [ -n "$lc_wanted" ] || { [ ! -e "$lc_archive" ] && return; }
    [ -e "$lc_archive" ] && localedef --list-archive | LC_ALL=C awk -v wanted="$lc_wanted" '
        function codeset(text) {
            text = tolower(text)
            gsub(/[^a-z0-9]/, "", text)
            return text ~ /^[0-9]+$/ ? "iso" text : text
        }
        function normal(name,  at, dot, tail) {
            at = index(name, "@")
            tail = at ? substr(name, at) : ""
            if (at) name = substr(name, 1, at - 1)
            dot = index(name, ".")
            return dot ? substr(name, 1, dot) codeset(substr(name, dot + 1)) tail : name tail
        }
        BEGIN {
            n = split(wanted, lines, "\n")
            for (i = 1; i <= n; i++) {
                split(lines[i], word, " ")
                must[normal(word[1])]
                at = index(word[1], "@")
                bare = at ? substr(word[1], 1, at - 1) : word[1]
                if (!index(bare, ".")) may[bare "." codeset(word[2]) (at ? substr(word[1], at) : "")]
            }
            while ((getline < "/usr/share/locale/locale.alias") > 0)
                if ($1 !~ /^#/ && NF == 2) alias[$1] = normal($2)
        }
        {
            have[$1]
            if ($1 in must || $1 in may) next
            if ($1 in alias && (alias[$1] in must || alias[$1] in may)) next
            extra = 1
        }
        END {
            for (name in must) if (!(name in have)) extra = 1
            exit extra
        }'
}

lc_fail() {
    printf 'rootwright: %s\n' "$1" >&2
    exit 1
}

# lc_check: refuse what the root's C library does not know.
lc_check() {
    lc_known=/usr/share/i18n/SUPPORTED
    printf '%s\n' "$lc_wanted" | while read -r lc_name lc_charset; do
        if [ -f "$lc_known" ]; then
            awk -v name="$lc_name" -v charset="$lc_charset" '
                $1 == name && $2 == charset { found = 1 } END { exit !found }' "$lc_known" ||
                lc_fail "the root's C library knows no locale $lc_name with the character set $lc_charset; see $lc_known in it"
        fi
    done
}

lc_generate() {
    rm -f "$lc_archive"
    [ -n "$lc_wanted" ] || return 0
    command -v locale-gen >/dev/null || lc_fail "the root has no locale-gen; on Debian it comes with the package locales"
    lc_check
    locale-gen
    lc_all_there || lc_fail 'locale-gen did not make the locales that it was asked for'
}
