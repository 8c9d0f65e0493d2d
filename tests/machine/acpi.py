"""ACPI tables that a test puts in the place of the firmware's, by GRUB's command `acpi` (ACPI 6.4, 5.2.6 and 5.2.12)."""
import struct
import uuid

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


PERSISTENT_MEMORY = uuid.UUID("66f0d379-b4f3-4074-ac43-0d3318b78cdb").bytes_le
SAVE_FAILED, NOT_ARMED = 1, 8
NO_RANGE = 0


def nfit(ranges, mappings):
    """An NFIT (ACPI 6.4, 5.2.25) of persistent ranges, (number, base, size), and mappings of NVDIMMs,
    (handle, number of a range, state)."""
    body = bytes(4)
    for number, base, size in ranges:
        body += struct.pack("<HHHHII16sQQQ", 0, 56, number, 0, 0, 0, PERSISTENT_MEMORY, base, size, 0x8008)
    for handle, number, state in mappings:
        body += struct.pack("<HHIHHHHQQQHHHH", 1, 48, handle, 0, 0, number, 0, 0, 0, 0, 0, 1, state, 0)
    return table(b"NFIT", 1, body)
