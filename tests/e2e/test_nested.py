"""Permafrost below a real KVM: on one host, one machine after the other. Whatever KVM refuses or complains of is a failure
of the test that ran."""
from tests.e2e.harness import BOOT_LIMIT_S, NESTED, NONE, check, equal, test
from tests.e2e.test_faults import test_exit_reboot, test_guest_outside_memory, test_guest_port_storm
from tests.e2e.test_hostile import attack, test_hostile_ends
from tests.e2e.test_nvram import persist
from tests.e2e.test_pool_cuts import is_stored
from tests.e2e.test_smp import apic_exits
from tests.machine.choose import SVM
from tests.machine.emulator import Failure
from tests.machine.lab import Vm
from tests.machine.nested import Host

CUTS = 4
LATEST_CUT_S = 10.0
OPERATIONS = 50_000
COMPLAINTS = (  # lines of the host, and whether they are a failure
    ("HOST: qemu: qemu_system_shutdown_request reason=6", False),
    ("HOST: qemu: KVM internal error. Suberror: 1", True),
    ("HOST: refused:  qemu-system-x86-111 [000] .....    21.5: kvm_nested_vmenter_failed: error: (null)", True),
    ("HOST: kernel: [   21.1] kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable", False),
    ("HOST: kernel: [   21.1] kvm [111]: vcpu0, guest rIP: 0xfff0 unhandled wrmsr: 0x123 data 0x1", True),
    ("HOST: kernel: [   21.1] WARNING: CPU: 0 PID: 111 at arch/x86/kvm/svm/nested.c:1 nested_svm_vmexit", True),
    ("HOST: kernel: [   21.1] random: crng init done", False),
)
DEMO = Vm(mem="160M", args="quiet pf.mode=demo")


@test(on=NONE)
def test_nested_complaints(t):
    """What KVM refuses, what it and QEMU complain of, is a failure; other lines of the host are not."""
    host = Host("nested", 1, (), t.folder)
    for line, bad in COMPLAINTS:
        host.hear(line)
        try:
            host.check()
            found = ""
        except Failure as failure:
            found = str(failure)
        check((line in found) == bad, f"{line!r} is taken {'for a complaint' if found else 'as harmless'}")
    equal(host.reason, "6", "the reason of the machine's end")


def demonstrate(t, setup, boots, cut=None):
    """Boots the demonstration, whose region holds a line of each boot before; then it ends by itself, or by cut(machine)."""
    with t.boot(setup, DEMO) as machine:
        machine.expect(rf"^PF-TEST: demo ok boots={boots}\r?$", BOOT_LIMIT_S)
        if cut:
            cut(machine)
        else:
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


def two_vcpus(t, setup):
    """Linux with two of them: both come up, with a clock that holds over them."""
    with t.boot(setup, Vm(mem="160M", vcpus=2, args="quiet pf.mode=steps pf.steps=cpus")) as machine:
        machine.expect(r"^PF-STATE: cpus online=2 clock=(?:kvm-clock|tsc)", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test(on=NESTED, core=True, long=True)
def test_nested(t):
    """On two CPUs (one where Bochs is the host): the demonstration, and what it stored over a power cut, for which the
    off-line tool looks, in make soak Debian; the local APIC; a triple fault and the machine's reset after it; ways to end
    a VM."""
    lasting = t.lasting(cpus=2 if t.setup().vendor == SVM else 1)
    demonstrate(t, lasting, 1, lambda machine: machine.cut())
    brief = t.kind == NESTED[0] and not t.soak
    if not brief:
        demonstrate(t, lasting, 2)
    apic_exits(t)
    test_exit_reboot(t)
    test_hostile_ends(t)
    if brief:
        t.lab.close()  # the host has the NVRAM's files mapped
        is_stored(t, lasting)
    if t.soak:
        test_guest_outside_memory(t)
        test_guest_port_storm(t)
        two_vcpus(t, lasting)


@test(on=NESTED[:1], soak=True, long=True)
def test_nested_persistence(t):
    """Three writers, and what they were told to be durable: the machine loses its power, then its host, and so on."""
    cuts = []

    def cut(machine):
        cuts.append(machine)
        (machine.cut if len(cuts) % 2 else machine.cut_host)()

    persist(t, t.lasting(cpus=2), CUTS, LATEST_CUT_S, cut)


@test(on=NESTED[:1], soak=True, long=True)
def test_nested_hostile(t):
    """A hostile guest beside a Linux guest. (KVM writes VMMCALL over a VMCALL as if CS had no base, so that many a life in
    16-bit code ends early: the guest's own loss.)"""
    attack(t, 1, "weight=300 vcpus=2", OPERATIONS)
