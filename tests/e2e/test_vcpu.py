"""Small guests that watch one rule of a CPU each, on every kind of CPU that the emulators have: VT-x, SVM without next-RIP
(QEMU) and with it, decode assists and flush by ASID (Bochs' ryzen). Debian with NVRAM on the last as well."""
import re

from tests.e2e.harness import BOCHS, BOOT_LIMIT_S, QEMU, check, equal, test
from tests.e2e.test_pool_cuts import is_stored
from tests.e2e.test_smp import apic_exits
from tests.machine.bochs import RYZEN
from tests.machine.lab import BUILD, Vm

DIRECT = BOCHS + QEMU  # KVM on QEMU has its faults itself, and our machine there has no XSAVE
LIMIT_S = 3 * BOOT_LIMIT_S
SOAK_LIMIT_S = 7200
INTERRUPTS = {"qemu": (20_000, 10_000_000), "bochs": (3_000, 1_000_000)}  # in make test, in make soak


def play(t, name, vcpus, args="", model=""):
    """Runs the guest NAME.bin on two CPUs; it must say that all is well. Returns the log."""
    guest = Vm(keys=f"vm={name} mem=32M vcpus={vcpus}", kernel=f"{name}.bin", initrd="", args=f"root=none {args}")
    file = BUILD / "guests" / guest.kernel
    with t.boot(t.setup(cpus=2, model=model), guest, files={guest.kernel: file}) as machine:
        equal(machine.wait_end(SOAK_LIMIT_S if t.soak else LIMIT_S), "poweroff", "the machine's end")
        log = machine.log
    check(f"{name}: ok" in log, f"the guest says {re.findall(rf'^{name}: .*', log, re.M)}; log: {log[-1000:]}")
    return log


def once(t, model=""):
    count = INTERRUPTS[t.family][t.soak]
    log = play(t, "once", 2, f"once={count},2", model)
    late = int(re.search(r"^once: breakpoints too late (\d+)", log, re.M)[1])
    check(t.family == "qemu" or not late, f"{late} breakpoints came late")


@test(on=DIRECT, core=True)
def test_interrupts_come_once(t):
    """No interrupt with IF off, within its own service or that nobody has asked for, no exception twice, no breakpoint
    that is gone, while two vCPUs send each other IPIs and change code. QEMU before 8.1 executes a breakpoint that is gone
    by itself now and then: it keeps code that another CPU changed while it was being translated."""
    once(t)


def shadow(t, model=""):
    """The instruction behind STI comes before any interrupt, also where an exit stands between the two. QEMU 7.2 forgets that."""
    play(t, "shadow", 1, model=model)


@test(on=DIRECT, core=True)
def test_shadow(t):
    shadow(t)


def changed_code(t, model=""):
    log = play(t, "spoil", 2, model=model)
    check(t.family == "qemu" or "a read was refused" not in log, "a read was refused")


@test(on=DIRECT, core=True)
def test_changed_code(t):
    """What a vCPU executes may change at any moment before the hypervisor looks at it. QEMU before 8.1 may keep what is gone."""
    changed_code(t)


@test(on=DIRECT, core=True)
def test_nmi_in_nmi(t):
    """An NMI that comes while another is served waits for its IRET."""
    play(t, "nmi", 1)


@test(on=DIRECT, core=True)
def test_xcr0(t):
    """XSETBV: by the CPU's own rules on QEMU, whose SVM does not intercept it, and by ours elsewhere."""
    log = play(t, "xcr0", 1)
    check(t.family == "qemu" or re.search(r"^vm xcr0: exits xsetbv +\d\d", log, re.M), "XSETBV did not exit")


@test(on=BOCHS, core=True)
def test_ryzen_guests(t):
    once(t, RYZEN)
    shadow(t, RYZEN)
    changed_code(t, RYZEN)
    play(t, "nmi", 1, model=RYZEN)
    log = play(t, "xcr0", 1, model=RYZEN)
    check(re.search(r"^vm xcr0: exits xsetbv +\d\d", log, re.M), "XSETBV did not exit")


@test(on=BOCHS, core=True)
def test_ryzen_apic(t):
    """The local APIC as software has it; the CPU holds the interrupts."""
    exits = apic_exits(t, model=RYZEN)
    equal(exits["exits window"], 0, "exits for a window")


@test(on=BOCHS, core=True, long=True)
def test_ryzen_keeps_nvram(t):
    """Debian stores on its NVRAM, the power goes, and it is there: the off-line tool looks, in make soak Debian too."""
    setup = t.setup(model=RYZEN, keep=True)
    guest = Vm(args="quiet pf.mode=demo")
    with t.boot(setup, guest) as machine:
        machine.expect(r"^virt: SVM with NPT", BOOT_LIMIT_S)
        machine.expect(r"^PF-TEST: demo ok boots=1", LIMIT_S)
        machine.cut()
    is_stored(t, setup)
    if not t.soak:
        return
    with t.boot(setup, guest) as machine:
        machine.expect(r"^PF-TEST: demo ok boots=2", LIMIT_S)
        equal(machine.wait_end(LIMIT_S), "poweroff", "the machine's end")
