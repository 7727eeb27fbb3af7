# shellcheck shell=sh
# Fill $rw_root with Debian or a relative of it. Runs in a session's sh, after prelude.sh, with what
# modules/debootstrap.py sets in front: db_suite, db_sources (lines of "URL SUITE", the first one
# being the base), db_components, db_packages, db_architecture, db_variant, db_tool, db_host_keyring,
# db_recipe (which tells this script from other versions of it), and the keyring in
# $TMPDIR/keyring.gpg where one was given. rw_wanted is the stamp, from rw_bootstrap.
: "${db_suite:=}" "${db_sources:=}" "${db_components:=}" "${db_packages:=}" "${db_architecture:=}"
: "${db_variant:=}" "${db_tool:=}" "${db_host_keyring:=}" "${db_recipe:=}" "${rw_root:?}" "${rw_state:?}"
: "${rw_paths:=}" "${rw_wanted:=}" "${TMPDIR:?}"

PATH=$rw_paths:$PATH
db_keyring=$TMPDIR/keyring.gpg
db_apt=$TMPDIR/apt
# What a package's script mounts or starts ends with the tool.
db_apart='unshare --mount --pid --fork --kill-child --mount-proc'

db_of_host='^Acquire::(http|https|ForceIPv[46]|Check-Date|Check-Valid-Until|Max-FutureTime|Max-ValidTime|Min-ValidTime)(::| )'

db_have() { command -v "$1" >/dev/null 2>&1; }

# db_prepare: find the tool and the keyring, and how this host reaches the network.
db_prepare() {
    case $rw_state in
    *[!A-Za-z0-9/._+-]*) rw_fail "the work folder $rw_state has a character in its name that apt's source lists cannot hold" ;;
    esac
    if [ "$db_tool" = auto ]; then
        db_tool=debootstrap
        ! db_have mmdebstrap || db_tool=mmdebstrap
    fi
    db_have "$db_tool" || rw_fail "$db_tool is not installed on the host"
    if [ ! -s "$db_keyring" ]; then
        for db_file in "${db_host_keyring%.*}.gpg" "${db_host_keyring%.*}.pgp" "$db_host_keyring"; do
            [ ! -s "$db_file" ] || cp "$db_file" "$db_keyring"
        done
    fi
    [ -s "$db_keyring" ] || rw_fail "the host has no $db_host_keyring to check the archive's signatures with"
    chmod 644 "$db_keyring"
    mkdir -p "$db_apt/etc/parts" "$db_apt/etc/preferences.d" "$db_apt/cache/archives/partial"
    : >"$db_apt/status"
    # Of the host's apt, only how it reaches the network and how far it trusts the dates of Release
    # files (an administrator who has a mirror that stands still says so there): none of its
    # sources, keys or hooks, nor whether it checks signatures.
    if db_have apt-config; then
        env -u APT_CONFIG apt-config dump | grep -E "$db_of_host" || :
    fi >"$TMPDIR/network.conf"
    if grep -qiE '^Acquire::Check-(Date|Valid-Until) "(false|no|off|0|disable|without)"' "$TMPDIR/network.conf"; then
        echo "the host's apt does not hold Release files to their dates, and so it is not done here"
    fi
    cat >>"$TMPDIR/network.conf" <<'EOF'
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::Languages "none";
APT::Sandbox::User "root";
EOF
    # For tools that know nothing of apt's configuration.
    db_proxy=$(sed -n 's/^Acquire::http::Proxy "\(.*\)";$/\1/p' "$TMPDIR/network.conf" | tail -n 1)
    case $db_proxy in http*) : "${http_proxy:=$db_proxy}" && export http_proxy ;; esac
    printf 'timeout = 30\ntries = 3\n' >"$TMPDIR/wgetrc"
    cat - "$TMPDIR/network.conf" >"$db_apt/conf" <<EOF
Dir::State "$db_apt";
Dir::State::lists "$db_apt/lists";
Dir::State::status "$db_apt/status";
Dir::Cache "$db_apt/cache";
Dir::Etc "$db_apt/etc";
Dir::Etc::main "main";
Dir::Etc::parts "parts";
Dir::Log "$db_apt/log";
APT::Architecture "$db_architecture";
APT::Architectures "$db_architecture";
EOF
}

