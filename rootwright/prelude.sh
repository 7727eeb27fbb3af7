# shellcheck shell=sh
# The vocabulary in which resources observe and change a root. Runs under dash, bash and busybox sh.
#
# rw_root is the root's folder on this host, empty for the host's own /; rw_state the folder beside
# it that holds stamps, device records and temporary files; rw_epoch the date, in seconds since
# 1970, that what is built there is meant to have.
# A probe prints one line of key=value words whose values need no quoting (numbers, hex, base64).
# Paths are paths inside the root.

# What is made is readable by all unless it is said otherwise, whoever makes it.
umask 022

# rw_use host|root: say which root is meant, in the session's folder rw_dir.
rw_use() {
    rw_root='' rw_state=${rw_dir-} rw_epoch=${rw_given_epoch-}
    rw_state=${rw_state%/*}/.host
    [ "$1" = root ] || return 0
    rw_state=$rw_dir/tree rw_root=$rw_dir/tree/rootfs
    # SOURCE_DATE_EPOCH is for the layer: a root that knows its own date is the same with any.
    [ ! -f "$rw_state/epoch" ] || rw_epoch=$(cat "$rw_state/epoch")
}

# rw_fail TEXT: end the running change with a reason.
rw_fail() {
    printf 'rootwright: %s\n' "$1" >&2
    exit 1
}

# rw_at PATH: set rw_path to where PATH lies on the host, its last component not followed.
# Symbolic links in the way are read as a process inside the root would read them: an absolute
# target starts at the root again. One that climbs above the root is refused, not clamped, since
# no honest tree holds one.
rw_at() {
    rw_rest=${1#/} rw_path=$rw_root rw_links=0
    while :; do
        case $rw_rest in
        */*) rw_part=${rw_rest%%/*} rw_rest=${rw_rest#*/} ;;
        *) break ;;
        esac
        case $rw_part in
        '' | .) continue ;;
        ..)
            [ "$rw_path" != "$rw_root" ] || return 1
            rw_path=${rw_path%/*}
            continue
            ;;
        esac
        if [ -L "$rw_path/$rw_part" ]; then
            rw_links=$((rw_links + 1))
            [ "$rw_links" -le 40 ] || return 1
            # The x keeps newlines at the end of a target.
            rw_to=$(readlink "$rw_path/$rw_part" && printf x)
            rw_to=${rw_to%?x}
            case $rw_to in /*) rw_path=$rw_root ;; esac
            rw_rest=$rw_to/$rw_rest
        else
            rw_path=$rw_path/$rw_part
        fi
    done
    rw_path=$rw_path/$rw_rest
}

# rw_in PATH: rw_at for a change: whatever stands in the way is an error.
rw_in() {
    rw_at "$1" || rw_fail "$1 leads out of the root, or in circles, through a symbolic link"
    rw_parent=${rw_path%/*}
    [ -d "${rw_parent:-/}" ] || rw_fail "the folder of $1 does not exist"
}

rw_b64() { base64 -w 0; }

rw_exists() { [ -e "$rw_path" ] || [ -L "$rw_path" ]; }

# rw_id FILE NAME: print the number that NAME has in the root's /etc/passwd or /etc/group.
rw_id() {
    case $2 in *[!0-9]*) ;; *) printf '%s' "$2" && return ;; esac
    rw_id_saved=$rw_path
    if rw_at "/etc/$1" && [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; then
        RW_NAME=$2 awk -F: '$1 == ENVIRON["RW_NAME"] { printf "%s", $3; exit }' "$rw_path"
    fi
    rw_path=$rw_id_saved
}

# rw_stat: the words every probe of a path begins with.
rw_stat() {
    if rw_exists; then
        printf '%s ' "$(stat -c 'mode=%f uid=%u gid=%g rdev=%t:%T size=%s' "$rw_path")"
    else
        printf 'mode=0 '
    fi
}

# rw_owner OWNER GROUP: what the wanted owner and group are, as numbers, in this root.
rw_owner() {
    case $1$2 in *[!0-9]*) printf 'owner=%s group=%s ' "$(rw_id passwd "$1")" "$(rw_id group "$2")" ;; esac
}

# rw_probe_path PATH [OWNER GROUP]: what stands at PATH, and where it points when it is a link.
rw_probe_path() {
    rw_at "$1" || { printf 'refused=1' && return; }
    rw_stat
    [ $# -lt 3 ] || rw_owner "$2" "$3"
    [ ! -L "$rw_path" ] || printf 'to=%s ' "$(readlink "$rw_path" | rw_b64)"
}

# rw_probe_file PATH OWNER GROUP SHA256 LIMIT: rw_probe_path, the digest of a regular file (others
# are not opened: a FIFO would hang, a device might act), and its contents where they differ and
# have no more than LIMIT bytes.
rw_probe_file() {
    rw_probe_path "$1" "$2" "$3"
    if [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; then
        rw_got=$(sha256sum <"$rw_path")
        rw_got=${rw_got%% *}
        printf 'sha256=%s ' "$rw_got"
        [ "$rw_got" = "$4" ] || [ "$(wc -c <"$rw_path")" -gt "$5" ] || printf 'b64=%s' "$(rw_b64 <"$rw_path")"
    fi
}

# rw_glance (INDEX SHA256 PATH)...: print the state records of those paths that are regular files
# with that digest, looking at all of them with a handful of processes; add the indices of the
# others, which are to be probed one by one, to rw_again.
rw_glance() {
    rw_list='' rw_sums='' rw_files=''
    while [ $# -gt 0 ]; do
        if rw_at "$3" && [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; then
            # Names that the tools below would write in another way are probed alone.
            case $rw_path in
            *[!A-Za-z0-9/._+@:,~%-]*) rw_again="$rw_again$1 " ;;
            *)
                rw_list="$rw_list$1 $2  $rw_path
" rw_sums="$rw_sums$2  $rw_path
" rw_files="$rw_files$rw_path
"
                ;;
            esac
        else
            rw_again="$rw_again$1 "
        fi
        shift 3
    done
    [ -n "$rw_list" ] || return 0
    rw_seen=$({
        printf %s "$rw_list"
        printf %s "$rw_sums" | sha256sum -c 2>/dev/null
        printf %s "$rw_files" | xargs stat -c '%n mode=%f uid=%u gid=%g rdev=%t:%T size=%s'
    } | awk -v mark="$(printf '\036')${rw_nonce-} state" '
        NF == 3 { if ($3 in number) again = again $1 " "; else { number[$3] = $1; digest[$3] = $2 } next }
        NF == 2 { if ($2 == "OK") right[substr($1, 1, length($1) - 1)]; next }
        ($1 in right) && ($1 in number) {
            name = $1; sub(/^[^ ]* /, ""); records = records mark " " number[name] " " $0 " sha256=" digest[name] "\n"
            delete number[name]
        }
        END { for (name in number) again = again number[name] " "; printf "%s\n%s", again, records }')
    rw_again="$rw_again${rw_seen%%
*}"
    printf '%s\n' "${rw_seen#*
}"
}

# rw_temporary: set rw_new to a fresh name on the file system of rw_path. Beside an image's root,
# so that nothing half-written can ship; in the same folder on a host's own.
rw_temporary() {
    if [ -n "$rw_root" ]; then
        mkdir -p "$rw_state/tmp"
        rw_new=$(mktemp "$rw_state/tmp/XXXXXX")
    else
        rw_new=$(mktemp "${rw_path%/*}/.rootwright.XXXXXX")
    fi
}

# rw_put PATH MODE OWNER GROUP: make PATH a regular file holding standard input, all at once.
# An empty MODE, OWNER or GROUP keeps what the file has, else 644, 0, 0. Nothing is written when
# nothing would change.
rw_put() {
    rw_in "$1"
    [ ! -d "$rw_path" ] || [ -L "$rw_path" ] || rw_fail "$1 is a folder"
    rw_mode=$2 rw_uid=$3 rw_gid=$4
    if [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; then
        : "${rw_mode:=$(stat -c %a "$rw_path")}" "${rw_uid:=$(stat -c %u "$rw_path")}" "${rw_gid:=$(stat -c %g "$rw_path")}"
    fi
    rw_uid=$(rw_id passwd "${rw_uid:-0}") rw_gid=$(rw_id group "${rw_gid:-0}")
    [ -n "$rw_uid" ] || rw_fail "the root has no user $3"
    [ -n "$rw_gid" ] || rw_fail "the root has no group $4"
    rw_temporary
    trap 'rm -f "$rw_new"' EXIT
    cat >"$rw_new" || rw_fail "cannot write $1"
    chown "$rw_uid:$rw_gid" "$rw_new" && chmod "${rw_mode:-644}" "$rw_new" || exit 1
    if [ -f "$rw_path" ] && [ ! -L "$rw_path" ] && [ "$(sha256sum <"$rw_new")" = "$(sha256sum <"$rw_path")" ] &&
        [ "$(stat -c '%f %u %g' "$rw_new")" = "$(stat -c '%f %u %g' "$rw_path")" ]; then
        return 0
    fi
    # -T: a link to a folder is replaced, not entered.
    mv -fT "$rw_new" "$rw_path"
}

# rw_directory PATH MODE OWNER GROUP
rw_directory() {
    rw_in "$1"
    rw_uid=$(rw_id passwd "$3") rw_gid=$(rw_id group "$4")
    [ -n "$rw_uid" ] || rw_fail "the root has no user $3"
    [ -n "$rw_gid" ] || rw_fail "the root has no group $4"
    if rw_exists; then
        { [ -d "$rw_path" ] && [ ! -L "$rw_path" ]; } || rw_fail "$1 exists and is no folder"
    else
        mkdir "$rw_path"
    fi
    # The zeros make chmod clear set-ID bits too, which it keeps on folders otherwise.
    chown "$rw_uid:$rw_gid" "$rw_path" && chmod "00$2" "$rw_path"
}

# rw_symlink PATH TARGET [NEEDED]: make PATH a link to TARGET, replacing a file or a link, never a
# folder; only where NEEDED, a path in the root, exists.
rw_symlink() {
    if [ -n "${3-}" ]; then
        { rw_at "$3" && rw_exists; } || rw_fail "$3 does not exist in the root"
    fi
    rw_in "$1"
    if [ -L "$rw_path" ]; then
        # The x keeps newlines at the end of a target.
        rw_to=$(readlink "$rw_path" && printf x)
        [ "${rw_to%?x}" != "$2" ] || return 0
    fi
    [ ! -d "$rw_path" ] || [ -L "$rw_path" ] || rw_fail "$1 is a folder"
    rw_temporary
    trap 'rm -f "$rw_new"' EXIT
    ln -sf -- "$2" "$rw_new" && mv -fT "$rw_new" "$rw_path"
}

# rw_edit PATH LINE MATCH PRESENT: print the file with the last line matching MATCH (an extended
# regular expression; empty: the line itself) become LINE, or LINE appended; or, PRESENT being 0,
# without such lines. Exit status 3 when that is what the file already says.
rw_edit() {
    RW_LINE=$2 RW_MATCH=$3 RW_PRESENT=$4 LC_ALL=C awk '
        BEGIN { want = ENVIRON["RW_LINE"]; match_re = ENVIRON["RW_MATCH"]; present = ENVIRON["RW_PRESENT"] }
        # Joined with "", numbers are compared as text: 10 is not 1e1.
        { line[NR] = $0; same = $0 "" == want ""; if (same || (match_re != "" && $0 ~ match_re)) hit[NR] = last = NR; if (same) have = NR }
        END {
            if (present == 1 && have && !(match_re != "" && last > have)) exit 3
            if (present == 0 && !last) exit 3
            for (i = 1; i <= NR; i++) {
                if (present == 0 && i in hit) continue
                print (present == 1 && i == last) ? want : line[i]
            }
            if (present == 1 && !last) print want
        }' "$1"
}

# rw_probe_line PATH LINE MATCH PRESENT: what the file says and, where that differs, would say.
rw_probe_line() {
    rw_probe_path "$1"
    { [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; } || return 0
    rw_edit "$rw_path" "$2" "$3" "$4" >/dev/null
    case $? in
    3) printf 'same=1' ;;
    0) printf 'b64=%s after=%s' "$(rw_b64 <"$rw_path")" "$(rw_edit "$rw_path" "$2" "$3" "$4" | rw_b64)" ;;
    esac
}

# rw_line PATH LINE MATCH PRESENT
rw_line() {
    rw_in "$1"
    { [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; } || rw_fail "$1 is no regular file"
    rw_edited=0
    rw_edit "$rw_path" "$2" "$3" "$4" >/dev/null || rw_edited=$?
    case $rw_edited in
    3) return 0 ;;
    0) rw_edit "$rw_path" "$2" "$3" "$4" | rw_put "$1" '' '' '' ;;
    *) rw_fail "cannot edit $1: is its match an extended regular expression?" ;;
    esac
}

# rw_matches ACTION KEEP PATTERN: call ACTION with rw_path set for each path in the root matching
# PATTERN and not KEEP. Only the part of PATTERN before its first wildcard may pass through a link.
rw_matches() {
    rw_action=$1 rw_keep=$2 rw_head=${3%%[*?[]*}
    rw_head=${rw_head%/*}/
    rw_tail=${3#"$rw_head"}
    rw_at "${rw_head}." && rw_base=${rw_path%/.} && [ -d "${rw_base:-/}" ] || return 0
    rw_ifs=$IFS
    IFS=
    cd -P "${rw_base:-/}" || return 0
    rw_real=$(pwd -P)
    # Splitting is off (IFS is empty), so this expands wildcards and nothing else.
    # shellcheck disable=SC2086
    set -- ./$rw_tail
    IFS=$rw_ifs
    cd / || return 0
    for rw_match; do
        rw_match=${rw_match#./}
        rw_path=$rw_base/$rw_match
        rw_exists || continue
        # shellcheck disable=SC2254
        case $rw_head$rw_match in $rw_keep) continue ;; esac
        case $rw_match in
        */*) [ "$(cd -P "${rw_path%/*}" && pwd -P)" = "${rw_real%/}/${rw_match%/*}" ] || continue ;;
        esac
        "$rw_action"
    done
}

rw_print_match() {
    rw_count=$((rw_count + 1))
    [ "$rw_count" -gt 50 ] || rw_names="$rw_names${rw_path#"$rw_root"}
"
}

# rw_probe_absent KEEP PATTERN...: how many paths match, and the first fifty of them.
rw_probe_absent() {
    rw_count=0 rw_names='' rw_keep_all=$1
    shift
    for rw_pattern; do rw_matches rw_print_match "$rw_keep_all" "$rw_pattern"; done
    printf 'count=%s b64=%s' "$rw_count" "$(printf %s "$rw_names" | rw_b64)"
}

rw_remove_match() { rm -rf --one-file-system "$rw_path"; }

# rw_absent KEEP PATTERN...
rw_absent() {
    rw_keep_all=$1
    shift
    for rw_pattern; do rw_matches rw_remove_match "$rw_keep_all" "$rw_pattern"; done
}

# rw_probe_device PATH: rw_probe_path, or the record of a device this host would not make.
rw_probe_device() {
    rw_probe_path "$1"
    [ ! -f "$rw_state/devices" ] || RW_NAME=$1 awk '$1 == ENVIRON["RW_NAME"] { printf "record=%s", $2; exit }' "$rw_state/devices"
}

# rw_device PATH KIND MAJOR MINOR MODE UID GID: make a device or FIFO; where making devices is
# forbidden to root (containers), record it for the layer.
rw_device() {
    rw_in "$1"
    [ ! -d "$rw_path" ] || [ -L "$rw_path" ] || rw_fail "$1 is a folder"
    rw_temporary
    trap 'rm -f "$rw_new"' EXIT
    rm -f "$rw_new"
    if [ -f "$rw_state/devices" ]; then
        RW_NAME=$1 awk '$1 != ENVIRON["RW_NAME"]' "$rw_state/devices" >"$rw_state/devices.new"
        mv -f "$rw_state/devices.new" "$rw_state/devices"
    fi
    if [ "$2" = p ]; then
        mkfifo "$rw_new"
    elif ! mknod "$rw_new" "$2" "$3" "$4" 2>/dev/null; then
        [ -n "$rw_root" ] || rw_fail "this host may not make device nodes"
        rm -f "$rw_path"
        printf '%s %s\n' "$1" "$2:$3:$4:$5:$6:$7" >>"$rw_state/devices"
        return 0
    fi
    chown "$6:$7" "$rw_new" && chmod "$5" "$rw_new" && mv -fT "$rw_new" "$rw_path"
}

# rw_guard SCRIPT: run a read-only question in the root, with nothing mounted there.
rw_guard() {
    if [ -z "$rw_root" ]; then
        rw_plain sh -euc "$1" </dev/null >/dev/null 2>&1
    else
        [ -x "$rw_root/bin/sh" ] || return 1
        rw_plain chroot "$rw_root" /bin/sh -euc "$1" </dev/null >/dev/null 2>&1
    fi
}
rw_paths=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# rw_plain COMMAND...: run it with an environment that is the same on every host.
rw_plain() { env -i HOME=/root PATH=$rw_paths TERM=dumb LC_ALL=C.UTF-8 "$@"; }

# rw_stamp NAME: print the stamp NAME in base64, nothing when it was never written.
rw_stamp() { [ ! -f "$rw_state/stamps/$1" ] || rw_b64 <"$rw_state/stamps/$1"; }

# rw_stamped NAME: record standard input as the stamp NAME.
rw_stamped() {
    mkdir -p "$rw_state/stamps"
    cat >"$rw_state/stamps/.$1" && mv -f "$rw_state/stamps/.$1" "$rw_state/stamps/$1"
}

# rw_inside SCRIPT NAME=VALUE...: run SCRIPT with sh -eu in the root, in mount and PID namespaces
# of its own, so that neither a mount nor a daemon outlives it. What is mounted is what programs
# expect of a running system and no more: the host's devices are out of reach.
rw_inside() {
    rw_script=$1
    shift
    set -- HOME=/root PATH=$rw_paths TERM=dumb LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${rw_epoch:+"SOURCE_DATE_EPOCH=$rw_epoch"} "$@"
    if [ -z "$rw_root" ]; then
        env "$@" sh -euc "$rw_script"
        return
    fi
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child sh -euc '
        root=$1 script=$2
        shift 2
        # A mount point of its own: pacman computes free space per mount point.
        mount --bind "$root" "$root"
        cd "$root"
        for dir in proc sys dev run tmp; do
            [ -d "$dir" ] && [ ! -L "$dir" ] || { echo "rootwright: /$dir in the root is no folder" >&2; exit 1; }
        done
        mount -t proc proc proc
        mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys 2>/dev/null || mount --rbind /sys sys
        mount -t tmpfs -o mode=755,nosuid dev dev
        mount -t tmpfs -o mode=755,nosuid,nodev run run
        mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp
        for node in null zero full random urandom tty; do
            : >dev/$node
            mount --bind /dev/$node dev/$node
        done
        mkdir dev/pts dev/shm
        mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
        mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
        ln -s pts/ptmx dev/ptmx
        ln -s /proc/self/fd dev/fd
        ln -s fd/0 dev/stdin
        ln -s fd/1 dev/stdout
        ln -s fd/2 dev/stderr
        # Names resolve as on the host; the root keeps its own file.
        if [ -f etc/resolv.conf ] && [ ! -L etc/resolv.conf ] && [ -f /etc/resolv.conf ]; then
            mount --bind /etc/resolv.conf etc/resolv.conf
        fi
        exec env -i "$@" chroot "$root" /bin/sh -euc "$script"
    ' sh "$rw_root" "$rw_script" "$@"
}

# rw_remember KEY: within a bootstrap, keep the root as it is now, for rw_recall. Whoever has no room
# for that can do without.
rw_remember() {
    rw_kept=${rw_state%/*}/pristine
    rm -rf "$rw_kept" "$rw_kept.part"
    mkdir "$rw_kept.part"
    if rw_archive --create --file="$rw_kept.part/tar" rootfs epoch &&
        sha256sum <"$rw_kept.part/tar" >"$rw_kept.part/sha256" && printf '%s\n' "$1" >"$rw_kept.part/key"; then
        mv "$rw_kept.part" "$rw_kept"
    else
        echo "there is no room to keep a copy of the new root, so the next one takes as long"
        rm -rf "$rw_kept.part"
    fi
}

# rw_recall KEY: within a bootstrap, make the root that was kept under KEY; fail, with nothing made,
# when the one that is kept is another, or is not what it was.
rw_recall() {
    rw_kept=${rw_state%/*}/pristine
    [ -f "$rw_kept/key" ] && [ "$(cat "$rw_kept/key")" = "$1" ] &&
        [ "$(sha256sum <"$rw_kept/tar")" = "$(cat "$rw_kept/sha256")" ] || return 1
    rw_archive --extract --preserve-permissions --file="$rw_kept/tar" || rw_fail "cannot copy the root that was kept"
}

# rw_archive ARGUMENT...: tar, in the folder of the root that is being made; nothing gets lost.
rw_archive() {
    env -u TAR_OPTIONS -u POSIXLY_CORRECT tar --directory="$rw_state" --numeric-owner --xattrs --xattrs-include='*' --acls --one-file-system "$@"
}

# rw_bootstrap NAME SCRIPT: make the root anew. SCRIPT runs on the host and fills $rw_root; it
# works under a temporary name beside the root, which is replaced only by a whole one. The stamp
# NAME is $rw_wanted, in base64: standard input may be a terminal with a dialogue on it.
rw_bootstrap() {
    rw_tree=$rw_state rw_state=$rw_state.part
    rw_root=$rw_state/rootfs
    rm -rf --one-file-system "$rw_state"
    mkdir -p "$rw_root" "$rw_state/tmp" "$rw_state/stamps"
    chmod 755 "$rw_root"
    (
        export TMPDIR="$rw_state/tmp"
        eval "$2"
    )
    printf %s "${rw_wanted:?}" | base64 -d >"$rw_state/stamps/$1"
    rm -rf --one-file-system "$rw_state/tmp" "$rw_tree.old.part"
    if [ -e "$rw_tree" ]; then mv "$rw_tree" "$rw_tree.old.part"; fi
    mv "$rw_state" "$rw_tree"
    rm -rf --one-file-system "$rw_tree.old.part"
}
