#!/bin/sh
# Installs what the integration tests run for real, on a Debian machine where we are root; says
# what is missing elsewhere, and the tests that need it name it again when they skip.
set -eu
wanted="
sshd:openssh-server
ssh:openssh-client
sudo:sudo
dockerd:docker.io
podman:podman
skopeo:skopeo
mmdebstrap:mmdebstrap
debootstrap:debootstrap
dpkg-scanpackages:dpkg-dev
gpg:gnupg
busybox:busybox
shellcheck:shellcheck
unshare:util-linux
pacman:pacman-package-manager
pacstrap:arch-install-scripts
repo-add:makepkg
bsdtar:libarchive-tools
/usr/share/keyrings/archlinux.gpg:archlinux-keyring
setfacl:acl
zstd:zstd
fish:fish
tcsh:tcsh
bsd-csh:csh
zsh:zsh
"
PATH=$PATH:/usr/sbin:/sbin
missing=
for pair in $wanted; do
    # A command, or a file.
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -e "${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    # Nothing that comes with a service needs it running: the tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get -qq update
    # shellcheck disable=SC2086
    apt-get -qq install --no-install-recommends -y $missing >/dev/null
else
    echo "Not installed, so some tests will be skipped:$missing" >&2
fi
