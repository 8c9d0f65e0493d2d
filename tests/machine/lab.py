"""Puts a boot together: the ISO with Permafrost and its VMs, the firmware's ROM, the memory that outlives the machine."""
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine import bochs, choose, iso, nested, qemu
from tests.machine import memory as mem
from tests.machine.emulator import Failure

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build"


@dataclass(frozen=True)
class Setup:
    """What to boot on. kind: one of choose.KINDS; model: a Bochs model or a QEMU -cpu value; rom: the test firmware
    reports the NVRAM of `memory`; keep: the NVRAM outlives the machine (needed for power cuts). QEMU only: nvdimms, and
    the persistence that the firmware declares for them (cpu, mem-ctrl or nothing); bare: the serial line is COM2, and
    the machine has none of COM1, 8259, 8254, HPET and keyboard controller; uefi: OVMF in place of the BIOS; disk: it is
    started from a disk image, not from an ISO; extra: words of its command line."""

    kind: str = "bochs"
    model: str = ""
    cpus: int = 1
    memory: mem.Memory = field(default_factory=mem.Memory)
    rom: bool = True
    nvdimms: tuple = ()
    persistence: str = ""
    bare: bool = False
    uefi: bool = False
    disk: bool = False
    keep: bool = False
    reboots: bool = True
    extra: tuple = ()

    @property
    def vendor(self):
        """choose.VTX or choose.SVM: whose extension the machine gives."""
        return choose.SVM if self.model == bochs.RYZEN else choose.vendor_of(self.kind)

    @property
    def label(self):
        return f"{self.kind} {self.model or (bochs.REFERENCE if self.kind == 'bochs' else 'default CPU')}"

    def offset(self, address):
        """Where a physical address stands in the memory's file."""
        return mem.bochs_offset(address) if self.kind == "bochs" else self.memory.qemu_offset(address)


@dataclass(frozen=True)
class Vm:
    """One VM's module lines. `args` are the guest kernel's own; `keys` replaces the words of Permafrost,
    `more` adds to them; `disks` are files on the ISO that it has as disks of their names."""

    name: str = "db"
    mem: str = "256M"
    nvram: str = "db-data:64M"
    args: str = "quiet"
    kernel: str = "vmlinuz"
    initrd: str = "initrd"
    keys: str = ""
    more: str = ""
    vcpus: int = 1
    disks: tuple = ()

    def lines(self):
        keys = self.keys or f"vm={self.name} mem={self.mem} vcpus={self.vcpus}" + (f" nvram={self.nvram}" if self.nvram else "")
        keys += f" {self.more}" if self.more else ""
        yield f"module2 --nounzip /boot/{self.kernel} {keys} -- console=ttyS0 {self.args}".rstrip()
        if self.initrd:
            yield f"module2 --nounzip /boot/{self.initrd} initrd"
        for name in self.disks:
            yield f"module2 --nounzip /boot/{name} disk={name}"


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
    """One folder for one machine: its ISO, its memory file, its logs, and the host of nested machines, which stays on until
    close(). The memory file stays until forget()."""

    def __init__(self, folder):
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs = 0
        self.host = None

    def iso(self, lines, files=None, name="boot.iso"):
        return iso.make(
            self.folder / name,
            iso.write_config(lines),
            standard_files() if files is None else files,
            self.folder / "stage",
        )

    def image(self, setup):
        return self.folder / f"memory-{'bochs' if setup.kind == 'bochs' else 'qemu'}.img"

    def nvdimm_parts(self, setup):
        bases = setup.memory.nvdimm_bases(setup.nvdimms)
        own = f"{setup.kind}-" if setup.kind in choose.NESTED else ""
        return [
            mem.Part(self.folder / f"memory-{own}nvdimm{number}.img", 0, base, nvdimm.mib * mem.MIB)
            for number, (nvdimm, base) in enumerate(zip(setup.nvdimms, bases))
        ]

    def nvram(self, setup):
        """All NVRAM of a machine as mem.Parts, in the order of addresses."""
        ranges = setup.memory.nvram if setup.rom and not setup.uefi else ()
        parts = [mem.Part(self.image(setup), setup.offset(r.base), r.base, r.size) for r in ranges]
        return sorted(parts + self.nvdimm_parts(setup), key=lambda part: part.base)

    def lose_power(self, setup):
        """Makes of the files what a power cut leaves: NVRAM as it was, everything else zero."""
        mem.lose_power(self.image(setup), [part for part in self.nvram(setup) if part.path == self.image(setup)])

    def start(self, setup, iso_path, watch=None):
        """Switches the machine on with this ISO or disk image. With setup.keep the memory is what a power cut leaves of
        the run before."""
        rom = image = None
        if setup.rom and not setup.uefi:
            rom = self.folder / "nvrom.bin"
            mem.build_rom(setup.memory, rom)
        if setup.kind in choose.NESTED:
            return self.start_nested(setup, iso_path, rom, watch)
        if not setup.keep:
            self.forget()
        elif rom and setup.memory.nvram:
            image = self.image(setup)
            self.lose_power(setup)
        work = self.next_folder()
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
            nvdimms=list(zip(setup.nvdimms, self.nvdimm_parts(setup))),
            persistence=setup.persistence,
            bare=setup.bare,
            uefi=setup.uefi,
            disk=setup.disk,
            reboots=setup.reboots,
            extra=setup.extra,
            watch=watch,
        )

    def next_folder(self):
        self.runs += 1
        work = self.folder / f"run{self.runs}"
        work.mkdir(exist_ok=True)
        (work / "serial.txt").unlink(missing_ok=True)
        return work

    def start_nested(self, setup, iso_path, rom, watch):
        """The same in KVM, on the host that is up or on a new one. Only NVDIMMs keep what they hold."""
        if setup.keep and rom and setup.memory.nvram:
            raise Failure(f"{setup.kind}: the option ROM's NVRAM cannot outlive the machine: use NVDIMMs")
        parts = self.nvdimm_parts(setup)
        if parts and not setup.keep:
            self.forget()
        if not self.host or not self.host.fits(setup.kind, setup.cpus, parts):
            self.close()
            self.host = nested.Host(setup.kind, setup.cpus, parts, self.next_folder())
            self.host.boot(BUILD / "linux" / "vmlinuz", BUILD / "nested.img", BUILD / "keepmem.so")
        return nested.launch(self.host, self.next_folder(), iso_path, setup, list(zip(setup.nvdimms, parts)), rom, watch)

    def close(self):
        """Switches the host of nested machines off, if there is one."""
        if self.host:
            self.host.cut()
        self.host = None

    def nvram_digest(self, setup):
        """A hash of all NVRAM in the files, while the machine is off."""
        digest = hashlib.sha256()
        for part in self.nvram(setup):
            with open(part.path, "rb") as image:
                image.seek(part.offset)
                for _ in range(part.size // mem.MIB):
                    digest.update(image.read(mem.MIB))
        return digest.hexdigest()

    def forget(self):
        self.close()
        for path in self.folder.glob("memory-*.img*"):
            path.unlink()
