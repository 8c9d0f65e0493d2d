"""Debian's kernels as guests: the memory type of a region, DAX, and what the kernel warns of, beside the machine alone."""
import re

from tests.e2e.harness import BOOT_LIMIT_S, QEMU, check, equal, test
from tests.machine.lab import BUILD, Vm

STEPS = "info,cpus,memtype,sync,warnings"
# What a kernel tells of waits that were longer than it likes: the load of this machine.
OF_LOAD = r"hrtimer: interrupt took|clocksource: .*(readout|read-back|skew|unstable)|Marking clocksource|perf: interrupt took|" \
          r"workqueue: .* hogged CPU"
# A guest's bus is PCI, as Bochs' is; QEMU's machine has PCI Express.
OF_PCI = r"can't access extended (PCI )?configuration space"


def warnings(machine):
    """What the kernel warned of, each once: without the numbers, which differ from boot to boot."""
    machine.expect(r"^PF-TEST: warnings ok", BOOT_LIMIT_S)
    lines = re.findall(r"^PF-WARN: (.*?)\r?$", machine.log, re.M)
    return {re.sub(r"0x[0-9a-f]+|[0-9a-f]{6,}|\d+", "N", line): line for line in lines if not re.search(f"{OF_LOAD}|{OF_PCI}", line)}


def of_bare_machine(t, setup, args, files):
    """What the kernel warns of without any hypervisor, with the option ROM's NVRAM."""
    lines = [f"linux /boot/vmlinuz console=ttyS0 panic=-1 {args}", "initrd /boot/initrd"]
    with t.start(setup, t.lab.iso(lines, files, name="bare.iso")) as machine:
        machine.expect(r"^PF-TEST: map-sync ok", BOOT_LIMIT_S)
        return warnings(machine)


def as_guest(t, setup, args, files, vcpus):
    """The same of the kernel as a guest, in which all must be as it should."""
    with t.boot(setup, Vm(nvram="data:64M", mem="384M", args=args, vcpus=vcpus), files=files) as machine:
        equal(int(machine.expect(r"^PF-STATE: pmem0 bytes=(\d+)", BOOT_LIMIT_S)[1]), 64 << 20, "size of /dev/pmem0")
        equal(int(machine.expect(r"^PF-STATE: cpus online=(\d+)", BOOT_LIMIT_S)[1]), vcpus, "CPUs online")
        region = machine.expect(r"^PF-STATE: nvram at data@0x([0-9a-f]+):", BOOT_LIMIT_S)
        machine.expect(r"^PF-TEST: memtype ok", BOOT_LIMIT_S)
        types = re.findall(r"^PF-STATE: memtype PAT: \[mem 0x([0-9a-f]+)-0x[0-9a-f]+\] (\S+)\r?$", machine.log, re.M)
        equal([kind for first, kind in types if int(first, 16) == int(region[1], 16)], ["write-back"], f"types of the region in {types}")
        machine.expect(r"^PF-TEST: map-sync ok", BOOT_LIMIT_S)
        found = warnings(machine)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
        return found


def compare(t, kernel, cpus, vcpus):
    """The kernel of that folder below build/ is content with what Permafrost shows of the machine."""
    initrd = BUILD / ("initrd.img" if kernel == "linux" else f"{kernel}/initrd.img")
    files = {"vmlinuz": BUILD / kernel / "vmlinuz", "initrd": initrd}
    args = f"quiet pf.mode=steps pf.steps={STEPS}"
    setup = t.setup(cpus=cpus, reboots=False)
    found = as_guest(t, setup, args, files, vcpus)
    bare = of_bare_machine(t, setup, args, files)
    more = [line for key, line in found.items() if key not in bare]
    check(not more, "the kernel warns of what the bare machine has not:\n    " + "\n    ".join(more))


@test()
def test_kernel_cloud(t):
    """The kernel of all other tests."""
    compare(t, "linux", 1, 1)


@test(on=QEMU, soak=True)
def test_kernel_generic(t):
    """Debian's generic kernel."""
    compare(t, "linux-generic", 2, 4)


@test(on=QEMU, soak=True)
def test_kernel_rt(t):
    """The real-time kernel."""
    compare(t, "linux-rt", 2, 4)


@test(on=QEMU, soak=True)
def test_kernel_backports(t):
    """The newest kernel that there is for Debian 12."""
    compare(t, "linux-backports", 2, 4)
