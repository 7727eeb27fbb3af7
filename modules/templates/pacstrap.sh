# shellcheck shell=sh
# Makes an Arch-shaped root in $rw_root with pacstrap. Runs on the build host, as the first process
# of mount and PID namespaces of its own: mounts, gpg-agent and what pacman starts end with it.
#
# Given: rw_root and rw_state, as everywhere; rw_packages, what to install, packages or groups;
# rw_ignore, what must not come with them; rw_spare, what need not; rw_repositories; rw_keyring, a
# keyring's name; TMPDIR, a folder of its own with pacman.conf and, where another keyring than the
# host's is to be trusted, the folder keyring.
set -eu
: "${rw_root:?}" "${rw_state:?}" "${rw_packages:?}" "${rw_ignore=}" "${rw_spare=}"
: "${rw_repositories:?}" "${rw_keyring:?}" "${TMPDIR:?}"
# File names in packages are UTF-8; what pacman says is read below.
export LC_ALL=C.UTF-8 TZ=UTC
unset LANGUAGE COLUMNS

fail() {
    printf 'rootwright: %s\n' "$1" >&2
    exit 1
}
# words: standard input as one line of words.
words() { tr '\n' ' ' | sed 's/ *$//'; }
# lines WORD...: each on a line of its own, sorted.
lines() { [ $# = 0 ] || printf '%s\n' "$@" | sort -u; }
# commas: standard input, a name a line, as a list for a reader.
commas() { sed ':a;N;$!ba;s/\n/, /g'; }

for tool in pacman:pacman pacstrap:arch-install-scripts gpg:gnupg; do
    command -v "${tool%:*}" >/dev/null || fail "the host has no ${tool%:*}: install ${tool#*:}"
done

# The host's own database is out of sight, and everything pacman keeps besides packages lies in
# memory, under a name short enough for gpg-agent's sockets (unix(7): 107 bytes).
private=/var/lib/pacman
mkdir -p "$private"
mount -t tmpfs -o mode=755,nosuid,nodev rootwright "$private"
mkdir "$private/gnupg" "$private/hooks" "$private/pkg" "$TMPDIR/pkg"
chmod 700 "$private/gnupg"
mount --bind "$TMPDIR/pkg" "$private/pkg"
mv "$TMPDIR/pacman.conf" "$private/pacman.conf"
# A mount point of its own: pacman computes free space per mount point.
mount --bind "$rw_root" "$rw_root"
said=$TMPDIR/said

# The keyring, as pacman-key makes it, but for pacman-key's folder: a throwaway key signs the
# masters, three of whom make a packager's key valid.
own_gpg() { gpg --homedir "$private/gnupg" --batch --no-tty --quiet "$@"; }
from=$TMPDIR/keyring
if [ ! -d "$from" ]; then
    for from in /usr/share/pacman/keyrings /usr/share/keyrings; do
        [ ! -s "$from/$rw_keyring.gpg" ] || break
    done
fi
if [ ! -s "$from/$rw_keyring.gpg" ] || [ ! -s "$from/$rw_keyring-trusted" ]; then
    fail "the host has no keyring $rw_keyring: install archlinux-keyring, or give another with --keyring"
fi
: >"$private/gnupg/pubring.gpg"
# No key is looked for on the network: who is trusted is the keyring's to say.
printf '%s\n' no-greeting no-permission-warning lock-never no-auto-check-trustdb disable-dirmngr \
    >"$private/gnupg/gpg.conf"
own_gpg --passphrase '' --pinentry-mode loopback --quick-generate-key 'Rootwright build' \
    ed25519 cert,sign never >"$said" 2>&1 || { cat "$said" && fail "gpg cannot make a key"; }
own_gpg --import "$from/$rw_keyring.gpg" >"$said" 2>&1 ||
    { cat "$said" && fail "the keyring $rw_keyring.gpg cannot be read"; }
trusted=$(sed -n 's/^\([0-9A-Fa-f]\{40\}\):.*/\1/p' "$from/$rw_keyring-trusted")
for key in $trusted; do
    own_gpg --list-keys "$key" >/dev/null 2>&1 ||
        fail "the keyring trusts the key $key, which it does not hold"
    # An expired one cannot be signed, and is worth nothing.
    own_gpg --quick-lsign-key "$key" >"$said" 2>&1 || cat "$said"
done
own_gpg --import-ownertrust "$from/$rw_keyring-trusted" >"$said" 2>&1 ||
    { cat "$said" && fail "the keyring's $rw_keyring-trusted cannot be read"; }
revoked=$(sed -n 's/^\([0-9A-Fa-f]\{40\}\).*/\1/p' "$from/$rw_keyring-revoked" 2>/dev/null) || :
for key in $revoked; do
    printf 'disable\nquit\n' | own_gpg --command-fd 0 --edit-key "$key" >/dev/null 2>&1 || :
done
own_gpg --check-trustdb
# The names of keys fit for signing packages: pub:f marks the valid ones, a D among their
# capabilities those that are disabled.
own_gpg --with-colons --fixed-list-mode --list-keys >"$TMPDIR/keys" 2>/dev/null
for key in $revoked; do
    awk -F: -v k="$key" '$1 == "pub" { can = $12 } $1 == "fpr" && $10 == k { exit can !~ /D/ }' \
        "$TMPDIR/keys" || fail "the key $key is revoked, and gpg does not disable it"
done
awk -F: '$1 == "pub" && $2 == "f" && $12 !~ /D/ { n++ } END { exit !n }' "$TMPDIR/keys" ||
    fail "the keyring $rw_keyring trusts no packager"

# What pacman says when it fails, in a sentence.
host_of() { sed -n "s/^error: failed retrieving file '\([^']*\)' from \([^ ]*\) : .*$1.*/\1 \2/p" "$said" | tail -n 1; }
# expired WHO: whether the key of that user ID has expired.
expired() { own_gpg --with-colons --list-keys "=$1" 2>/dev/null | grep -q '^pub:e'; }
stale='is the keyring older than the mirror? --keyring names another'
explain() {
    # What is wrong with a signature: whose it is on, whose it is, and what pacman calls it.
    signature=$(sed -n 's/^error: \([^ :]*\): [^"]*"\(.*\)" is \(.*\)/\1\t\2\t\3/p' "$said" | head -n 1)
    if [ -n "$signature" ]; then
        on=$(printf %s "$signature" | cut -f 1)
        who=$(printf %s "$signature" | cut -f 2)
        case " $rw_repositories " in *" $on "*) on="the database $on" ;; *) on="the package $on" ;; esac
        case $(printf %s "$signature" | cut -f 3) in
        disabled) fail "$on is signed by a key that was revoked: $who" ;;
        invalid) fail "$on is not what $who signed: the mirror's copy is damaged or tampered with" ;;
        unknown) fail "$on is signed by the key $who, which the keyring does not hold: $stale" ;;
        esac
        ! expired "$who" || fail "$on is signed by a key that has expired: $who"
        fail "$on is signed by a key that the keyring does not trust: $who"
    fi
    reason=$(sed -n 's/.*Import PGP key \([^ ,?]*\).*/\1/p' "$said" | head -n 1)
    case $reason in ?*) fail "a package is signed by the key $reason, which the keyring does not hold: $stale" ;; esac
    reason=$(sed -n 's/^error: \([^ ]*\): missing required signature.*/\1/p' "$said" | head -n 1)
    case $reason in ?*) fail "$reason is not signed" ;; esac
    reason=$(sed -n 's|^error: could not open file .*/sync/\([^/]*\)\.db: .*|\1|p' "$said" | head -n 1)
    case $reason in ?*) fail "the database $reason is damaged on the mirror" ;; esac
    reason=$(sed -n 's/^error: target not found: //p' "$said" | commas)
    case $reason in ?*) fail "the repositories have no package or group called $reason" ;; esac
    reason=$(sed -n "s/^.*unable to satisfy dependency '\(.*\)' required by \(.*\)/\2 needs \1/p" "$said" | head -n 1)
    case $reason in ?*) fail "$reason, which no repository offers" ;; esac
    reason=$(host_of ' 404')
    case $reason in
    *.pkg.tar.*.sig\ *) fail "${reason% *} is not on the mirror ${reason#* }: the package is not signed" ;;
    ?*) fail "the mirror ${reason#* } has no ${reason% *} (404)" ;;
    esac
    reason=$(host_of 'bytes remaining')
    case $reason in ?*) fail "the mirror ${reason#* } stopped in the middle of ${reason% *}" ;; esac
    reason=$(host_of 'too slow')
    case $reason in ?*) fail "the mirror ${reason#* } stopped sending in the middle of ${reason% *}" ;; esac
    reason=$(host_of '')
    case $reason in ?*) fail "the mirror ${reason#* } does not answer" ;; esac
    ! grep -q 'not enough free disk space' "$said" || fail "there is not enough free disk space for the packages"
    reason=$(sed -n 's/^error: //p' "$said" | tail -n 1)
    fail "pacman failed: ${reason:-it did not say why}"
}
# watched COMMAND...: run it; what it says is shown, and explained when it fails.
watched() {
    rm -f "$TMPDIR/well"
    { "$@" 2>&1 && : >"$TMPDIR/well"; } | tee "$said"
    [ -f "$TMPDIR/well" ] || explain
}
# asked COMMAND...: run it, its answer in $TMPDIR/answer; only what goes wrong is shown.
asked() {
    "$@" >"$TMPDIR/answer" 2>"$said" </dev/null || {
        cat "$TMPDIR/answer" >>"$said"
        cat "$said" >&2
        explain
    }
}
own_pacman() { pacman --root "$rw_root" --config "$private/pacman.conf" --noconfirm --color never "$@"; }

