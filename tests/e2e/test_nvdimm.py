"""NVDIMMs as the NFIT tells of them: several above 4 GiB, one that is not armed, what the platform promises about
persistence and who is told; and DRAM above 4 GiB."""
import json

from tests.e2e.harness import BOOT_LIMIT_S, QEMU, check, equal, test
from tests.e2e.test_boot import map_rows
from tests.machine.lab import Vm
from tests.machine.memory import FOUR_GIB, MIB, Memory, Nvdimm

LOOK = "console=com1 exit=poweroff run=\"nv list -v -o json; mem -o json\""
SPANS = 300  # MiB: more than any one of the NVDIMMs has
MAX_GUEST_OVERHEAD = 128 << 10  # KiB of a guest's memory that Linux keeps for itself


def pool_row(machine):
    """The last of the three tables that `run="mem -o json"` answers with: what the whole pool is."""
    machine.expect(r"^run: mem -o json", BOOT_LIMIT_S)
    return [json.loads(machine.expect(r"^\[.*\]", BOOT_LIMIT_S)[0]) for _ in range(3)][2][0]


def nvram_rows(log):
    return [(first, last - first + 1, kind, source) for first, last, kind, source in map_rows(log) if "NVRAM" in kind]


def is_told_the_domain(t, persistence, word, text):
    """The platform's promise in the log, in the monitor's tables and in the guest's kernel arguments."""
    setup = t.setup(rom=False, nvdimms=(Nvdimm(128),), persistence=persistence)
    with t.boot(setup, Vm(args="pf.mode=steps pf.steps=info"), options=LOOK) as machine:
        machine.expect(rf"^persistence: domain {text}", BOOT_LIMIT_S)
        equal(pool_row(machine)["domain"], word, "the domain in the monitor's table")
        machine.expect(rf"Command line: .* permafrost\.domain={word}\b", BOOT_LIMIT_S)
        machine.expect(r"^PF-TEST: info ok", BOOT_LIMIT_S)


@test(on=QEMU)
def test_nvdimm_eadr(t):
    is_told_the_domain(t, "cpu", "eadr", r"eADR \(CPU caches\)")


@test(on=QEMU)
def test_nvdimm_adr(t):
    is_told_the_domain(t, "mem-ctrl", "adr", r"ADR \(memory controller\)")


@test(on=QEMU)
def test_nvdimm_domain_not_told(t):
    is_told_the_domain(t, "", "unknown", "not told by the firmware")


@test(on=QEMU)
def test_nvdimms(t):
    """Three NVDIMMs above 4 GiB, one of them not armed: it is warned of and left out of the pool of the others. A region
    that spans those keeps what a guest has stored."""
    nvdimms = (Nvdimm(256), Nvdimm(64, unarmed=True), Nvdimm(96))
    setup = t.setup(rom=False, nvdimms=nvdimms, keep=True)
    parts = t.lab.nvram(setup)
    check(all(part.base >= FOUR_GIB for part in parts), f"not above 4 GiB: {parts}")
    kinds = ("NVRAM persistent", "NVRAM not armed (volatile)", "NVRAM persistent")
    vm = Vm(nvram=f"db-data:{SPANS}M", args="quiet pf.mode=demo")
    for boots in (1, 2):
        with t.boot(setup, vm, options=LOOK) as machine:
            machine.expect(rf"^warning: nvram: {parts[1].base:#x}: the NVDIMM is not armed", BOOT_LIMIT_S)
            machine.expect(rf"^warning: nvram: {parts[1].base:#x} is not armed: left out of the pool", BOOT_LIMIT_S)
            machine.expect(r"^nvram: pool of 2 ranges", BOOT_LIMIT_S)
            rows = [(part.base, part.size, kind, "ACPI NFIT") for part, kind in zip(parts, kinds)]
            equal(nvram_rows(machine.log), rows, "NVRAM in the table")
            machine.expect(rf"^demo: /dev/pmem0 has {SPANS} MiB", BOOT_LIMIT_S)
            machine.expect(rf"^PF-TEST: demo ok boots={boots}", BOOT_LIMIT_S)
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    with open(parts[1].path, "rb") as unarmed:
        check(not any(unarmed.read()), "something was written to the NVDIMM that is not armed")


@test(on=QEMU)
def test_nvdimm_unarmed(t):
    """Where no NVDIMM is armed the pool and its regions are told to be volatile."""
    setup = t.setup(rom=False, nvdimms=(Nvdimm(128, unarmed=True),))
    with t.boot(setup, Vm(args="quiet pf.mode=steps pf.steps=info"), options=LOOK) as machine:
        machine.expect(r"^warning: nvram: 0x\w+: the NVDIMM is not armed: .*\(volatile\)", BOOT_LIMIT_S)
        machine.expect(r"^warning: nvram: 1 of 1 ranges are not armed \(volatile\)", BOOT_LIMIT_S)
        equal(pool_row(machine)["volatile"], True, "volatile in the monitor's table")
        machine.expect(r"^warning: vm db: region db-data is volatile", BOOT_LIMIT_S)
        size = machine.expect(r"^PF-STATE: pmem0 bytes=(\d+)", BOOT_LIMIT_S)
        equal(int(size[1]), 64 * MIB, "size of /dev/pmem0")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test(on=QEMU)
def test_dram_above_4g(t):
    """A guest of 3 GiB where 2 GiB are below 4 GiB: it has some of the DRAM above, and an NVDIMM behind that."""
    setup = t.setup(rom=False, memory=Memory(mib=6144), nvdimms=(Nvdimm(128),))
    (nvdimm,) = t.lab.nvram(setup)
    check(setup.memory.low < 3 << 30 and nvdimm.base >= FOUR_GIB + setup.memory.high, f"the machine is {setup}")
    vm = Vm(mem="3G", args="quiet pf.mode=steps pf.steps=info,sync")
    with t.boot(setup, vm) as machine:
        machine.expect(rf"^ *0x{FOUR_GIB:x} +0x{FOUR_GIB + setup.memory.high - 1:x} +4 GiB +RAM ", BOOT_LIMIT_S)
        total = int(machine.expect(r"^PF-STATE: memory total=(\d+)", BOOT_LIMIT_S)[1])
        check(total > (3 << 20) - MAX_GUEST_OVERHEAD, f"the guest has {total} KiB")
        machine.expect(r"^PF-TEST: map-sync ok", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
