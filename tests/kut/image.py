"""A program of kvm-unit-tests made ready for a VM: what it is told, and its local APIC's mode."""
import struct

FOLDER = None
ENVIRONMENT_SIZE = 512  # tests/guests/multiboot.asm

# wrmsr of 1FFh to the spurious interrupt vector's register, and return
ENABLE_X2APIC = bytes.fromhex("b90f080000 b8ff010000 31d2 0f30 c3")


def environment(cpus, mib):
    """What the suite otherwise asks QEMU's firmware configuration, as its one module."""
    return f"NR_CPUS={cpus}\0MEMSIZE={mib}\0TEST_DEVICE=0\0".encode().ljust(ENVIRONMENT_SIZE, b"\0")


# ioapic raises lines of QEMU's test device. COM1's line does as well, which is the level of its "transmitter is empty"
# interrupt while that is enabled: cmp edi, 4; jne out; OUT2 on; the interrupt enabled or not as ESI says; out: ret.
COM1_LINE = bytes.fromhex("83ff04 750f 66bafc03 b008 ee 66baf903 8d0436 ee c3")
PIN = "bf{:02x}000000"  # mov edi, the pin
TEST_PIN, COM1_PIN = 14, 4

# What would end a program at once where a VM is known to differ, so that its other tests are run: the wait for an
# interrupt line of QEMU's test device, and a write of IA32_MISC_ENABLE, which is constant: it keeps all bits.
CHANGES = {
    "realmode.flat": (bytes.fromhex("fbf4"), bytes.fromhex("fb90")),  # STI and HLT, STI and NOP
    "msr.flat": (struct.pack("<QQ", 0x400C50809, 0x1880), struct.pack("<QQ", 0x400C50809, (1 << 64) - 1)),
}


class Elf:
    """A 32-bit ELF file: its symbols, and where an address stands in the file."""

    def __init__(self, data):
        self.data = bytearray(data)
        phoff, shoff = struct.unpack_from("<II", data, 28)
        phentsize, phnum, shentsize, shnum = struct.unpack_from("<HHHH", data, 42)
        self.segments = [struct.unpack_from("<8I", data, phoff + n * phentsize) for n in range(phnum)]
        self.sections = [struct.unpack_from("<10I", data, shoff + n * shentsize) for n in range(shnum)]

    def symbols(self):
        found = {}
        for _, kind, _, _, offset, size, link, _, _, _ in self.sections:
            if kind != 2:  # SHT_SYMTAB
                continue
            names = self.sections[link][4]
            for at in range(offset, offset + size, 16):
                name, value = struct.unpack_from("<II", self.data, at)
                end = self.data.index(0, names + name)
                found[self.data[names + name : end].decode()] = value
        return found

    def write(self, address, code):
        for kind, offset, vaddr, _, filesz, _, _, _ in self.segments:
            if kind == 1 and vaddr <= address < vaddr + filesz:
                at = offset + address - vaddr
                self.data[at : at + len(code)] = code


def for_vm(name, data):
    """The program `name` as a VM is to run it."""
    old, new = CHANGES.get(name, (b"", b""))
    return for_x2apic(data.replace(old, new) if old else data)


def for_all(name, data):
    """The program `name` as a VM and the bare emulator are to run it."""
    if name != "ioapic.flat":
        return data
    elf = Elf(data.replace(bytes.fromhex(PIN.format(TEST_PIN)), bytes.fromhex(PIN.format(COM1_PIN))))
    symbols = elf.symbols()
    here, there = symbols["set_irq_line"], symbols["ioapic_isr_86"]  # which wants four CPUs
    elf.write(here, b"\xe9" + struct.pack("<i", there - here - 5))
    elf.write(there, COM1_LINE)
    return bytes(elf.data)


def for_x2apic(data):
    """The suite resets its local APIC to xAPIC mode, which our VMs do not have (guest/dev/vlapic.h): it begins in x2APIC
    mode, where it would arrive a moment later."""
    elf = Elf(data)
    symbols = elf.symbols()
    if "reset_apic" in symbols and "enable_x2apic" in symbols:
        here, there = symbols["reset_apic"], symbols["enable_x2apic"]
        elf.write(here, b"\xe9" + struct.pack("<i", there - here - 5))
        elf.write(symbols["enable_apic"], ENABLE_X2APIC)
    return bytes(elf.data)
