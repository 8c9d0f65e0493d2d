"""Regions and files as disks: what Debian's driver finds, what is durable over power cuts, what cannot be written."""
import hashlib
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.machine.lab import Vm

MIB = 1 << 20
SEED = 7


def disks(machine):
    """{name: {key: value}} of what the step disks has told."""
    machine.expect(r"^PF-TEST: disks ok", BOOT_LIMIT_S)
    rows = [line.split() for line in machine.log.splitlines() if line.startswith("PF-STATE: disk ")]
    return {row[2]: dict(word.split("=") for word in row[3:]) for row in rows}


def verified(machine):
    return int(machine.expect(r"^PF-TEST: disk-verify ok newest=(\d+)", BOOT_LIMIT_S)[1])


@test(long=True)
def test_disk(t):
    """A new region, one of another VM that is read, a third one and a file: how each looks, and what discarding does."""
    content = t.random.randbytes(3 * MIB // 2)
    (t.folder / "tools").write_bytes(content)
    args = "quiet pf.mode=steps pf.steps=disks,disk-refuses,disk-discard,disk-verify,disk-write pf.files=3"
    vm = Vm(nvram="", more="disk=root-of-a-long-name-here:64M,kept:4M:ro,third:2M", args=args, disks=("tools",))
    options = 'console=com1 exit=poweroff run="nv create kept 4M web; nv grant kept db ro"'
    with t.boot(t.setup(), vm, options=options, files={"tools": t.folder / "tools"}) as machine:
        found = disks(machine)
        for step in ("refuses", "discard"):
            machine.expect(rf"^PF-TEST: disk-{step} ok", BOOT_LIMIT_S)
        equal(verified(machine), 0, "files on a new file system")
        machine.expect(r"^PF-TEST: disk-write ok", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    equal([disk["serial"] for disk in found.values()], ["root-of-a-long-name-", "kept", "third", "tools"], "serial numbers")
    equal([int(disk["bytes"]) for disk in found.values()], [64 * MIB, 4 * MIB, 2 * MIB, 3 * MIB // 2], "sizes")
    equal([disk["ro"] for disk in found.values()], ["0", "1", "0", "1"], "read-only disks")
    equal({disk["sectors"] for disk in found.values()}, {"512,4096"}, "logical and physical sectors")
    equal({disk["cache"] for disk in found.values()}, {"write-through"}, "the cache")
    equal([disk["discard"] != "0" for disk in found.values()], [True, False, True, False], "disks that discard")
    equal([disk["zeroes"] != "0" for disk in found.values()], [True, False, True, False], "disks that write zeroes")
    equal(found["vdd"]["sum"], hashlib.md5(content).hexdigest(), "what is on the file's disk")


def acknowledged(log):
    return max((int(number) for number in re.findall(r"^PF-ACK: disk (\d+)\r?$", log, re.M)), default=0)


@test(long=True)
def test_disk_cuts(t):
    """Files on a region as a disk: each that was acknowledged is there after a power cut. Then the region as memory."""
    setup = t.lasting()
    args = f"quiet pf.mode=steps pf.seed={SEED} pf.steps=disks,disk-verify,disk-write pf.files=1000"
    known = 0
    with t.boot(setup, Vm(nvram="", more="disk=root:64M", args=args)) as machine:
        equal(cut_while_writing(t, machine), 0, "files on a new file system")
        known = acknowledged(machine.log)
    for _ in range(3 if t.soak else 1):
        with t.start(setup, t.folder / "boot.iso") as machine:
            found = cut_while_writing(t, machine)
            check(found >= known, f"{found} files, acknowledged were {known}")
            known = acknowledged(machine.log)
    with t.boot(setup, Vm(nvram="root:64M", args=f"quiet pf.mode=steps pf.seed={SEED} pf.steps=pmem-verify")) as machine:
        found = verified(machine)
        check(found >= known, f"{found} files in the region as memory, acknowledged were {known}")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


def cut_while_writing(t, machine):
    """Returns how many files the guest has found before it wrote more."""
    found = verified(machine)
    for _ in range(3):
        machine.expect(r"^PF-ACK: disk ", BOOT_LIMIT_S)
    machine.run_for(t.random.uniform(0, 1))
    machine.cut()
    return found