mkdir -p "$rw_root/var/lib/pacman"
watched own_pacman -Sy --noprogressbar </dev/null

# From names to packages. The members of a group that are to be ignored are left out here; the
# others, and what they need, are what must be installed in the end.
own_pacman -Slq | sort -u >"$TMPDIR/offered"
own_pacman -Sgq | sort -u >"$TMPDIR/groups"
groups='' targets=''
for name in $rw_packages; do
    if ! grep -qxF "$name" "$TMPDIR/offered" && grep -qxF "$name" "$TMPDIR/groups"; then
        groups="$groups $name"
    else
        targets="$targets $name"
    fi
done
# facts NAME...: a line a package, tab-separated: name, version, bytes installed, build date, what
# it provides, what it needs.
facts() {
    asked own_pacman -Si "$@"
    awk -F ' *: ' '
        { value = $0; sub(/^[^:]*: /, "", value) }
        $1 == "Name" { name = value }
        $1 == "Version" { version = value }
        $1 == "Provides" { provides = value == "None" ? "" : value }
        $1 == "Depends On" { needs = value == "None" ? "" : value }
        $1 == "Installed Size" { size = value }
        $1 == "Build Date" { print name "\t" version "\t" size "\t" value "\t" provides "\t" needs }
    ' "$TMPDIR/answer"
}
# plan: what will be installed when all of $ignored is left out, one a line in $TMPDIR/plan; and
# each need of it that this leaves open, in $TMPDIR/open: an ignored package, and who needs it. A
# package that was asked for and has no files of its own, as base, is a list: it may miss members.
plan() {
    # shellcheck disable=SC2086
    members=$([ -z "$groups" ] || own_pacman -Sgq $groups | grep -vxF -e "$(lines $ignored)" || :)
    # shellcheck disable=SC2086
    there=$(lines $ignored | comm -12 - "$TMPDIR/offered" | words)
    : >"$TMPDIR/left"
    # shellcheck disable=SC2086
    [ -z "$there" ] || facts $there >"$TMPDIR/left"
    assume=$(awk -F '\t' '{ print "--assume-installed", $1 "=" $2 }' "$TMPDIR/left" | words)
    # shellcheck disable=SC2086
    asked own_pacman -Sp --print-format '%r/%n' $assume $targets $members
    mv "$TMPDIR/answer" "$TMPDIR/plan"
    # shellcheck disable=SC2046
    facts $(cat "$TMPDIR/plan") >"$TMPDIR/facts"
    awk -F '\t' -v asked=" $targets " '
        function bare(dependency) { sub(/[<>=].*/, "", dependency); return dependency }
        pass < 3 {
            n = split($5, names, " ")
            names[++n] = $1
            for (i = 1; i <= n; i++)
                if (pass == 1) left[bare(names[i])] = $1
                else if (!($1 in ignored)) met[bare(names[i])] = 1
            if (pass == 1) ignored[$1] = 1
            next
        }
        index(asked, " " $1 " ") && $3 ~ /^0[.,]00 / { next }
        {
            n = split($6, names, " ")
            for (i = 1; i <= n; i++) {
                name = bare(names[i])
                if (!(name in met) && name in left) print left[name], $1
            }
        }' pass=1 "$TMPDIR/left" pass=2 "$TMPDIR/facts" pass=3 "$TMPDIR/facts" >"$TMPDIR/open"
}
ignored="$rw_ignore $rw_spare"
plan
while [ -s "$TMPDIR/open" ]; do
    read -r name by <"$TMPDIR/open"
    case " $rw_ignore " in *" $name "*) fail "$by needs $name, which is to be ignored" ;; esac
    printf '%s\n' "$name stays: $by needs it"
    # shellcheck disable=SC2086
    ignored=$(lines $ignored | grep -vxF -e "$name" | words)
    plan
