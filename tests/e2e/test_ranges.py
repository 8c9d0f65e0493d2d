"""Which NVRAM a machine's pool is made of: an NFIT that contradicts itself or the memory map, many NVDIMMs, and what
other software has on its NVRAM."""
import json

from tests.e2e.harness import BOOT_LIMIT_S, QEMU, check, equal, test
from tests.e2e.test_nvdimm import nvram_rows
from tests.machine import acpi
from tests.machine.memory import MIB, PERSISTENT, Memory, Nvdimm, Range

BASE, SIZE = 0x20000000, 256 * MIB
HALF = SIZE // 2
LIST = 'console=com1 exit=poweroff run="nv list -o json" '
ARMED, UNARMED = "NVRAM persistent", "NVRAM not armed (volatile)"
NFIT, E820 = "ACPI NFIT", "E820 type 7"


class Machine:
    """One whose E820 tells SIZE bytes from BASE as type 7, kept from boot to boot, with the NFITs that a test gives."""

    def __init__(self, t):
        self.t = t
        self.setup = t.setup(memory=Memory(nvram=(Range(BASE, SIZE, PERSISTENT),)), keep=True)

    def boot(self, table=None, options="", name=None):
        """Boots with this NFIT; region name is created. Returns the NVRAM of the memory map, the totals of the pool, the
        regions and the log."""
        before, files = [], {}
        if table:
            path = self.t.folder / "nfit.aml"
            path.write_bytes(table)
            before, files = [f"acpi --exclude=NFIT /boot/{path.name}"], {path.name: path}
        if name:
            options += f'run="nv create {name} 200M" '
        with self.t.boot(self.setup, options=options + LIST, files=files, before=before) as machine:
            machine.expect(r"^run: nv list -o json", BOOT_LIMIT_S)
            regions, totals = [json.loads(machine.expect(r"^\[.*\]", BOOT_LIMIT_S)[0]) for _ in range(2)]
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
            return nvram_rows(machine.log), totals[0], {row["name"]: row for row in regions}, machine.log


def halves(state=0, numbers=(1, 2)):
    return acpi.nfit([(numbers[0], BASE, HALF), (numbers[1], BASE + HALF, HALF)],
                     [(1, numbers[0], 0), (0x101, numbers[1], state)])


@test(on=QEMU)
def test_nfit_state_not_known(t):
    """Memory that E820 calls persistent is not used as armed where the NFIT has its NVDIMM's state in another mapping,
    has a number twice, or cannot be believed at all."""
    whole = [(1, BASE, SIZE)]
    bad_sum = bytearray(acpi.nfit(whole, [(1, 1, acpi.NOT_ARMED)]))
    bad_sum[-1] ^= 0x40
    cases = {
        "the state in a mapping of no range": acpi.nfit(whole, [(1, 1, 0), (1, acpi.NO_RANGE, acpi.SAVE_FAILED)]),
        "a number twice": halves(acpi.SAVE_FAILED, numbers=(1, 1)),
        "a wrong checksum": bytes(bad_sum),
    }
    for what, table in cases.items():
        rows, _, _, log = Machine(t).boot(table)
        equal({kind for _, _, kind, _ in rows}, {UNARMED}, f"NVRAM in the table with {what}")
        check("ranges are not armed (volatile)" in log, f"{what}: no word of the pool")


@test(on=QEMU)
def test_nfit_parts_e820(t):
    """Ranges of the NFIT part what E820 tells as one: one NVDIMM that is armed no more takes no other with it. A pool
    that was made of the whole is mounted all the same."""
    parts = Machine(t)
    rows, _, _, _ = parts.boot(halves(), name="data")
    equal(rows, [(BASE, HALF, ARMED, NFIT), (BASE + HALF, HALF, ARMED, NFIT)], "NVRAM in the table")
    rows, totals, regions, log = parts.boot(halves(acpi.NOT_ARMED))
    equal(rows, [(BASE, HALF, ARMED, NFIT), (BASE + HALF, HALF, UNARMED, NFIT)], "NVRAM in the table")
    equal((totals["ranges"], set(regions)), (2, {"data"}), "ranges and regions")
    check("1 of 2 ranges are not armed (volatile)" in log, "no word of the unarmed one")
    parts.t.lab.forget()
    rows, _, _, _ = parts.boot(name="old")
    equal(rows, [(BASE, SIZE, ARMED, E820)], "NVRAM in the table without an NFIT")
    _, totals, regions, log = parts.boot(halves(acpi.NOT_ARMED))
    equal((totals["ranges"], set(regions)), (1, {"old"}), "ranges and regions of a pool made of the whole")
    equal(regions["old"]["volatile"], True, "volatile")
    check("a range of the pool goes on in the ranges behind it" in log, "no word of the ranges joined")


@test(on=QEMU)
def test_twenty_nvdimms(t):
    """All NVDIMMs are in the pool, and a region that spans most of them is there after the next start."""
    setup = t.setup(rom=False, nvdimms=(Nvdimm(16),) * 20, keep=True)
    for verb in ("nv create data 270M", "nv show data"):
        with t.boot(setup, options=f'console=com1 exit=poweroff run="{verb}"') as machine:
            machine.expect(r"^nfit: 20 ranges of persistent memory, 20 NVDIMMs", BOOT_LIMIT_S)
            machine.expect(r"^nvram: pool of 20 ranges", BOOT_LIMIT_S)
            machine.expect({"nv create data 270M": "^created data, 270 MiB, 20 extents"}.get(verb, r"^size +270 MiB"),
                           BOOT_LIMIT_S)
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(on=QEMU)
def test_other_software(t):
    """A file system on one of two NVDIMMs is named and left alone: there is no pool until the command line tells what
    is meant, and then the pool is mounted beside it; an address that is none formats nothing."""
    setup = t.setup(rom=False, nvdimms=(Nvdimm(32), Nvdimm(32)), keep=True)
    other, _ = parts = t.lab.nvram(setup)
    with open(other.path, "wb") as file:
        file.truncate(other.size)
        file.seek(1080)
        file.write(b"\x53\xef")
    before = other.path.read_bytes()
    named = rf"^warning: nvram: {other.base:#x} holds an ext2, ext3 or ext4 file system: left alone"
    steps = (
        ("", named, r"^error: nvram: pool not mounted, nothing changed"),
        ("nvram-skip=0x7000", r"^error: nvram: nvram-skip=0x7000 is in no range of NVRAM", r"no NVRAM is formatted"),
        (f"nvram-skip={other.base + MIB:#x}", rf"^nvram: {other.base:#x} is left alone: nvram-skip= names it",
         r"^nvram: pool of 1 ranges"),
        ("", named, r"^nvram: pool of 1 ranges"),
        (f"nvram-use={parts[1].base:#x}", rf"^nvram: {other.base:#x} is left alone: nvram-use= names others",
         r"^nvram: pool of 1 ranges"),
    )
    for option, *lines in steps:
        with t.boot(setup, options=f"console=com1 exit=poweroff {option}") as machine:
            for line in lines:
                machine.expect(line, BOOT_LIMIT_S)
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
        check(other.path.read_bytes() == before, f"{option or 'no option'}: something was written there")
    with t.boot(setup, options=f"console=com1 exit=poweroff nvram-format={other.base:#x}") as machine:
        machine.expect(r"^nvram: pool of 2 ranges", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
