"""The benchmark's peer: the initramfs of a Linux host with KVM, of Debian packages alone. It runs the bench kernel in
peer-kvm/kvm_guest.c and Debian in QEMU, see peer-kvm/init. python3 -m tests.bench.peer writes it."""
import argparse
import gzip
import stat
import sys
from pathlib import Path

from tests.machine.initramfs import Newc, libraries
from tests.machine.lab import BUILD

SOURCES = Path(__file__).parent / "peer-kvm"
FOLDERS = "bin dev guest lib lib64 lib/modules proc sys tmp usr usr/share usr/share/qemu"
QEMU = "/usr/bin/qemu-system-x86_64-microvm"  # Debian's QEMU for KVM alone, in the package of the big one
FIRMWARE = ("/usr/share/qemu/qboot.rom", "/usr/share/qemu/linuxboot_dma.bin")
MODULES = ("irqbypass", "kvm", "kvm-intel", "kvm-amd")


def contents():
    """{path in the host: file here}."""
    bench, linux = BUILD / "bench", BUILD / "linux"
    files = {
        "init": SOURCES / "init",
        "bin/busybox": "/bin/busybox",
        "bin/kvm_guest": bench / "kvm_guest",
        "bin/qemu-system-x86_64": QEMU,
        "lib/watch.so": bench / "watch.so",
        "guest/exits": bench / "exits.bin",
        "guest/tiny": bench / "tiny.bin",
        "guest/vmlinuz": linux / "vmlinuz",
        "guest/initrd": bench / "initrd.img",
    }
    files.update({f"lib/modules/{name}.ko": linux / "modules" / f"{name}.ko" for name in MODULES})
    files.update({f"usr/share/qemu/{Path(path).name}": path for path in FIRMWARE})
    return {**files, **libraries(QEMU)}


def build(path):
    archive = Newc()
    for folder in FOLDERS.split():
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for inside, outside in sorted(contents().items()):
        archive.add(inside, stat.S_IFREG | 0o755, Path(outside).read_bytes())
    path.write_bytes(gzip.compress(archive.finish(), compresslevel=6, mtime=0))


def main():
    parser = argparse.ArgumentParser(prog="tests.bench.peer", description=__doc__)
    parser.add_argument("path", type=Path)
    build(parser.parse_args().path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