done
sed 's|.*/||' "$TMPDIR/plan" | sort -u >"$TMPDIR/wanted"

# What packages' scripts date, they date with this.
cut -f 4 "$TMPDIR/facts" | date -u -f - +%s | sort -n | tail -n 1 >"$rw_state/epoch"
SOURCE_DATE_EPOCH=$(cat "$rw_state/epoch")
export SOURCE_DATE_EPOCH

# The two worlds: with a group, pacman asks about each of its members that is to be ignored, and
# the session answers; with packages, they are taken for installed already.
set -- -C "$private/pacman.conf" -c -G -M
pacstrap -h >"$TMPDIR/help" 2>&1 || :
# Up to version 17 a folder that is no mount point was refused without -d; since 28, -d is.
! grep -q '^ *-d ' "$TMPDIR/help" || set -- "$@" -d
all=$(printf '%s %s' "$targets" "$groups" | words)
if [ -n "$groups" ]; then
    # shellcheck disable=SC2086
    list=$(lines $ignored | words | tr ' ' ,)
    # The answers come through a pipe: what is typed on a terminal before pacman reads it, pacman
    # throws away, even when it has asked already.
    mkfifo "$TMPDIR/answers"
    exec 3<&0
    cat <&3 >"$TMPDIR/answers" &
    typist=$!
    # shellcheck disable=SC2086
    watched pacstrap "$@" -i "$rw_root" $all $assume ${list:+--ignore "$list"} --noprogressbar \
        --color never <"$TMPDIR/answers"
    kill "$typist"
