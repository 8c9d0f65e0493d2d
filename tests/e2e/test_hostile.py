"""A hostile guest does at random all that a guest can do; the machine, and whoever else runs on it, must not notice."""
import re
from dataclasses import replace

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_faults import guest
from tests.e2e.test_monitor import states, until_prompt
from tests.machine.lab import Vm

OPERATIONS = {"qemu": (600_000, 10_000_000), "bochs": (20_000, 800_000)}  # make test, make soak
LIMIT_S = (240, 3600)
FILES = {"hostile.bin": guest("hostile")}

# The one place to switch on once VMs run beside each other: a Linux guest that writes, verifies and tells.
NEIGHBOUR = False
NEIGHBOUR_VM = Vm(name="neighbour", nvram="bank:64M", args="quiet pf.mode=steps pf.steps=info,raw-start,raw-verify pf.ends=poweroff")
NEIGHBOUR_SAYS = r"^PF-END: poweroff"

# What ends a VM, in the order of tests/guests/hostile/deadly.c, and how Permafrost tells that end. Where the machines
# differ, or the guest's own random bytes decide, any end of the VM is right.
TRIPLE = "triple fault"
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
    ("init-itself", TRIPLE),
    ("task", ANY),
)


def hostile(name, seed, operations, words=""):
    args = f"root=none seed={seed} ops={operations} {words}".rstrip()
    return Vm(keys=f"vm={name} mem=64M", kernel="hostile.bin", initrd="", args=args)


@test(core=True, long=True)
def test_hostile(t):
    """The guest gets through all of its operations, by a seed that it tells, and powers itself off."""
    seed, operations = t.random.randrange(1, 1 << 32), OPERATIONS[t.family][t.soak]
    vms = [hostile("hostile", seed, operations)] + [NEIGHBOUR_VM] * NEIGHBOUR
    with t.boot(t.setup(), *vms, options="console=com1 exit=monitor", files=FILES) as machine:
        machine.expect(rf"hostile: seed={seed} ops={operations}", BOOT_LIMIT_S)
        done = int(machine.expect(r"hostile: done ops=(\d+)", LIMIT_S[t.soak])[1])
        check(done >= operations, f"only {done} operations of seed {seed}")
        if NEIGHBOUR:
            machine.expect(NEIGHBOUR_SAYS, LIMIT_S[t.soak])
        machine.expect("permafrost monitor: help", BOOT_LIMIT_S)
        until_prompt(machine, 0)
        equal(states(machine)["hostile"], "powered off", "the VM's state")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(core=True)
def test_hostile_ends(t):
    """Each way to end a VM, one VM after the other: the reason is told, and the next VM starts."""
    seed = t.random.randrange(1, 1 << 16)
    for first in range(0, len(DEADLY), 9):
        chosen = list(enumerate(DEADLY, 1))[first : first + 9]
        vms = [hostile(f"h{number}", seed + number, 500, f"deadly={number}") for number, _ in chosen]
        vms = [vms[0], *(replace(vm, more=f"after=h{number - 1}") for vm, (number, _) in zip(vms[1:], chosen[1:]))]
        with t.boot(t.setup(), *vms, files=FILES) as machine:
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
            log = machine.log
        for number, (name, says) in chosen:
            part = log[log.index(f"vm h{number}: starts") :]
            part = part[: part.find(": starts", 20)] if ": starts" in part[20:] else part
            check(f"hostile: deadly {name}" in part, f"{name} did not come (seed {seed + number})")
            check(re.search(rf"vm h{number}: .*({says})", part), f"{name}: not told (seed {seed + number})")