# db_tidy COMMAND...: run a tool with an environment that says nothing of its caller.
db_tidy() {
    env -i HOME=/root "PATH=$PATH" TERM=dumb LC_ALL=C.UTF-8 "TMPDIR=$TMPDIR" "WGETRC=$TMPDIR/wgetrc" \
        DEBIAN_FRONTEND=noninteractive ${rw_epoch:+"SOURCE_DATE_EPOCH=$rw_epoch"} \
        ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
        ${no_proxy:+"no_proxy=$no_proxy"} "$@"
}

# db_apt_get SECONDS ARGUMENT...: the host's apt-get, in a world of its own.
db_apt_get() {
    db_limit=$1
    shift
    db_tidy timeout "$db_limit" env "APT_CONFIG=$db_apt/conf" apt-get -o APT::Update::Error-Mode=any "$@"
}

# db_release URL SUITE: fetch a suite's Release file and check its signature; it is then
# $db_apt/Release. Everything else in the archive is checked against it later.
db_release() {
    echo "checking the signature of $2 at $1"
    rm -rf "$db_apt/lists" "$db_apt/Release"
    mkdir -p "$db_apt/lists/partial"
    db_ended=0
    if db_have apt-get; then
        printf 'deb [signed-by=%s] %s %s %s\n' "$db_keyring" "$1" "$2" "$db_components" >"$db_apt/etc/sources.list"
        # A name with many addresses is tried at each: hence a limit on the whole.
        db_apt_get 60 -o Acquire::IndexTargets::deb::Packages::DefaultEnabled=false update \
            >"$db_apt/said" 2>&1 || db_ended=$?
        for db_file in "$db_apt"/lists/*Release; do
            [ "$db_ended" != 0 ] || [ ! -f "$db_file" ] || cp "$db_file" "$db_apt/Release"
        done
    else
        {
            db_fetch "$1/dists/$2/InRelease" "$db_apt/InRelease" &&
                db_tidy gpgv --keyring "$db_keyring" --output "$db_apt/Release" "$db_apt/InRelease"
        } >"$db_apt/said" 2>&1 || rm -f "$db_apt/Release"
    fi
    [ -s "$db_apt/Release" ] || db_no_release "$1" "$2"
}

# db_fetch URL FILE: for hosts without apt.
db_fetch() {
    if db_have wget; then
        db_tidy wget -nv -T 20 -t 2 -O "$2" "$1"
    else
        db_tidy curl -fsSL --connect-timeout 20 --max-time 60 --retry 1 -o "$2" "$1"
    fi
}

# db_no_release URL SUITE: say why there is none.
db_no_release() {
    cat "$db_apt/said" >&2
    db_why=$(sed -n '/^Err:/ { n; s/^ *//p; }' "$db_apt/said" | head -n 1)
    [ -n "$db_why" ] || db_why=$(sed -n 's/^[EW]: *//p' "$db_apt/said" | head -n 1)
    case $(cat "$db_apt/said") in
    *'404 '* | *' 404'*)
        rw_fail "the mirror $1 has no suite $2" ;;
    *NO_PUBKEY* | *'No public key'* | *'Missing key'* | *"Can't check signature"*)
        rw_fail "the Release file of $2 at $1 is signed by a key that is not in the keyring" ;;
    *'is not valid yet'*)
        rw_fail "the Release file of $2 at $1 is from the future: is the host's clock right?" ;;
    *'is expired'* | *'has expired'*)
        rw_fail "the Release file of $2 at $1 has expired: an old mirror, or the host's clock is wrong" ;;
    *BADSIG* | *'BAD signature'* | *'Bad signature'* | *'invalid signature'* | *'were invalid'* | *"isn't valid"* | *'is not signed'* | *'Message has been manipulated'*)
        rw_fail "the signature of the Release file of $2 at $1 is not good" ;;
    esac
    [ "$db_ended" != 124 ] || rw_fail "the mirror $1 does not answer: nothing arrived within a minute"
    rw_fail "the mirror $1 does not answer: ${db_why:-it gave no Release file for $2}"
}

# db_words FIELD: the words of a field of $db_apt/Release, with the prefix of security archives
# (updates/main) taken off.
db_words() { sed -n "s/^$1: *//p" "$db_apt/Release" | head -n 1 | tr ' ' '\n' | sed 's,.*/,,'; }

