"""A hostile guest does at random all that a guest can do; the machine, and whoever else runs on it, must not notice."""
import re
from dataclasses import replace

from tests.e2e.harness import BOCHS, BOOT_LIMIT_S, NESTED, check, equal, test
from tests.e2e.test_faults import guest
from tests.e2e.test_monitor import ENTER, ask, enter, states
from tests.machine.lab import Vm

OPERATIONS = {"qemu": (100_000, 10_000_000), "bochs": (3_000, 500_000)}  # make test, make soak
OPERATIONS_SHARED = 1_000_000  # on Bochs, which has one of the machine's CPUs for all of its own
HANGS_S = 6  # of the machine's own time: progress is told each 4,096 operations, and a life that is given up costs only itself
LIFE_MEAN = 1000  # operations: less is no attack
CPUS = {"qemu": 1, "bochs": 2}  # QEMU 7.2 itself crashed when the guest ran on one of two CPUs, each a thread of its own
FILES = {"hostile.bin": guest("hostile")}

# A Linux guest that writes to its NVRAM, verifies what is there, and tells each round.
NEIGHBOUR = Vm(name="neighbour", nvram="bank:64M", vcpus=2, args="quiet pf.mode=steps pf.steps=neighbour")
ROUND = r"PF-STATE: neighbour round=(\d+)"
ROUNDS_AFTER = 3
PATIENCE = 8  # times the operations at most, until the neighbour has got on meanwhile
ROUNDS_BRIEF = 2  # on Bochs, in make test: the one that was begun, and a whole one

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


def hostile(name, seed, operations, words="", keys="weight=300"):
    args = f"root=none seed={seed} ops={operations} {words}".rstrip()
    return Vm(keys=f"vm={name} mem=64M {keys}", kernel="hostile.bin", initrd="", args=args)


def end_of_life(machine):
    """How many operations a life of the hostile guest had. It may well destroy itself, by a crash, or by a breakpoint on
    the first instruction of its own handler: what makes no progress any more is stopped by the administrator."""
    since, done, quiet = len(machine.log), 0, machine.now()
    while True:
        check(machine.pump(1), f"the machine has ended: {machine.log[-800:]}")
        text = machine.log[since:]
        told = max([0, *map(int, re.findall(r"hostile: (?:progress=|done ops=)(\d+)", text))])
        if re.search(r"vm hostile: (powered off|crashed|halted|reboots)", text):
            return told
        if told != done:
            done, quiet = told, machine.now()
        if machine.now() - quiet > HANGS_S:
            return told


def round_of(machine):
    """The neighbour's last one."""
    return int(re.findall(ROUND, machine.log)[-1])


def reach_round(machine, number):
    """Waits for that round of the neighbour's, or a later one, as the line of a round may be amid the log's."""
    while int(machine.expect(ROUND, BOOT_LIMIT_S)[1]) < number:
        pass


def attack(t, cpus, keys, operations):
    """Lives of a guest that does at random all that a guest can do, each with a seed that it tells, until there were
    enough operations. A Linux guest on the same CPUs writes and verifies its NVRAM all the while, and goes on."""
    options = 'console=com1 exit=monitor run="vm stop hostile -y"'
    vms = [NEIGHBOUR, hostile("hostile", 0, operations, keys=keys)]
    with t.boot(t.setup(cpus=cpus), *vms, options=options, files=FILES) as machine:
        machine.expect(ROUND, BOOT_LIMIT_S)
        began, done, lives = round_of(machine), 0, 0
        while done < operations or (round_of(machine) == began and done < PATIENCE * operations):
            enter(machine)
            if states(machine)["hostile"] in ("running", "hung", "queued"):
                ask(machine, "vm stop hostile -y")
            machine.send("vm start hostile\r" + ENTER)
            machine.position = len(machine.log)
            machine.expect(r"hostile: seed=\d+ ops=", BOOT_LIMIT_S)
            done, lives = done + end_of_life(machine), lives + 1
            check(lives < 20 or done > lives * LIFE_MEAN, f"{lives} lives had only {done} operations together")
        ended = round_of(machine)
        check(ended > began, f"the neighbour made no progress: {began} rounds before, {ended} after")
        after = ROUNDS_BRIEF if t.family == "bochs" and not t.soak else ROUNDS_AFTER
        reach_round(machine, ended + after)
        enter(machine)
        equal(states(machine)["neighbour"], "running", "the neighbour's state")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(core=True, long=True)
def test_hostile(t):
    """A hostile guest beside its neighbour."""
    attack(t, CPUS[t.family], "weight=300 vcpus=2", OPERATIONS[t.family][t.soak])


@test(on=BOCHS, soak=True, long=True)
def test_hostile_shared(t):
    """The same on one CPU, of which the neighbour gets little: more of it in the same time."""
    attack(t, 1, "weight=1000 vcpus=2", OPERATIONS_SHARED)


@test(core=True)
def test_hostile_ends(t):
    """Each way to end a VM, one VM after the other: the reason is told, and the next VM starts. In KVM nine of them, in
    make soak all."""
    seed = t.random.randrange(1, 1 << 16)
    ends = [(number, end) for number, end in enumerate(DEADLY, 1) if end[1] != REBOOTS]
    if t.kind in NESTED and not t.soak:
        ends = sorted(t.random.sample(ends, 9))
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
def test_reboots_leave_time(t):
    """A guest that does nothing but reboot, for which CPU 0 has to work, leaves its neighbour there the time for its own."""
    number = [name for name, _ in DEADLY].index("init-itself") + 1
    vm = hostile("h", t.random.randrange(1, 1 << 16), 1, f"deadly={number}", keys="weight=10000")
    with t.boot(t.setup(), replace(NEIGHBOUR, vcpus=1), vm, options="console=com1 exit=monitor", files=FILES) as machine:
        machine.expect(ROUND, BOOT_LIMIT_S)
        began, reboots = round_of(machine), machine.log.count("vm h: reboots")
        reach_round(machine, began + ROUNDS_AFTER)
        check(machine.log.count("vm h: reboots") > reboots, "it has not rebooted meanwhile")
        enter(machine)
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


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
