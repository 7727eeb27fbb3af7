# shellcheck shell=sh
# Whether a user or group is as it should be, and how to make it so; for modules/users.py, which
# sets us_* to what is wanted, with a = in front of what may be empty. Runs in the root. As a guard it has neither /proc nor /dev, and looks
# at the files themselves: another source of users, such as a directory service, is not the root's.
: "${us_name:=}" "${us_uid:=}" "${us_gid:=}" "${us_group:=}" "${us_groups:=}" "${us_home:=}"
: "${us_shell:=}" "${us_comment:=}" "${us_system:=}"

# us_field FILE NUMBER: a field of the entry of us_name, nothing where there is none.
us_field() { us_name=$us_name awk -F: -v field="$2" '$1 == ENVIRON["us_name"] { print $field; exit }' "/etc/$1"; }

us_exists() { us_name=$us_name awk -F: '$1 == ENVIRON["us_name"] { found = 1 } END { exit !found }' "/etc/$1"; }

# us_number GROUP: the number of a group.
us_number() { us_name=$1 us_field group 3; }

# us_member_of: the groups that us_name is in besides its own, sorted, with commas.
us_member_of() {
    us_name=$us_name awk -F: '
        { n = split($4, members, ","); for (i = 1; i <= n; i++) if (members[i] == ENVIRON["us_name"]) print $1 }
    ' /etc/group | LC_ALL=C sort | paste -s -d , -
}

us_is_group() { us_exists group && { [ -z "$us_gid" ] || [ "$(us_field group 3)" = "$us_gid" ]; }; }

us_is_no_group() { ! us_exists group; }

us_is_no_user() { ! us_exists passwd; }

us_is_user() {
    us_exists passwd || return 1
    [ -z "$us_uid" ] || [ "$(us_field passwd 3)" = "$us_uid" ] || return 1
    [ -z "$us_group" ] || [ "$(us_field passwd 4)" = "$(us_number "$us_group")" ] || return 1
    [ -z "$us_comment" ] || [ "=$(us_field passwd 5)" = "$us_comment" ] || return 1
    [ -z "$us_home" ] || [ "$(us_field passwd 6)" = "$us_home" ] || return 1
    [ -z "$us_shell" ] || [ "$(us_field passwd 7)" = "$us_shell" ] || return 1
    [ -z "$us_groups" ] || [ "=$(us_member_of)" = "$us_groups" ]
}

us_fail() {
    printf 'rootwright: %s\n' "$1" >&2
    exit 1
}

us_make_group() {
    if us_exists group; then
        us_fail "the group $us_name has the number $(us_field group 3), not $us_gid, and files may belong to it"
    fi
    groupadd ${us_gid:+--gid "$us_gid"} ${us_system:+--system} "$us_name"
}

us_make_no_group() { groupdel "$us_name"; }

us_make_no_user() { userdel "$us_name"; }

us_make_user() {
    for us_one in $us_group $(echo "${us_groups#=}" | tr , ' '); do
        [ -n "$(us_number "$us_one")" ] || us_fail "the root has no group $us_one, which $us_name is to be in"
    done
    if us_exists passwd; then
        if [ -n "$us_uid" ] && [ "$(us_field passwd 3)" != "$us_uid" ]; then
            us_fail "the user $us_name has the number $(us_field passwd 3), not $us_uid, and files may belong to it"
        fi
        set -- usermod
        [ -z "$us_groups" ] || set -- "$@" --groups "${us_groups#=}"
    else
        set -- useradd ${us_uid:+--uid "$us_uid"} ${us_system:+--system}
        # The system's users have no home but the one they are given.
        if [ -z "$us_system" ] || [ -n "$us_home" ]; then set -- "$@" --create-home; fi
        [ -z "${us_groups#=}" ] || set -- "$@" --groups "${us_groups#=}"
        if [ -z "$us_group" ] && [ -n "$(us_number "$us_name")" ]; then
            # A group of its name that is already there is its own.
            set -- "$@" --gid "$us_name"
        fi
    fi
    # useradd cannot make folders above the home.
    case $us_home in /*/*) mkdir -p "${us_home%/*}" ;; esac
    [ -z "$us_comment" ] || set -- "$@" --comment "${us_comment#=}"
    "$@" ${us_group:+--gid "$us_group"} ${us_home:+-d "$us_home"} ${us_shell:+--shell "$us_shell"} "$us_name"
}
