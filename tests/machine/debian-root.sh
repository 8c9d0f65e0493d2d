#!/bin/sh
# Makes a Debian root that stands in the folder $1 one for virtual machines of Permafrost; called by mmdebstrap. The
# image is for tests: root needs no password on the console, and all that are made of it share their keys.
set -eu
root=$1

echo debian >"$root/etc/hostname"
echo "127.0.0.1 localhost debian" >"$root/etc/hosts"
: >"$root/etc/fstab" # the kernel's arguments name the root

# What finds the root on a disk (/dev/vda), or in NVRAM that is mapped (/dev/pmem0).
for module in virtio_pci virtio_blk virtio_net virtio_console libnvdimm nd_btt nd_pmem nd_e820; do
        echo $module
done >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u

# The network: ip= among the kernel's arguments.
systemctl --root="$root" enable systemd-networkd.service systemd-network-generator.service
systemctl --root="$root" mask systemd-networkd-wait-online.service
systemctl --root="$root" disable ndctl-monitor.service # it fails where no NVDIMM has an alarm to watch
chroot "$root" ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519
cp "$root/root/.ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
echo "StrictHostKeyChecking accept-new" >"$root/root/.ssh/config"

# The console: a shell at once.
mkdir -p "$root/etc/systemd/system/serial-getty@.service.d"
cat >"$root/etc/systemd/system/serial-getty@.service.d/autologin.conf" <<END
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - \$TERM
END
chroot "$root" passwd -q -d root
