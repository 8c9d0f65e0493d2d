"""Several CPUs and several guests: CPUs started, guests with several vCPUs, shares by weight."""
import re
from collections import Counter

from tests.e2e.harness import BOCHS, BOOT_LIMIT_S, QEMU, check, equal, test
from tests.e2e.test_monitor import ENTER, ask, ask_json, enter, states
from tests.machine import acpi
from tests.machine.bochs import REFERENCE
from tests.machine.lab import BUILD, Vm

FILES = {name: BUILD / "guests" / name for name in ("apic.bin", "spin.bin", "counter.bin", "cpuid_storm.bin", "ticker.bin")}
STRESS = {"initrd": BUILD / "stress.img"}
LINUX_LIMIT_S = 3 * BOOT_LIMIT_S


def spinner(name, weight, cpus="0"):
    return Vm(keys=f"vm={name} mem=32M weight={weight} cpus={cpus}", kernel="spin.bin", initrd="", args="root=none")


def all_cpus(t, count):
    """All CPUs are started, and a VM runs on the last one."""
    vm = Vm(keys=f"vm=last mem=32M cpus={count - 1}", kernel="power_off.bin", initrd="", args="root=none")
    with t.boot(t.setup(cpus=count), vm, files={"power_off.bin": BUILD / "guests" / "power_off.bin"}) as machine:
        machine.expect(rf"^smp: {count} of {count} CPUs", BOOT_LIMIT_S)
        machine.expect("^vm last: powered off", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(on=QEMU)
def test_many_cpus(t):
    """More CPUs than a machine word has bits."""
    all_cpus(t, 70)


@test(on=QEMU)
def test_timers_of_all_cpus(t):
    """The timer of each CPU counts as fast as the one whose rate was measured."""
    with t.boot(t.setup(cpus=2), options="console=com1 exit=monitor") as machine:
        machine.expect("no VM was started", BOOT_LIMIT_S)
        for cpu in range(2):
            text = machine.command("human-monitor-command", **{"command-line": f"info lapic {cpu}"})
            check("(divide by 1)" in text, f"CPU {cpu}: {text}")


@test(on=BOCHS, core=True)
def test_two_cpus(t):
    all_cpus(t, 2)


@test(on=BOCHS)
def test_four_cpus(t):
    all_cpus(t, 4)


SILENT = 9  # an APIC ID that no CPU has


@test()
def test_silent_cpu(t):
    """A CPU that the firmware tells of and that never answers is left out; the one after it is started, and guests
    run on all that did answer. No emulator has such a CPU: the MADT here is the test's."""
    table = t.folder / "madt.aml"
    table.write_bytes(acpi.madt((0, SILENT, 1)))
    guests = [spinner("left", 100, "0"), spinner("right", 100, "1")]
    with t.boot(t.setup(cpus=2), *guests, files={**FILES, table.name: table}, options="console=com1 exit=monitor",
                before=[f"acpi --exclude=APIC /boot/{table.name}"]) as machine:
        machine.expect(rf"^warning: smp: the CPU with APIC ID {SILENT} does not answer within \d+ ms: left out", BOOT_LIMIT_S)
        machine.expect(r"^smp: 2 of 3 CPUs", BOOT_LIMIT_S)
        machine.expect(r"vm right: starts", BOOT_LIMIT_S)
        equal(machine.log.count("left out"), 1, "CPUs left out")
        enter(machine)
        before = counters(machine)
        machine.run_for(2)
        after = counters(machine)
        for name in ("left", "right"):
            check(after[name, "vcpu0 ran us"] > before[name, "vcpu0 ran us"], f"vm {name} did not run")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test()
def test_cpus_that_are_none(t):
    """Entries of the MADT for all CPUs are no CPUs, and a CPU that stands there twice is one. In xAPIC mode, which QEMU
    has, an APIC ID above 254 cannot be named; sent to its low byte, the INIT would have reset the first CPU."""
    table = t.folder / "madt.aml"
    table.write_bytes(acpi.madt((0, 0xFF, 1, 0xFF, 1), (0xFFFFFFFF, 0x100)))
    with t.boot(t.setup(cpus=2, reboots=False), files={**FILES, table.name: table},
                before=[f"acpi --exclude=APIC /boot/{table.name}"]) as machine:
        machine.expect(r"^smp: 2 of 3 CPUs", BOOT_LIMIT_S)
        why = {"qemu": "smp: 1 CPUs are left out, the first with APIC ID 256: in xAPIC mode the highest is 254",
               "bochs": "smp: the CPU with APIC ID 256 does not answer"}[t.family]
        check(why in machine.log, "no word on the CPU with APIC ID 256")
        equal(machine.log.count("left out"), 1, "warnings of CPUs left out")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


def linux(name, vcpus, steps, more=""):
    return Vm(name=name, nvram="", mem="256M", args=f"quiet pf.mode=steps pf.steps={steps}", more=more, vcpus=vcpus)


def counters(machine):
    (table,) = ask_json(machine, "stats")
    return {(row["of"], row["counter"]): row["value"] for row in table}


def apic_exits(t, **setup):
    """The test guest tries its APIC; its counters then."""
    guest = Vm(keys="vm=a mem=32M", kernel="apic.bin", initrd="", args="root=none")
    with t.boot(t.setup(**setup), guest, files=FILES) as machine:
        found = machine.expect(r"^guest: apic (ok|failed.*?)\r$", BOOT_LIMIT_S)
        equal(found[1], "ok", "what the guest found")
        enter(machine)
        exits = Counter({name: value for (of, name), value in counters(machine).items() if of == "a"})
        machine.send(ENTER)
        machine.expect("^guest: tick", BOOT_LIMIT_S)
        machine.send("x")
        machine.expect("^guest: apic off", BOOT_LIMIT_S)
        enter(machine)
        looks = [counters(machine)["a", "exits hlt"] for _ in range(3)]
        check("guest: woken" not in machine.log and looks[0] == looks[2], f"rests with its APIC off: {looks}")
        return exits


@test(core=True)
def test_apic_emulated(t):
    """The local APIC as software has it: each request, end and task priority is an exit."""
    exits = apic_exits(t, **({"model": "corei5_arrandale_m520"} if t.kind == "bochs" else {}))
    check(exits["exits wrmsr"] > 2000 and exits["exits cr8"] > 2000, f"exits: {exits}")


@test(on=BOCHS, core=True)
def test_apic_virtual(t):
    """As the CPU virtualizes it: only what it cannot do exits. On all models that do; make soak has Debian there too."""
    for model in (REFERENCE, "broadwell_ult", "corei7_skylake_x"):
        exits = apic_exits(t, model=model)
        check(exits["exits wrmsr"] < 20, f"exits: {exits}")
        equal([exits[f"exits {kind}"] for kind in ("cr8", "window", "self", "eoi")], [0, 0, 1, 3],
              "exits of cr8, window, self and eoi")
        equal(exits["exits rdmsr"], 0, "exits of reads")


@test(on=QEMU)
def test_long_work(t):
    """What CPU 0 does for long stops nobody: the guest that has this CPU gets interrupts of its timer as well, if later
    than the one on the other CPU does. (On Bochs time jumps while all rest, and the work is little of it.)"""
    guests = [Vm(keys=f"vm=on{cpu} mem=32M cpus={cpu}", kernel="ticker.bin", initrd="", args="root=none") for cpu in range(2)]
    with t.boot(t.setup(cpus=2), *guests, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect("guest: timer ticks", BOOT_LIMIT_S)
        machine.expect(r"\[on1\] guest: timer ticks", BOOT_LIMIT_S)
        enter(machine)
        before = counters(machine)
        ask(machine, "nv scrub wait")  # of all that the new pool holds: they leave CPU 0 no time to do so at rest
        after = counters(machine)
        taken = [after[f"on{cpu}", "interrupts injected"] - before[f"on{cpu}", "interrupts injected"] for cpu in range(2)]
        check(taken[1] >= 10 and taken[0] >= taken[1] / 10, f"interrupts of timers on CPU 0 and 1 meanwhile: {taken}")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(long=True)
def test_vcpus_share_cpus(t):
    """Debian's kernel with four vCPUs on two CPUs: all come up, with a clock that holds over them, and stress-ng finds
    no mistake."""
    with t.boot(t.setup(cpus=2), linux("smp", 4, "cpus,stress"), files=STRESS) as machine:
        machine.expect(r"^PF-STATE: cpus online=4 clock=(?:kvm-clock|tsc)", LINUX_LIMIT_S)
        machine.expect(r"^PF-TEST: stress ok", LINUX_LIMIT_S)
        equal(machine.wait_end(LINUX_LIMIT_S), "poweroff", "the machine's end")
        check("vm smp: powered off" in machine.log, "no word on the guest's end")


@test()
def test_two_guests(t):
    """Two Linux guests side by side on two CPUs; each line of the one without the console bears its name."""
    guests = [linux("one", 1, "cpus"), linux("two", 2, "cpus")]
    with t.boot(t.setup(cpus=2), *guests) as machine:
        equal(machine.wait_end(LINUX_LIMIT_S), "poweroff", "the machine's end")
        log = machine.log
    for name in ("one", "two"):
        check(f"vm {name}: powered off" in log, f"no word on the end of {name}")
    equal(sorted(re.findall(r"PF-STATE: cpus online=(\d)", log)), ["1", "2"], "CPUs that the guests found")


def steady(t):
    """What makes QEMU's guests' time that of the instructions they execute, whatever else the machine here has to do."""
    return {"extra": ("-icount", "shift=2,sleep=off")} if t.kind == "qemu" else {}


def shares(t, weights, seconds):
    """Runs guests that want all of one CPU; {name: its part of what all got} between two looks."""
    guests = [spinner(f"w{i}", weight) for i, weight in enumerate(weights)]
    with t.boot(t.setup(**steady(t)), *guests, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect(rf"vm w{len(weights) - 1}: starts", BOOT_LIMIT_S)
        machine.run_for(1)
        enter(machine)
        before = counters(machine)
        machine.run_for(seconds)
        after = counters(machine)
        latency = [after[of, "vcpu0 latency max us"] for of, counter in after if counter == "vcpu0 latency max us"]
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
    ran = {f"w{i}": after[f"w{i}", "vcpu0 ran us"] - before[f"w{i}", "vcpu0 ran us"] for i in range(len(weights))}
    total = sum(ran.values())
    check(total > 0, "nobody ran")
    return {name: value / total for name, value in ran.items()}, max(latency)


def fair(t, weights, seconds):
    found, _ = shares(t, weights, seconds)
    for i, weight in enumerate(weights):
        want = weight / sum(weights)
        check(abs(found[f"w{i}"] - want) <= 0.02, f"weight {weight} of {sum(weights)}: {found[f'w{i}']:.3f} of the CPU: {found}")


@test(core=True)
def test_fair_two(t):
    """Two guests that want all of one CPU get it by their weights, within 2 % of the CPU."""
    fair(t, (100, 200), 4)


@test()
def test_fair_eight(t):
    fair(t, (100, 200, 400, 100, 200, 400, 100, 100), 8)


@test(on=BOCHS)
def test_pinned(t):
    """cpus= keeps a guest on its CPU: the other one's is not slowed by it. (QEMU with two CPUs has no time that stands
    still with it: one of its threads may be stopped in the middle of a guest's turn.)"""
    guests = [spinner("left", 100, "0"), spinner("right", 100, "1"), spinner("also", 300, "1")]
    with t.boot(t.setup(cpus=2), *guests, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect(r"vm also: starts", BOOT_LIMIT_S)
        machine.run_for(0.5)
        enter(machine)
        before = counters(machine)
        machine.run_for(4 if t.soak else 1)
        after = counters(machine)
        ran = {name: after[name, "vcpu0 ran us"] - before[name, "vcpu0 ran us"] for name in ("left", "right", "also")}
        both = ran["right"] + ran["also"]
        check(abs(ran["also"] / both - 0.75) <= 0.02, f"shares on CPU 1: {ran}")
        ask(machine, "vm pause also")
        equal(states(machine), {"left": "running", "right": "running", "also": "paused"}, "the states")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


def exits_per_us(machine, names, seconds):
    """Exits by CPUID a microsecond of each vCPU's own time. All stand still before and after: what is typed and answered
    takes Bochs as many times longer as CPUs are busy meanwhile."""
    before = counters(machine)
    for name in names:
        ask(machine, f"vm resume {name}")
    machine.run_for(seconds)
    for name in names:
        ask(machine, f"vm pause {name}")
    after = counters(machine)

    def grown(name, counter):
        return after[name, counter] - before[name, counter]

    return {name: grown(name, "exits cpuid") / grown(name, "vcpu0 ran us") for name in names}


@test(on=BOCHS, long=True)
def test_exits_scale(t):
    """CPUs full of exits, four or eight: each makes as many as one alone, as there is no lock or line of memory that they
    need."""
    numbers = (8, 4, 2, 1) if t.soak else (4, 1)
    names = [f"storm{cpu}" for cpu in range(numbers[0])]
    guests = [Vm(keys=f"vm={name} mem=32M cpus={cpu}", kernel="cpuid_storm.bin", initrd="", args="root=none")
              for cpu, name in enumerate(names)]
    with t.boot(t.setup(cpus=len(names)), *guests, files=FILES, options="console=com1 exit=monitor") as machine:
        machine.expect(rf"vm {names[-1]}: starts", BOOT_LIMIT_S)
        enter(machine)
        for name in names:
            ask(machine, f"vm pause {name}")
        rates = {running: exits_per_us(machine, names[-running:], 0.3) for running in numbers}
        alone = rates[1][names[-1]]
        apart = {(running, name): rate for running, of in rates.items() for name, rate in of.items() if abs(rate / alone - 1) >= 0.02}
        check(not apart, f"exits a microsecond: {apart}, alone {alone}")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
