"""The nested machines' host: the initramfs of a Linux with KVM and QEMU, of Debian packages alone."""
import stat
import subprocess
from pathlib import Path

from tests.machine.initramfs import Newc, libraries

QEMU = "/usr/bin/qemu-system-x86_64"
FIRMWARE = ("/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/qemu/kvmvapic.bin")
MODULES = ("irqbypass", "kvm", "kvm-intel", "kvm-amd", "scsi_common", "scsi_mod", "libata", "ata_piix", "sd_mod")
FOLDERS = "bin dev lib lib64 lib/modules proc sys tmp usr usr/share usr/share/qemu"
INIT = Path(__file__).parent / "nested-host" / "init"


def contents(modules):
    """{path in the host: file here}; `modules` is the folder of its kernel's."""
    files = {"init": INIT, "bin/busybox": "/bin/busybox", "bin/qemu-system-x86_64": QEMU}
    files.update({f"lib/modules/{name}.ko": Path(modules) / f"{name}.ko" for name in MODULES})
    files.update({f"usr/share/qemu/{Path(path).name}": path for path in FIRMWARE})
    return {**files, **libraries(QEMU)}


def build(path, modules):
    """Writes it at `path`, compressed by zstd: the host's kernel unpacks that several times faster than gzip."""
    archive = Newc()
    for folder in FOLDERS.split():
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for inside, outside in sorted(contents(modules).items()):
        archive.add(inside, stat.S_IFREG | 0o755, Path(outside).read_bytes())
    done = subprocess.run(["zstd", "-q", "-c", "-9"], input=archive.finish(), capture_output=True, check=True)
    Path(path).write_bytes(done.stdout)
