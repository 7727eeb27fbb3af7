#!/bin/sh
# What moby's contrib/mkimage-arch.sh does, command by command, as it has to be typed today: pacstrap
# has no -d any more, and on a Debian host the configuration names the keyring to check with.
# What expect did there, benchmarks/answer.py does here.
# usage: article.sh PYTHON ROOTFS PACMAN_CONF SERVER IGNORED
set -eu
# Standard output is for the tar alone.
exec 3>&1 >&2
python=$1 rootfs=$2 conf=$3 server=$4 ignored=$5

mkdir -p "$rootfs"
chmod 755 "$rootfs"
"$python" -m benchmarks.answer \
    pacstrap -C "$conf" -c -G -M -i "$rootfs" base haveged --ignore "$ignored"
arch-chroot "$rootfs" /bin/sh -c 'rm -rf /usr/share/man/*'
# Removing haveged comes last here: pacman has begun to check signatures even for that.
arch-chroot "$rootfs" /bin/sh -c 'haveged -w 1024; pacman-key --init; pkill haveged
    pacman-key --populate archlinux; pkill gpg-agent; pacman -Rs --noconfirm haveged'
arch-chroot "$rootfs" /bin/sh -c 'ln -sf /usr/share/zoneinfo/UTC /etc/localtime'
echo 'en_US.UTF-8 UTF-8' >"$rootfs/etc/locale.gen"
arch-chroot "$rootfs" locale-gen
printf 'Server = %s\n' "$server" >"$rootfs/etc/pacman.d/mirrorlist"

# udev does not work in containers: /dev is made anew.
dev=$rootfs/dev
rm -rf --one-file-system "$dev"
mkdir -p "$dev"
mknod -m 666 "$dev/null" c 1 3
mknod -m 666 "$dev/zero" c 1 5
mknod -m 666 "$dev/random" c 1 8
mknod -m 666 "$dev/urandom" c 1 9
mkdir -m 755 "$dev/pts"
mkdir -m 1777 "$dev/shm"
mknod -m 666 "$dev/tty" c 5 0
mknod -m 600 "$dev/console" c 5 1
mknod -m 666 "$dev/tty0" c 4 0
mknod -m 666 "$dev/full" c 1 7
mknod -m 600 "$dev/initctl" p
mknod -m 666 "$dev/ptmx" c 5 2
ln -sf /proc/self/fd "$dev/fd"

tar --numeric-owner --xattrs --acls -C "$rootfs" -c . >&3
