"""ACPI tables that a test puts in the place of the firmware's, by GRUB's command `acpi` (ACPI 6.4, 5.2.6 and 5.2.12)."""
import struct

LOCAL_APICS, IO_APIC = 0xFEE00000, 0xFEC00000
ENABLED = 1
HAS_8259 = 1
AS_THE_BUS, LEVEL_ACTIVE_HIGH = 0, 0xD


def table(signature, revision, body):
    """A whole table: the header, then `body`."""
    length = 36 + len(body)
    data = struct.pack("<4sIBB6s8sI4sI", signature, length, revision, 0, b"PFTEST", b"PFTABLE ", 1, b"PFTS", 1) + body
    return data[:9] + bytes([-sum(data) & 0xFF]) + data[10:]


NAMED_S5 = b"\x08_S5_\x12\x06\x04\0\0\0\0"  # Name (_S5_, Package (4) {0, 0, 0, 0}), as QEMU has it


def dsdt(aml, damage=0):
    """A DSDT of this AML; `damage` is added to its checksum."""
    data = bytearray(table(b"DSDT", 1, aml))
    data[9] = (data[9] + damage) & 0xFF
    return bytes(data)


def madt(apic_ids, x2apic_ids=()):
    """A MADT of a PC as QEMU and Bochs have it: enabled CPUs with these APIC IDs, in this order, as local APICs and as
    local x2APICs, and one I/O APIC."""
    body = struct.pack("<II", LOCAL_APICS, HAS_8259)
    for uid, apic_id in enumerate(apic_ids):
        body += struct.pack("<BBBBI", 0, 8, uid, apic_id, ENABLED)
    for uid, apic_id in enumerate(x2apic_ids, len(apic_ids)):
        body += struct.pack("<BBHIII", 9, 16, 0, apic_id, ENABLED, uid)
    body += struct.pack("<BBBBII", 1, 12, 0, 0, IO_APIC, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, AS_THE_BUS)
    for irq in (5, 9, 10, 11):
        body += struct.pack("<BBBBIH", 2, 10, 0, irq, irq, LEVEL_ACTIVE_HIGH)
    body += struct.pack("<BBBHB", 4, 6, 0xFF, AS_THE_BUS, 1)
    return table(b"APIC", 3, body)