else
    # shellcheck disable=SC2086
    watched pacstrap "$@" "$rw_root" $all $assume --noprogressbar --color never </dev/null
fi

# Neither pacstrap's exit status nor pacman's says what was installed (both are 0 when a package
# was skipped): the database does.
own_pacman -Qq | sort -u >"$TMPDIR/installed"
missing=$(comm -13 "$TMPDIR/installed" "$TMPDIR/wanted")
[ -z "$missing" ] || fail "pacstrap ended well, but did not install $(printf '%s' "$missing" | commas)"
# shellcheck disable=SC2086
extra=$(lines $ignored | comm -12 - "$TMPDIR/installed")
[ -z "$extra" ] || fail "pacstrap installed what was to be ignored: $(printf '%s' "$extra" | commas)"

# What differs between two builds of the same packages: when they were installed.
awk 'last == "%BUILDDATE%" && $1 > newest { newest = $1 } { last = $0 } END { print newest }' \
    "$rw_root"/var/lib/pacman/local/*/desc >"$rw_state/epoch"
sed -i "/^%INSTALLDATE%\$/{n;s/.*/$SOURCE_DATE_EPOCH/}" "$rw_root"/var/lib/pacman/local/*/desc
cd "$rw_root"
rm -rf var/lib/pacman/sync var/cache/ldconfig/aux-cache var/log/pacman.log
