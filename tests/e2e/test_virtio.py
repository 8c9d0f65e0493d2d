"""Virtio devices as Debian's drivers find them: on the PCI bus, with a driver each, and with interrupts."""
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_hostile import FILES, hostile
from tests.e2e.test_kernels import warnings
from tests.machine.lab import Vm

OPERATIONS = {"qemu": 20_000, "bochs": 2_000}
RNG = 4  # a device type of virtio
WORKS = "0x0000000f"  # acknowledged, a driver, features agreed, ready


def random_numbers(t, vcpus):
    """Linux' driver drives the entropy device, whose queue and configuration have a vector each."""
    vm = Vm(nvram="", vcpus=vcpus, args="quiet pf.mode=steps pf.steps=virtio,hwrng,virtio,warnings")
    with t.boot(t.setup(cpus=min(vcpus, 2)), vm) as machine:
        warned = [line for line in warnings(machine).values() if re.search("pci|virtio|hwrng|MSI", line)]
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    equal(re.findall(r"^PF-STATE: virtio (\S+) type=(\S+) driver=(\S+) status=(\S+)", machine.log, re.M)[0],
          ("virtio0", f"0x{RNG:04x}", "virtio_rng", WORKS), "the first device, its driver and its status")
    check("PF-STATE: pci 0000:00:01.0 0x1af4:0x1044 class 0x00ff00" in machine.log, "the device on the PCI bus")
    check("PF-STATE: hwrng source=virtio_rng.0 bytes=4096" in machine.log, "the bytes of /dev/hwrng")
    rows = re.findall(r"^PF-STATE: interrupts *\d+:((?: \d+)+) PCI-MSI.* virtio0-input\b", machine.log, re.M)
    before, after = (sum(map(int, row.split())) for row in rows)
    check(after > before, f"MSI-X interrupts of the queue: {before}, then {after}")
    check(re.search(r"^PF-STATE: interrupts .* virtio0-config\b", machine.log, re.M), "a vector for the configuration")
    equal(warned, [], "what the kernel warned of")


@test(core=True)
def test_virtio(t):
    random_numbers(t, 1)


@test()
def test_virtio_four_vcpus(t):
    random_numbers(t, 4)


@test()
def test_hvc(t):
    """hvc0 is a console beside the serial port: what is typed goes to where the guest wrote last, and a page that is written
    costs two exits, not one a byte."""
    vm = Vm(nvram="", args="console=hvc0 quiet pf.mode=steps pf.steps=hvc")
    with t.boot(t.setup(), vm) as machine:
        machine.expect(r"^hvc0: type something", BOOT_LIMIT_S)
        machine.send("a line for hvc0\r")
        machine.expect(r"^PF-STATE: hvc0 read='a line for hvc0'", BOOT_LIMIT_S)
        machine.expect(r"^PF-TEST: hvc ok", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    equal(len(re.findall(r"^\.{4080}\r?$", machine.log, re.M)), 1, "pages that hvc0 shows")


@test()
def test_virtio_hostile(t):
    """A guest that puts anything into rings, registers and configuration space loses its device until the next reset, which
    it checks after each attack, and nothing else."""
    vm = hostile("h", t.random.randrange(1, 1 << 16), OPERATIONS[t.family], "only=virtio")
    with t.boot(t.setup(), vm, files=FILES) as machine:
        machine.expect("^hostile: done ops=", BOOT_LIMIT_S)
        machine.expect("^vm h: powered off", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
