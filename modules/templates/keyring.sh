# shellcheck shell=sh
# Makes pacman's keyring anew, in the root. Set by the module: kr_name, which keyring; kr_state,
# private to keep the private key; kr_haveged, not empty to run haveged meanwhile.
: "${kr_name:?}" "${kr_state:?}" "${kr_haveged=}"
kr_fail() {
    echo "rootwright: $1" >&2
    exit 1
}
kr_home=/etc/pacman.d/gnupg
command -v pacman-key >/dev/null || kr_fail "the root has no pacman-key: install pacman in it"
[ -s "/usr/share/pacman/keyrings/$kr_name.gpg" ] ||
    kr_fail "the root has no keyring $kr_name: install $kr_name-keyring in it"
if [ -n "$kr_haveged" ] && command -v haveged >/dev/null; then haveged -w 1024; fi
rm -rf "$kr_home"
pacman-key --init
pacman-key --populate "$kr_name"
gpgconf --homedir "$kr_home" --kill all
if [ "$kr_state" = ready ]; then rm -rf "$kr_home/private-keys-v1.d" "$kr_home/openpgp-revocs.d"; fi
rm -rf "$kr_home"/S.* "$kr_home"/.#* "$kr_home/pubring.gpg~"
# pub:f marks keys that are fully valid: those of packagers.
gpg --homedir "$kr_home" --batch --no-permission-warning --with-colons --list-keys 2>/dev/null |
    grep -q '^pub:f:' || kr_fail "the keyring $kr_name trusts no packager"