# db_check_sources: every suite's Release file, what it offers, and the newest date as rw_epoch.
db_check_sources() {
    db_epoch=0
    : >"$TMPDIR/sources.list"
    : >"$TMPDIR/releases"
    while read -r db_url db_name; do
        db_release "$db_url" "$db_name"
        db_words Architectures | grep -qxF "$db_architecture" ||
            rw_fail "the suite $db_name at $db_url has no architecture $db_architecture: it has $(db_words Architectures | tr '\n' ' ')"
        for db_component in $db_components; do
            db_words Components | grep -qxF "$db_component" ||
                rw_fail "the suite $db_name at $db_url has no component $db_component: it has $(db_words Components | tr '\n' ' ')"
        done
        db_date=$(sed -n 's/^Date: *//p' "$db_apt/Release" | head -n 1)
        db_date=$(date -u -d "$db_date" +%s) || rw_fail "the Release file of $db_name at $db_url has no date"
        [ "$db_date" -le "$db_epoch" ] || db_epoch=$db_date
        cat "$db_apt/Release" >>"$TMPDIR/releases"
        printf 'deb [signed-by=%s] %s %s %s\n' "$db_keyring" "$db_url" "$db_name" "$db_components" >>"$TMPDIR/sources.list"
    done <<EOF
$db_sources
EOF
    rw_epoch=$db_epoch
    printf '%s\n' "$rw_epoch" >"$rw_state/epoch"
}

# db_check_packages: whether the archive has what is asked for, before the long part begins.
db_check_packages() {
    [ -n "$db_packages" ] && db_have apt-get || return 0
    echo "looking for $db_packages"
    cp "$TMPDIR/sources.list" "$db_apt/etc/sources.list"
    # shellcheck disable=SC2086
    {
        db_apt_get 600 update && db_apt_get 60 -s --no-install-recommends install $db_packages
    } >"$TMPDIR/log" 2>&1 || {
        cat "$TMPDIR/log" >&2
        db_failed "looking for packages"
    }
    rm -f "$TMPDIR/log"
}

# db_logged COMMAND...: run it, its output shown and kept; its exit status, which a pipe would lose.
db_logged() {
    {
        db_status=0
        "$@" 2>&1 || db_status=$?
        echo "$db_status" >"$TMPDIR/status"
    } | tee -a "$TMPDIR/log"
    return "$(cat "$TMPDIR/status")"
}

# db_failed WHAT: say why a tool failed, from what it printed.
db_failed() {
    db_missing=$(sed -n 's/.*Unable to locate package \([^ ]*\).*/\1/p; s/.*Package .\([^ ]*\). has no installation candidate.*/\1/p' "$TMPDIR/log" | sort -u | tr '\n' ' ')
    [ -z "$db_missing" ] || rw_fail "the archive has no package ${db_missing% }"
    # On a full disk the log itself may be cut, and apt looks for room in words of its own.
    if grep -qE "No space left on device|You don't have enough free space" "$TMPDIR/log" ||
        [ "$(df -Pk "$rw_root" | awk 'NR == 2 { print $4 }')" -lt 1024 ]; then
        rw_fail "$1 failed: No space left on device"
    fi
    # The first error is the cause, the later ones are what came of it.
    db_why=$(sed -n 's/^E: *//p' "$TMPDIR/log" | head -n 1)
    rw_fail "$1 failed${db_why:+: $db_why}"
}

# Where the base depends on "usrmerge | usr-is-merged" (Debian 12), apt takes the first, which moves
# everything to /usr afterwards and brings all of perl; debootstrap has it there from the start. The
# hooks are mmdebstrap's own. It takes TMPDIR away from them: apt, when it is killed, would leave its
# files in the host's /tmp. Where a connection is cut in the middle of an InRelease, apt 2.6 may wait
# for ever, for nothing (ran): it gets half a minute, and then begins again with what it has.
# shellcheck disable=SC2016
db_setup='
    hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh
    cd "$1" && export "APT_CONFIG=$MMDEBSTRAP_APT_CONFIG"
    export "TMPDIR=$1/tmp"
    timeout 30 apt-get update --error-on=any || apt-get update --error-on=any
    unset TMPDIR
    if apt-cache show --no-all-versions init-system-helpers 2>/dev/null | grep -q "^Depends:.*usrmerge |" && [ -x "$hook" ]; then
        env -u APT_CONFIG "$hook" "$1"
    fi'
