"""Puts a boot together: the ISO with Permafrost and its VMs, the firmware's ROM, the memory that outlives the machine."""
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine import bochs, iso, qemu
from tests.machine import memory as mem

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build"


@dataclass(frozen=True)
class Setup:
    """What to boot on. kind: bochs, qemu (TCG) or qemu-kvm; model: a Bochs model or a QEMU -cpu value; rom: the test
    firmware reports the NVRAM; keep: the memory file outlives the machine (needed for power cuts)."""

    kind: str = "bochs"
    model: str = ""
    cpus: int = 1
    memory: mem.Memory = field(default_factory=mem.Memory)
    rom: bool = True
    uefi: bool = False
    keep: bool = False
    reboots: bool = True

    @property
    def label(self):
        return f"{self.kind} {self.model or (bochs.REFERENCE if self.kind == 'bochs' else 'default CPU')}"


@dataclass(frozen=True)
class Vm:
    """One VM's module lines. `args` are the guest kernel's own; `keys` replaces the words of Permafrost."""

    name: str = "db"
    mem: str = "256M"
    nvram: str = "db-data:64M"
    args: str = "quiet"
    kernel: str = "vmlinuz"
    initrd: str = "initrd"
    keys: str = ""

    def lines(self):
        keys = self.keys or f"vm={self.name} mem={self.mem} vcpus=1" + (f" nvram={self.nvram}" if self.nvram else "")
        yield f"module2 /boot/{self.kernel} {keys} -- console=ttyS0 {self.args}".rstrip()
        if self.initrd:
            yield f"module2 /boot/{self.initrd} initrd"


def entry(*vms, options="console=com1 exit=poweroff"):
    """The lines of a grub.cfg entry that boots Permafrost with these VMs."""
    lines = [f"multiboot2 /boot/permafrost.elf {options}"]
    for vm in vms:
        lines += vm.lines()
    return lines


def standard_files():
    """The files an entry() names, as the build makes them."""
    return {
        "permafrost.elf": BUILD / "permafrost.elf",
        "vmlinuz": BUILD / "linux" / "vmlinuz",
        "initrd": BUILD / "initrd.img",
    }


class Lab:
    """One folder for one machine: its ISO, its memory file, its logs. The memory file stays until forget()."""

    def __init__(self, folder):
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs = 0

    def iso(self, lines, files=None, name="boot.iso"):
        return iso.make(
            self.folder / name,
            iso.write_config(lines),
            standard_files() if files is None else files,
            self.folder / "stage",
        )

    def image(self, setup):
        return self.folder / f"memory-{'bochs' if setup.kind == 'bochs' else 'qemu'}.img"

    def start(self, setup, iso_path, watch=None):
        """Switches the machine on. With setup.keep the memory is what a power cut leaves of the run before."""
        rom = image = None
        if setup.rom and not setup.uefi:
            rom = self.folder / "nvrom.bin"
            mem.build_rom(setup.memory, rom)
        if setup.keep:
            image = self.image(setup)
            offset = mem.bochs_offset if setup.kind == "bochs" else qemu.identity
            mem.lose_power(image, setup.memory, offset)
        self.runs += 1
        work = self.folder / f"run{self.runs}"
        work.mkdir(exist_ok=True)
        (work / "serial.txt").unlink(missing_ok=True)
        if setup.kind == "bochs":
            return bochs.launch(
                work,
                iso_path,
                setup.memory,
                model=setup.model or bochs.REFERENCE,
                cpus=setup.cpus,
                rom=rom,
                image=image,
                keepmem=BUILD / "keepmem.so",
                watch=watch,
            )
        return qemu.launch(
            work,
            iso_path,
            setup.memory,
            kvm=setup.kind == "qemu-kvm",
            cpu=setup.model or None,
            cpus=setup.cpus,
            rom=rom,
            image=image,
            uefi=setup.uefi,
            reboots=setup.reboots,
            watch=watch,
        )

    def nvram_digest(self, setup):
        """A hash of all NVRAM in the memory file, while the machine is off."""
        offset = mem.bochs_offset if setup.kind == "bochs" else qemu.identity
        digest = hashlib.sha256()
        with open(self.image(setup), "rb") as image:
            for part in setup.memory.nvram:
                image.seek(offset(part.base))
                for _ in range(part.size // mem.MIB):
                    digest.update(image.read(mem.MIB))
        return digest.hexdigest()

    def forget(self):
        for path in self.folder.glob("memory-*.img*"):
            path.unlink()
