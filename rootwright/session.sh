# shellcheck shell=sh
# The host's side of a session: a keeper that holds the lock and cleans up, and, inside mount and
# PID namespaces of its own, a loop that runs framed requests.
#
# Set by the controller:
# rw_nonce, a secret of this session; rw_dir, the folder of this root; rw_check, 1 to make nothing;
# rw_who, who holds the lock; rw_inner, the text of the loop with the vocabulary it needs.
: "${rw_nonce:=}" "${rw_dir:=}" "${rw_check:=}" "${rw_who:=}" "${rw_inner:=}"

# A record is a line no program prints by accident, wherever in a line it begins.
rw_say() { printf '\036%s %s\n' "$rw_nonce" "$*"; }

rw_encoded() { base64 -w 0; }

# rw_keep: hold the lock on rw_dir, run the loop, and clean up however it ends. The terminal going
# away (controller killed, connection lost) arrives here as a hang-up.
rw_keep() {
    [ -t 0 ] || { echo 'the host gives no terminal; its sshd must: PermitTTY yes' && exit 1; }
    stty raw -echo
    export LC_ALL=C
    if [ -d "$rw_dir" ] && [ ! -f "$rw_dir/lock" ] && [ -n "$(ls -A "$rw_dir")" ]; then
        rw_say refused "$rw_dir is not empty and was not made by us"
        exit 1
    fi
    # Whoever owns the folder could lead us elsewhere. (-O, and -ef below: every sh knows them.)
    # shellcheck disable=SC3067
    if [ -d "$rw_dir" ] && { [ -L "$rw_dir/lock" ] || [ ! -O "$rw_dir" ]; }; then
        rw_say refused "$rw_dir belongs to somebody else"
        exit 1
    fi
    if [ "$rw_check" = 0 ]; then
        { { [ -d "$rw_dir" ] || mkdir -p "$rw_dir"; } && : >>"$rw_dir/lock"; } || { rw_say refused "cannot write $rw_dir" && exit 1; }
    fi
    if [ -d "$rw_dir" ]; then rw_dir=$(cd -P "$rw_dir" && pwd -P); fi
    if [ -f "$rw_dir/lock" ]; then
        exec 9<>"$rw_dir/lock"
        # A play that was just killed takes a moment to die.
        flock -w 3 9 || { rw_say held "$(rw_encoded <"$rw_dir/lock")" && exit 1; }
        # shellcheck disable=SC3013
        if [ ! "$rw_dir/lock" -ef /proc/self/fd/9 ]; then
            rw_say refused "$rw_dir was removed just now"
            exit 1
        fi
    fi
    if [ "$rw_check" = 0 ]; then
        printf '%s since %s\n' "$rw_who" "$(date -u '+%Y-%m-%d %H:%M:%S UTC')" >"$rw_dir/lock"
        rw_sweep
    fi
    exec 3<&0
    trap 'kill -KILL "$rw_child" 2>/dev/null' HUP INT TERM
    # --kill-child: when unshare goes, the kernel ends every process in the namespace, and the
    # mounts go with the last of them. --pdeathsig: unshare goes when the keeper is killed.
    rw_leash=
    if setpriv --pdeathsig KILL true 2>/dev/null; then rw_leash='setpriv --pdeathsig KILL'; fi
    # shellcheck disable=SC2086
    $rw_leash unshare --mount --pid --fork --kill-child --mount-proc sh -c "$rw_inner" sh "$rw_dir" <&3 9>&- &
    rw_child=$!
    wait "$rw_child"
    trap '' HUP INT TERM
    kill -KILL "$rw_child" 2>/dev/null
    wait "$rw_child" 2>/dev/null
    if [ "$rw_check" = 0 ] && [ -f "$rw_dir/lock" ]; then
        rw_sweep
        : >"$rw_dir/lock"
    fi
}

# rw_sweep: remove what a play that did not end by itself left half-made. Its processes may take a
# moment to die, and one that still writes makes rm fail.
rw_sweep() {
    for rw_try in 1 2 3 4 5 6 7 8 9 10; do
        set --
        for rw_left in "$rw_dir/tree.part" "$rw_dir/tree.old.part" "$rw_dir/pristine.part" "$rw_dir/tree/tmp"; do
            if [ -e "$rw_left" ] || [ -L "$rw_left" ]; then set -- "$@" "$rw_left"; fi
        done
        [ $# -gt 0 ] || return 0
        rm -rf --one-file-system "$@" 2>/dev/null && return
        sleep "0.$rw_try"
    done
}

# rw_serve: read requests (the nonce and the length of the base64, a newline, the base64) and run
# each in a subshell whose exit status ends the reply. Anything else on the way was typed for a
# program that did not read it.
rw_serve() {
    rw_say ready
    # On a terminal bash would read on, into the request itself, unless told how much is enough.
    rw_most=${BASH_VERSION:+-n 99}
    # shellcheck disable=SC2086,SC2229
    while read -r $rw_most rw_key rw_size; do
        [ "$rw_key" = "$rw_nonce" ] || continue
        [ "$rw_size" != bye ] || exit 0
        rw_request=$(head -c "$rw_size")
        # A request cut short on its way would be another program than was meant.
        [ "${#rw_request}" = "$rw_size" ] || exit 1
        rw_request=$(printf %s "$rw_request" | base64 -d)
        (eval "$rw_request")
        rw_status=$?
        # A program that was killed may leave the terminal as it wanted it.
        stty raw -echo
        rw_say end "$rw_status"
    done
}
