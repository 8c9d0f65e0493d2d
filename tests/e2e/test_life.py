"""The life of VMs: started, stopped, reset, paused, crashed and started again, with every byte of memory accounted for."""
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_faults import guest
from tests.e2e.test_monitor import ask, ask_json, enter, states, until_prompt
from tests.machine.lab import Vm

FILES = {f"{name}.bin": guest(name) for name in ("counter", "triple_fault", "halt_forever", "spin", "power_off", "ticker", "rebooter")}
OPERATIONS = {"qemu": (60, 1000), "bochs": (20, 40)}  # make test, make soak
SETTLE_S = 0.3


def tiny(name, kernel, more=""):
    return Vm(keys=f"vm={name} mem=32M {more}".strip(), kernel=f"{kernel}.bin", initrd="", args="root=none")


VMS = [
    tiny("counts", "counter", "nvram=count:4M"),
    tiny("spins", "spin", "vcpus=2"),
    tiny("crashes", "triple_fault"),
    tiny("halts", "halt_forever", "cpus=0"),
]
# what can be asked of a VM in this state, and the states that may come of it
VERBS = {
    "running": {"stop": {"stopped"}, "reset": {"running"}, "pause": {"paused"}},
    "paused": {"resume": {"running"}, "stop": {"stopped"}, "reset": {"running"}},
    "": {"start": {"running"}},
}
ENDS = {"crashes": "crashed", "halts": "halted"}  # by themselves, soon


def await_end(machine, name, since):
    """Its end is told over the prompt, which comes again."""
    machine.position = since
    machine.expect(rf"vm {name}: {ENDS[name]}", BOOT_LIMIT_S)
    until_prompt(machine, machine.position)


def operate(machine, random, name, state):
    verb, expected = random.choice(sorted(VERBS.get(state, VERBS[""]).items()))
    since = len(machine.log)
    machine.send(f"vm {verb} {name}" + (" -y" if verb in ("stop", "reset") else "") + "\r")
    if name in ENDS:
        await_end(machine, name, since)
        expected = {ENDS[name]}
    else:
        until_prompt(machine, since)
    equal({states(machine)[name]}, expected, f"the state of {name} after {verb}")


def stop_all(machine):
    for name, state in states(machine).items():
        if state in ("running", "paused"):
            ask(machine, f"vm stop {name} -y")


def memory(machine):
    """What is used, by kind and by size of block, once released NVRAM is scrubbed."""
    ask(machine, "nv scrub wait")
    return ask_json(machine, "mem")[:2]


@test(long=True)
def test_life(t):
    """Four VMs share two CPUs; two of them end by themselves. Operations at random, and what they use is all given back."""
    with t.boot(t.setup(cpus=2), *VMS, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect("vm halts: starts", BOOT_LIMIT_S)
        machine.expect("vm halts: halted", BOOT_LIMIT_S)
        machine.run_for(1)
        enter(machine)
        stop_all(machine)
        before = memory(machine)
        for verb in ("start", "pause", "resume"):
            ask(machine, f"vm {verb} counts")
        machine.run_for(1)
        equal(states(machine)["counts"], "running", "counts after a pause")
        for _ in range(OPERATIONS[t.family][t.soak]):
            name, state = t.random.choice(sorted(states(machine).items()))
            operate(machine, t.random, name, state)
            if t.random.random() < 0.1:
                machine.run_for(SETTLE_S)
        stop_all(machine)
        equal(memory(machine), before, "memory in use")
        starts = {row["name"]: row["starts"] for row in ask_json(machine, "vm list")[0]}
        check(all(count > 1 for count in starts.values()), f"starts: {starts}")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


def boot_failing(t, number, words=""):
    """The log of a boot in which that allocation fails; it ends in order, with or without the VM."""
    options = f"console=com1 exit=poweroff mem-fail={number} {words}".rstrip()
    with t.boot(t.setup(cpus=2), tiny("quits", "power_off", "nvram=count:4M"), files=FILES, options=options) as machine:
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", f"the end when allocation {number} fails")
        return machine.log


@test()
def test_boot_out_of_memory(t):
    """Each allocation of a boot fails once: the machine says what it cannot do, and ends in order."""
    log = boot_failing(t, 10**6, 'run="mem-fail 0"')
    made = 10**6 - int(re.search(r"^(\d+) allocations were left to go", log, re.M)[1])
    check(made > 2, f"a boot makes {made} allocations")
    for number in range(1, made + 1):
        log = boot_failing(t, number)
        check(re.search(r"^(error|warning): ", log, re.M), f"allocation {number} of {made} fails without a word")
        check("panic" not in log, f"allocation {number} of {made}: {log[-400:]}")


@test()
def test_out_of_memory(t):
    """Each allocation that the start of a VM makes fails once: the VM is refused, and memory is used as before. The
    same for the page tables of what it executes first, where it gets these then: it ends."""
    vm = tiny("counts", "counter", "vcpus=2 nvram=count:4M")
    with t.boot(t.setup(), vm, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect("guest: counts", BOOT_LIMIT_S)
        enter(machine)
        stop_all(machine)
        before, refused, reached = memory(machine), 0, 0
        while "left to go" not in ask(machine, "mem-fail 0"):
            reached += 1
            check(reached < 100, "the start allocates without end")
            since = len(machine.log)
            ask(machine, f"mem-fail {reached}")
            ask(machine, "vm start counts")
            state = states(machine)["counts"]
            told = "vm counts: no memory for page tables (error" in machine.log[since:]
            check(state in ("running", "refused") or (state == "crashed" and told), f"allocation {reached} fails: {state}")
            refused += state != "running"
            stop_all(machine)
            equal(memory(machine), before, f"memory after allocation {reached} failed")
        check(refused >= 9, f"{refused} of {reached} allocations refuse the start")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test()
def test_neighbour_reboots(t):
    """A VM that is built again and again on CPU 0 takes nothing from the one that has this CPU: its timer goes on."""
    vms = [tiny("ticks", "ticker", "cpus=0"), tiny("again", "rebooter", "cpus=1")]
    with t.boot(t.setup(cpus=2), *vms, files=FILES) as machine:
        machine.expect("vm again: reboots", BOOT_LIMIT_S)
        for _ in range(2):
            machine.expect("guest: timer ticks", BOOT_LIMIT_S)
            machine.expect("vm again: reboots", BOOT_LIMIT_S)
        enter(machine)
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test()
def test_watchdog(t):
    """A guest that keeps its interrupts off is told of, and stays as it is; one that has them on is not."""
    vms = [tiny("hangs", "spin", "watchdog=2"), tiny("counts", "counter", "watchdog=2")]
    with t.boot(t.setup(), *vms, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect(r"warning: vm hangs: vCPU 0 has had its interrupts off for 2 s, at 0x[0-9a-f]+", BOOT_LIMIT_S)
        enter(machine)
        equal(states(machine), {"hangs": "hung", "counts": "running"}, "the states")
        ask(machine, "vm stop hangs -y")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
