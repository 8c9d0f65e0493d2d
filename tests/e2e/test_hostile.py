"""A hostile guest does at random all that a guest can do; the machine, and whoever else runs on it, must not notice."""
import re
from dataclasses import replace

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_faults import guest
from tests.e2e.test_monitor import ENTER, enter, states
from tests.machine.lab import Vm

OPERATIONS = {"qemu": (400_000, 10_000_000), "bochs": (20_000, 800_000)}  # make test, make soak
LIMIT_S = (240, 3600)
CPUS = {"qemu": 1, "bochs": 2}  # QEMU 7.2 itself crashed when the guest ran on one of two CPUs, each a thread of its own
FILES = {"hostile.bin": guest("hostile")}

# A Linux guest that writes to its NVRAM, verifies what is there, and tells each round.
NEIGHBOUR = Vm(name="neighbour", nvram="bank:64M", vcpus=2, args="quiet pf.mode=steps pf.steps=neighbour")
ROUND = r"PF-STATE: neighbour round=(\d+)"
ROUNDS_AFTER = 3

# What ends a VM, in the order of tests/guests/hostile/deadly.c, and how Permafrost tells that end. Where the machines
# differ, or the guest's own random bytes decide, any end of the VM is right.
TRIPLE = "triple fault"
REBOOTS = "reboots"  # for ever: the guest does the same again
OUTSIDE = "outside of its memory"
ANY = r"triple fault|outside of its memory|halted|crashed|not supported"
DEADLY = (
    ("no-table", TRIPLE),
    ("halt", "halted"),
    ("reset-ports", TRIPLE),
    ("fetch-nowhere", "executes outside of its memory"),
    ("fetch-device", "executes outside of its memory"),
    ("table-nowhere", OUTSIDE),
    ("table-device", OUTSIDE),
    ("stack-nowhere", ANY),
    ("pages-nowhere", OUTSIDE),
    ("pages-device", OUTSIDE),
    ("root-nowhere", OUTSIDE),
    ("root-device", OUTSIDE),
    ("root-garbage", ANY),
    ("paging-off", ANY),
    ("real-table", TRIPLE),
    ("apic-off", ANY),
    ("init-itself", REBOOTS),
    ("task", ANY),
    ("spurious", TRIPLE),
)


def hostile(name, seed, operations, words=""):
    args = f"root=none seed={seed} ops={operations} {words}".rstrip()
    return Vm(keys=f"vm={name} mem=64M weight=300", kernel="hostile.bin", initrd="", args=args)


@test(core=True, long=True)
def test_hostile(t):
    """The guest gets through all of its operations, by a seed that it tells, and powers itself off. A Linux guest on
    the same CPUs writes and verifies its NVRAM all the while."""
    # The guest may also destroy itself, e.g. by a breakpoint on the first instruction of its own handler: it hangs or crashes, and
    # that is no fault of the hypervisor's. `make test` takes a seed by which it does not.
    seed, operations = t.random.randrange(1, 1 << 32) if t.soak else 2, OPERATIONS[t.family][t.soak]
    options = 'console=com1 exit=monitor run="vm stop hostile -y"'
    with t.boot(t.setup(cpus=CPUS[t.family]), NEIGHBOUR, hostile("hostile", seed, operations), options=options, files=FILES) as machine:
        machine.expect(ROUND, BOOT_LIMIT_S)
        enter(machine)
        began = int(re.findall(ROUND, machine.log)[-1])
        machine.send("vm start hostile\r")
        machine.expect("vm hostile: starts", BOOT_LIMIT_S)
        machine.send(ENTER)
        machine.expect(rf"hostile: seed={seed} ops={operations}", BOOT_LIMIT_S)
        done = int(machine.expect(r"hostile: done ops=(\d+)", LIMIT_S[t.soak])[1])
        check(done >= operations, f"only {done} operations of seed {seed}")
        machine.expect("vm hostile: powered off", BOOT_LIMIT_S)
        ended = int(re.findall(ROUND, machine.log)[-1])
        check(ended > began, f"the neighbour made no progress: {began} rounds before, {ended} after")
        machine.expect(rf"PF-STATE: neighbour round={ended + ROUNDS_AFTER}\b", BOOT_LIMIT_S)
        enter(machine)
        equal(states(machine), {"hostile": "powered off", "neighbour": "running"}, "the VMs' states")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(core=True)
def test_hostile_ends(t):
    """Each way to end a VM, one VM after the other: the reason is told, and the next VM starts."""
    seed = t.random.randrange(1, 1 << 16)
    ends = [(number, end) for number, end in enumerate(DEADLY, 1) if end[1] != REBOOTS]
    for first in range(0, len(ends), 9):
        chosen = ends[first : first + 9]
        vms = [hostile(f"h{number}", seed + number, 1, f"deadly={number}") for number, _ in chosen]
        vms = [vms[0], *(replace(vm, more=f"after=h{before}") for vm, (before, _) in zip(vms[1:], chosen))]
        with t.boot(t.setup(), *vms, files=FILES) as machine:
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
            log = machine.log
        for number, (name, says) in chosen:
            part = log[log.index(f"vm h{number}: starts") :]
            part = part[: part.find(": starts", 20)] if ": starts" in part[20:] else part
            check(f"hostile: deadly {name}" in part, f"{name} did not come (seed {seed + number})")
            check(re.search(rf"vm h{number}: .*({says})", part), f"{name}: not told (seed {seed + number})")


@test()
def test_hostile_reboots(t):
    """INIT to the vCPU that boots is the VM's reset: it comes again and again, until the administrator ends it."""
    number = [name for name, _ in DEADLY].index("init-itself") + 1
    vm = hostile("h", t.random.randrange(1, 1 << 16), 1, f"deadly={number}")
    with t.boot(t.setup(), vm, options="console=com1 exit=monitor", files=FILES) as machine:
        for _ in range(3):
            machine.expect("hostile: deadly init-itself", BOOT_LIMIT_S)
            machine.expect("vm h: reboots", BOOT_LIMIT_S)
        machine.send(ENTER + "vm stop h -y\r")
        machine.expect("vm h: stopped", BOOT_LIMIT_S)
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
