# shellcheck shell=sh
# Which packages are installed, and how to install them; for modules/packages.py, which sets pk_apt
# and pk_pacman to names. Runs in the root. As a guard it has neither /proc nor /dev.
: "${pk_apt:=}" "${pk_pacman:=}"

# pk_family: apt or pacman, by what the root says it is, then by what it has: either is installed on
# the other's systems too, as a tool.
pk_family() {
    pk_ids=$(sed -n 's/^ID\(_LIKE\)\{0,1\}=//p' /etc/os-release | tr '"\n' '  ')
    case " $pk_ids " in
    *' arch '*) ! command -v pacman >&2 || { echo pacman && return; } ;;
    *' debian '* | *' ubuntu '*) ! command -v apt-get >&2 || { echo apt && return; } ;;
    esac
    if command -v apt-get >&2; then echo apt; elif command -v pacman >&2; then echo pacman; fi
}

# pk_missing: print those packages that are not installed. What another package provides counts.
pk_missing() {
    case $(pk_family) in
    apt)
        # shellcheck disable=SC2016
        dpkg-query -W -f '${db:Status-Status}|${Package}|${Architecture}|${Provides}\n' | awk -F'|' -v names="$pk_apt" '
            $1 == "installed" {
                have[$2]; have[$2 ":" $3]
                n = split($4, provided, ", *")
                for (i = 1; i <= n; i++) { sub(/[ (:].*/, "", provided[i]); have[provided[i]] }
            }
            END { n = split(names, wanted, " "); for (i = 1; i <= n; i++) if (!(wanted[i] in have)) print wanted[i] }'
        ;;
    pacman)
        for pk_name in $pk_pacman; do
            pacman -Qq "$pk_name" >&2 || echo "$pk_name"
        done
        ;;
    *) echo '?' ;;
    esac
}

pk_all_installed() { [ -z "$(pk_missing)" ]; }

# pk_fail TEXT: end with a reason.
pk_fail() {
    printf 'rootwright: %s\n' "$1" >&2
    exit 1
}

pk_install() {
    pk_wanted=$(pk_missing | tr '\n' ' ')
    case $(pk_family) in
    apt) pk_apt_install ;;
    pacman) pk_pacman_install ;;
    *) pk_fail 'the root has neither apt nor pacman' ;;
    esac
    pk_wanted=$(pk_missing | tr '\n' ' ')
    [ -z "$pk_wanted" ] || pk_fail "not installed, though the package manager did not complain: $pk_wanted"
}

pk_apt_install() {
    # The first process is ours only in an image.
    if [ $$ = 1 ] && [ ! -x /usr/sbin/policy-rc.d ]; then
        pk_fail 'packages would start daemons in the image: put PolicyRcD before Packages'
    fi
    pk_try_apt || { pk_apt_get update && pk_try_apt; } || {
        pk_none=$(sed -n 's/^E: Unable to locate package \(.*\)$/\1/p; s/^E: Package .\(.*\). has no installation candidate$/\1/p' "$pk_log" | sort -u | tr '\n' ' ')
        rm -f "$pk_log"
        [ -z "$pk_none" ] || pk_fail "there is no package $pk_none"
        pk_fail "apt could not install $pk_wanted"
    }
    rm -f "$pk_log"
}

pk_apt_get() {
    apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=30 \
        -o APT::Update::Error-Mode=any -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@"
}

pk_try_apt() {
    : "${pk_log:=$(mktemp)}"
    pk_status=0
    # shellcheck disable=SC2086
    pk_apt_get --no-install-recommends install $pk_wanted >"$pk_log" 2>&1 || pk_status=$?
    cat "$pk_log"
    return "$pk_status"
}

pk_pacman_install() {
    # An image's root is held by one play: a lock in it was left by a dead one.
    [ $$ != 1 ] || rm -f /var/lib/pacman/db.lck
    set -- -S --needed --noconfirm --noprogressbar
    # shellcheck disable=SC2086
    pacman "$@" $pk_wanted && return
    # Lists that are missing, or older than the mirror. On a host that has them, newer ones alone
    # would make the next installation a partial upgrade, which Arch does not support.
    pk_old=
    if [ $$ = 1 ] || ! ls /var/lib/pacman/sync/*.db >/dev/null 2>&1; then
        pacman -Sy --noconfirm --noprogressbar || pk_fail 'pacman could not fetch its lists of packages'
    else
        pk_old='; its lists may be older than the mirror: run pacman -Syu first'
    fi
    pk_none=
    for pk_name in $pk_wanted; do
        pacman -Sp "$pk_name" >/dev/null || pk_none="$pk_none $pk_name"
    done
    [ -z "$pk_none" ] || pk_fail "there is no package$pk_none$pk_old"
    # shellcheck disable=SC2086
    pacman "$@" $pk_wanted || pk_fail "pacman could not install ${pk_wanted% }$pk_old"
}