# shellcheck disable=SC2016
db_essential='
    state=$(dpkg-query --root="$1" -W -f "\${db:Status-Status} \${Source}" usr-is-merged 2>/dev/null) || state=
    if [ "$state" = "installed mmdebstrap-dummy-usr-is-merged" ]; then
        /usr/share/mmdebstrap/hooks/merged-usr/essential00.sh "$1"
    fi'

db_mmdebstrap() {
    # shellcheck disable=SC2086
    db_logged db_tidy $db_apart mmdebstrap --mode=root "--variant=$db_variant" --format=directory \
        "--architectures=$db_architecture" "--aptopt=$TMPDIR/network.conf" --dpkgopt=force-unsafe-io \
        "--setup-hook=$db_setup" "--essential-hook=$db_essential" \
        ${db_packages:+"--include=$(echo "$db_packages" | tr ' ' ',')"} \
        "$db_suite" "$rw_root" "$TMPDIR/sources.list" || db_failed mmdebstrap
}

# db_debootstrap: debootstrap knows one suite and no updates, so apt brings those in the new root.
db_debootstrap() {
    read -r db_url db_name <<EOF
$db_sources
EOF
    set -- "$db_name" "$rw_root" "$db_url"
    # A suite newer than the tool, or of one's own making: as the newest it knows.
    [ -e "/usr/share/debootstrap/scripts/$db_name" ] || set -- "$@" /usr/share/debootstrap/scripts/sid
    # shellcheck disable=SC2086
    db_logged db_tidy $db_apart debootstrap --force-check-gpg "--keyring=$db_keyring" \
        "--variant=$db_variant" "--arch=$db_architecture" \
        "--components=$(echo "$db_components" | tr ' ' ',')" "$@" || db_failed debootstrap
    cp "$db_keyring" "$rw_root/etc/apt/rootwright.gpg"
    sed 's,signed-by=[^]]*,signed-by=/etc/apt/rootwright.gpg,' "$TMPDIR/sources.list" >"$rw_root/etc/apt/sources.list"
    cp "$TMPDIR/network.conf" "$rw_root/etc/apt/apt.conf.d/99rootwright"
    rm -f "$rw_root/etc/resolv.conf"
    : >"$rw_root/etc/resolv.conf"
    db_policy=
    if [ ! -e "$rw_root/usr/sbin/policy-rc.d" ]; then
        db_policy=$rw_root/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$db_policy"
        chmod 755 "$db_policy"
    fi
    # debootstrap records the archive's priorities, apt the packages' own: one of the two, so that
    # the root does not depend on the tool.
    # shellcheck disable=SC2016
    db_logged rw_inside '
        for deb in /var/cache/apt/archives/*.deb; do
            dpkg-deb --show --showformat="\${Package} \${Version} \${Priority} \${Section}\n" "$deb"
        done >/tmp/own
        awk "$awk" /tmp/own /var/lib/dpkg/status >/var/lib/dpkg/status.new
        chmod 644 /var/lib/dpkg/status.new
        mv /var/lib/dpkg/status.new /var/lib/dpkg/status
        rm -f /var/lib/dpkg/available /var/cache/apt/archives/*.deb
        apt-get update -q
        apt-get -y -q -o APT::Install-Recommends=false dist-upgrade
        [ -z "$packages" ] || apt-get -y -q -o APT::Install-Recommends=false install $packages
        # dpkg leaves the older date on what an upgrade does not change: settings, links to folders.
        for deb in /var/cache/apt/archives/*.deb; do
            [ -f "$deb" ] || continue
            dpkg-deb -x "$deb" /tmp/new
            cd /tmp/new
            find . -type l -o -path "./etc/*" -type f | while IFS= read -r path; do
                if [ -L "$path" ]; then
                    [ "$(readlink "$path")" != "$(readlink "/$path")" ] || touch -h -r "$path" "/$path"
                elif cmp -s "$path" "/$path"; then
                    touch -r "$path" "/$path"
                fi
            done
            cd /
            rm -rf /tmp/new
        done
    ' "packages=$db_packages" "awk=$db_awk" || db_failed "apt in the new root"
    [ -z "$db_policy" ] || rm -f "$db_policy"
}
# shellcheck disable=SC2016
db_awk='
    NR == FNR { priority[$1, $2] = $3; section[$1, $2] = $4; next }
    function put(  i, key) {
        key = name SUBSEP version
        for (i = 1; i <= n; i++) {
            if (line[i] ~ /^Priority: / && key in priority) line[i] = "Priority: " priority[key]
            if (line[i] ~ /^Section: / && key in section) line[i] = "Section: " section[key]
            print line[i]
        }
        n = 0
    }
    { line[++n] = $0 }
    $1 == "Package:" { name = $2 }
    $1 == "Version:" { version = $2 }
    $0 == "" { put() }
    END { put() }'

# db_settle: remove or fix what tells one run, one host or one tool from another.
db_settle() {
    cd "$rw_root" || exit 1
    for db_dir in dev run tmp var/tmp; do
        find "$db_dir" -xdev -mindepth 1 ! -path run/lock -delete
    done
    rm -rf etc/hostname etc/machine-id etc/.pwd.lock etc/passwd- etc/shadow- etc/group- etc/gshadow- \
        etc/subuid- etc/subgid- etc/apt/rootwright.gpg etc/apt/sources.list etc/apt/sources.list.d/* \
        etc/apt/apt.conf.d/00mmdebstrap etc/apt/apt.conf.d/99mmdebstrap etc/apt/apt.conf.d/99rootwright \
        etc/dpkg/dpkg.cfg.d/99mmdebstrap \
        var/cache/apt/* var/cache/debconf/*-old var/cache/ldconfig/aux-cache var/lib/apt/lists/* \
        var/lib/dbus/machine-id var/lib/dpkg/*-old var/lib/dpkg/arch var/lib/dpkg/available \
        var/lib/dpkg/cmethopt var/lib/dpkg/lock var/lib/dpkg/lock-frontend var/lib/dpkg/triggers/Lock \
        var/log/alternatives.log var/log/apt/* var/log/bootstrap.log var/log/dpkg.log
    # Present, so that a host's own can be mounted over it while commands run inside.
    rm -f etc/resolv.conf
    : >etc/resolv.conf
    # debootstrap's own; without a link the zone is UTC too.
    case $(readlink etc/localtime || :) in /usr/share/zoneinfo/UTC) rm etc/localtime ;; esac
    # Days that were written before the epoch was known, or by tools that know of none.
    awk -F: -v OFS=: -v day="$((rw_epoch / 86400))" '$3 > day { $3 = day } { print }' etc/shadow >"$TMPDIR/shadow"
    cat "$TMPDIR/shadow" >etc/shadow
    # As in Debian's own image: installed for its own sake is only what was asked for.
    # shellcheck disable=SC2016
    chroot . dpkg-query -W -f '${Package} ${Architecture}\n' | LC_ALL=C sort >"$TMPDIR/installed"
    awk -v asked="$db_packages" -v native="$db_architecture" '
        BEGIN { split(asked, names, " "); for (i in names) { sub(/:.*/, "", names[i]); manual[names[i]] } }
        !($1 in manual) {
            printf "Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n", $1, $2 == "all" ? native : $2
        }' "$TMPDIR/installed" >var/lib/apt/extended_states
    # A folder's date tells in which order packages were unpacked.
    find . -xdev -type d -exec touch -d "@$rw_epoch" {} +
    cd /
}

# db_key: what decides every byte of the root: what was asked for and how, with which tool, and each
# suite's Release file, whose signature was just checked and which names all that is in the archive.
db_key() {
    {
        printf '%s\n' "$rw_wanted" "$db_recipe" "$db_tool" "$rw_epoch"
        "$db_tool" --version
        cat "$db_keyring" "$TMPDIR/releases"
    } | sha256sum
}

db_prepare
db_check_sources
if rw_recall "$(db_key)"; then
    echo "the archive is what it was: this is the root made of it then"
else
    db_check_packages
    "db_$db_tool"
    db_settle
    rw_remember "$(db_key)"
fi
