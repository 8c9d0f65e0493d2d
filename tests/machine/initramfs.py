"""Writes the Linux guest's initramfs: a newc archive made without privileges and byte for byte the same each time."""
import re
import stat
import subprocess
from pathlib import Path

GUEST = Path(__file__).parent.parent.parent / "guest" / "linux"
FOLDERS = "bin dev etc lib lib64 lib/modules mnt obj pmem proc run sbin sys tmp"
# What a guest's kernel must have, and what it may have built in: loaded in this order, behind what each depends on. ext4
# asks for crc32c by name, of a modprobe that is not there.
PMEM_MODULES = ("libnvdimm", "nd_btt", "nd_pmem", "nd_e820")
MORE_MODULES = ("crc32c_generic", "ext4")
# What a step loads that wants virtio devices.
VIRTIO_MODULES = ("virtio_pci", "virtio_rng", "virtio_blk", "virtio_net", "virtio_console")
STRESS = {"/usr/bin/stress-ng": "bin/stress-ng"}
PROGRAMS = {
    "/bin/busybox": "bin/busybox",
}
TOOLS = {
    "/sbin/mke2fs": "sbin/mkfs.ext4",
    "/sbin/e2fsck": "sbin/e2fsck",
    "/etc/mke2fs.conf": "etc/mke2fs.conf",
    "/usr/bin/ndctl": "bin/ndctl",
}


class Newc:
    """A newc archive in memory: cpio's portable format, see Documentation/driver-api/early-userspace in Linux."""

    def __init__(self):
        self.data = bytearray()
        self.count = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.count += 1
        fields = [self.count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0]
        self.data += b"070701" + "".join(f"{value:08X}" for value in fields).encode()
        self.data += name.encode() + b"\0"
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += bytes(-len(self.data) % 4)

    def finish(self):
        self.add("TRAILER!!!", 0)
        self.data += bytes(-len(self.data) % 512)
        return bytes(self.data)


def libraries(program):
    """The shared objects a dynamic program needs: {path in the guest: path here}."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    needed = {}
    for line in shown.splitlines():
        match = re.match(r"\s*(?:\S+ => )?(/\S+) \(", line)
        if match:
            path = match.group(1)
            name = Path(path).name
            needed[f"lib64/{name}" if name.startswith("ld-linux") else f"lib/{name}"] = path
    return needed


def in_order(folder, names):
    """The modules to load for those names, {name: path}, in the order of loading: what each depends on is told in itself. A
    name without a file is built into the kernel."""
    known = {path.stem.replace("-", "_"): path for path in sorted(Path(folder).glob("*.ko"))}
    found = {}

    def add(name):
        if name in found or name not in known:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", known[name].read_bytes())
        for before in depends[1].decode().split(",") if depends else ():
            add(before.replace("-", "_"))
        found[name] = known[name]

    missing = [name for name in names if name in PMEM_MODULES and name not in known]
    if missing:
        raise ValueError(f"{folder} has no module {', '.join(missing)}")
    for name in names:
        add(name)
    return found


def build(path, modules, programs, tools):
    """Writes the archive at `path`. `modules` is the folder of .ko files, `programs` are our own for /bin, `tools` is
    what goes along: TOOLS, STRESS or nothing."""
    files = dict(PROGRAMS)
    files.update({str(program): f"bin/{Path(program).name}" for program in programs})
    files.update(tools)
    content = {inside: outside for outside, inside in files.items()}
    for outside in files:
        if Path(outside).suffix != ".conf":
            content.update(libraries(outside))
    lists = {"order": in_order(modules, (*PMEM_MODULES, *MORE_MODULES)), "virtio": in_order(modules, VIRTIO_MODULES)}
    for load in lists.values():
        content.update({f"lib/modules/{name}.ko": outside for name, outside in load.items()})
    content["init"] = GUEST / "init"
    for script in sorted(GUEST.glob("*.sh")):
        content[f"lib/{script.name}"] = script

    archive = Newc()
    for folder in FOLDERS.split():
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for name, load in lists.items():
        archive.add(f"lib/modules/{name}", stat.S_IFREG | 0o644, "".join(f"{module}\n" for module in load).encode())
    for inside in sorted(content):
        archive.add(inside, stat.S_IFREG | 0o755, Path(content[inside]).read_bytes())
    Path(path).write_bytes(archive.finish())
