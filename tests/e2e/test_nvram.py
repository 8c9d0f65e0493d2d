"""The NVRAM keeps what the guest was told to be durable: through a guest reboot, a machine reset and power cuts."""
import re
from dataclasses import dataclass

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.machine.lab import Vm

SEED = 4242
REGIONS = (("raw", 16), ("files", 64), ("objects", 32))  # /dev/pmem0, 1, 2 in this order; MiB
CUTS = {"qemu": (5, 100), "bochs": (1, 10)}  # in make test, in make soak
LATEST_CUT_S = {"qemu": 3.0, "bochs": 8.0}


@dataclass
class Progress:
    """How far the three writers are known to have come."""

    raw: tuple = (0, 0)  # generation, chunks
    log: int = 0
    bank: int = 0

    def advance(self, log):
        """Takes what the guest acknowledged in a serial log."""
        for generation, chunks in re.findall(r"^PF-ACK: raw generation=(\d+) chunks=(\d+)\r?$", log, re.M):
            self.raw = max(self.raw, (int(generation), int(chunks)))
        for newest in re.findall(r"^PF-ACK: log newest=(\d+)\r?$", log, re.M):
            self.log = max(self.log, int(newest))
        for transfers in re.findall(r"^PF-ACK: bank transfers=(\d+)\r?$", log, re.M):
            self.bank = max(self.bank, int(transfers))


def found(machine):
    """What the verifiers of one boot found, read from the serial log up to the end of the last verifier."""
    number = r"=(\d+)"
    raw = machine.expect(rf"^PF-STATE: raw generation{number} chunks{number}", BOOT_LIMIT_S)
    machine.expect(r"^PF-TEST: raw-verify ok", BOOT_LIMIT_S)
    log = machine.expect(rf"^PF-TEST: log-verify ok newest{number}", BOOT_LIMIT_S)
    bank = machine.expect(rf"^PF-TEST: bank-verify ok transfers{number}", BOOT_LIMIT_S)
    return Progress((int(raw[1]), int(raw[2])), int(log[1]), int(bank[1]))


def compare(state, known, after):
    """Everything acknowledged must be there; more may be."""
    check(state.raw >= known.raw, f"after {after}: raw region at {state.raw}, acknowledged {known.raw}")
    check(state.log >= known.log, f"after {after}: log at {state.log}, acknowledged {known.log}")
    check(state.bank >= known.bank, f"after {after}: bank at {state.bank}, acknowledged {known.bank}")


def regions_are_there(machine):
    for index, (_, mib) in enumerate(REGIONS):
        size = machine.expect(rf"^PF-STATE: pmem{index} bytes=(\d+)", BOOT_LIMIT_S)
        equal(int(size[1]), mib << 20, f"size of /dev/pmem{index}")


def let_it_write(machine):
    """Waits until all three writers acknowledged something in this boot."""
    for name in ("raw", "log", "bank"):
        at = machine.position
        machine.expect(rf"^PF-ACK: {name} ", BOOT_LIMIT_S)
        machine.position = at


def pool_is_sound(log, seen):
    check("pool not mounted" not in log, f"the pool was not mounted: {log[:3000]}")
    # The scrubber may be in the middle of an update when the power goes: that one object, and no other.
    mended = re.search(r"nvram: (\d+) objects mended", log)
    check(not mended or int(mended[1]) == 1, f"the pool had to be mended: {mended and mended[0]}")
    if seen:
        names = re.findall(r"nvram: (\S+) +[\d.]+ [MG]iB +\S+ +live", log)
        equal(sorted(set(names)), sorted(name for name, _ in REGIONS), "regions of the pool")


def reset_twice(machine, known):
    """The guest reboots, then the machine starts anew; what was acknowledged before is there each time."""
    machine.expect(r"^PF-END: reboot", BOOT_LIMIT_S)
    known.advance(machine.log)
    regions_are_there(machine)
    compare(found(machine), known, "a guest reboot")
    machine.expect(r"^PF-END: poweroff", BOOT_LIMIT_S)
    known.advance(machine.log)
    reset = machine.position
    regions_are_there(machine)
    pool_is_sound(machine.log[reset:], True)
    compare(found(machine), known, "a machine reset")


@test(core=True, long=True)
def test_persistence(t):
    """A guest reboot, a machine reset, then power cuts at seeded moments; the same ISO each time: the guest verifies
    what it finds, writes on, and ends as the count of its boots says."""
    resets = t.soak or t.family == "qemu"  # on Bochs shorter tests have them
    persist(t, t.lasting(), CUTS[t.family][t.soak], LATEST_CUT_S[t.family], resets=resets)


def persist(t, setup, cuts, latest, cut=lambda machine: machine.cut(), resets=True):
    """The power is cut by cut(machine), as often as told, each time up to `latest` seconds after the writers began. With
    `resets` the guest reboots before, and then the machine."""
    nvram = ",".join(f"{name}:{mib}M" for name, mib in REGIONS)
    steps = "info,raw-start,raw-verify,mount,log-verify,bank-verify,cycle"
    ends = "reboot,poweroff,cut" if resets else "cut"
    vm = Vm(nvram=nvram, args=f"quiet pf.mode=steps pf.seed={SEED} pf.steps={steps} pf.ends={ends}")
    known = Progress()
    with t.boot(setup, vm, options="console=com1 exit=reboot") as machine:
        regions_are_there(machine)
        found(machine)
        if resets:
            reset_twice(machine, known)
        let_it_write(machine)
        machine.run_for(t.random.uniform(0, latest))
        cut(machine)
        known.advance(machine.log)
    iso = t.folder / "boot.iso"
    for number in range(1, cuts + 1):
        with t.start(setup, iso) as machine:
            regions_are_there(machine)
            pool_is_sound(machine.log, True)
            compare(found(machine), known, f"power cut {number}")
            if number < cuts:
                let_it_write(machine)
                machine.run_for(t.random.uniform(0, latest))
            cut(machine)
            known.advance(machine.log)


@test()
def test_dax(t):
    """The region's exact size, ext4 with DAX, a MAP_SYNC mapping, and a program that runs where it is stored."""
    vm = Vm(nvram="sync:46M", args="quiet pf.mode=steps pf.steps=info,sync,execute")
    with t.boot(t.setup(), vm) as machine:
        size = machine.expect(r"^PF-STATE: pmem0 bytes=(\d+)", BOOT_LIMIT_S)
        equal(int(size[1]), 46 << 20, "size of /dev/pmem0")
        machine.expect(r"^PF-TEST: map-sync ok", BOOT_LIMIT_S)
        machine.expect(r"^PF-TEST: execute ok", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    