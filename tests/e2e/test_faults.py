"""A guest cannot take the machine down, and a mistake in the module lines concerns its own VM only."""
import re

from tests.e2e.harness import BOCHS, BOOT_LIMIT_S, check, equal, test
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Vm

SMALL = "mem=64M"


def guest(name):
    return BUILD / "guests" / f"{name}.bin"


def tiny(kernel, keys=f"vm=tiny {SMALL}"):
    """A VM whose kernel is one of tests/guests; root= says that no initrd is wanted."""
    return Vm(keys=keys, kernel=f"{kernel}.bin", initrd="", args="root=none")


def run_guest(t, kernel, says, ends, state=True):
    """Boots one test guest: it must say `says`, and the hypervisor must tell its end with the pattern `ends`, print its
    state unless it halted by itself, and come to its defined end."""
    with t.boot(t.setup(), tiny(kernel), files={f"{kernel}.bin": guest(kernel)}) as machine:
        machine.expect(re.escape(says), BOOT_LIMIT_S)
        machine.expect(ends, BOOT_LIMIT_S)
        if state:
            machine.expect(r"rip 0010:0*[1-9a-f]", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
        return machine.log


STAYS_ON_S = 10  # a machine that switches itself off has ended by then


@test(core=True)
def test_guest_triple_fault(t):
    run_guest(t, "triple_fault", "guest: triple fault follows", r"vm tiny: triple fault")


@test()
def test_guest_halts_for_ever(t):
    log = run_guest(t, "halt_forever", "guest: halts for ever", r"vm tiny: halted", state=False)
    check("guest: woke up" not in log, "the guest woke up")


@test()
def test_guest_outside_memory(t):
    """A write there changes nothing, a read gives ones, and the machine goes on to its defined end."""
    log = run_guest(t, "outside_memory", "guest: writes outside its memory", "guest: nobody answered", state=False)
    check("went somewhere" not in log, "the write went somewhere")


@test()
def test_guest_port_storm(t):
    run_guest(t, "port_storm", "guest: survived the port storm", r"vm tiny: triple fault")


@test(core=True)
def test_exit_reboot(t):
    """exit=reboot: the machine starts again from its firmware."""
    files = {"triple_fault.bin": guest("triple_fault")}
    with t.boot(t.setup(), tiny("triple_fault"), options="console=com1 exit=reboot", files=files) as machine:
        machine.expect("guest: triple fault follows", BOOT_LIMIT_S)
        machine.expect("memory map: [0-9]+ ranges", BOOT_LIMIT_S)
        machine.expect("guest: triple fault follows", BOOT_LIMIT_S)


@test()
def test_exit_halt(t):
    """exit=halt: the machine stays on, and says so."""
    files = {"triple_fault.bin": guest("triple_fault")}
    with t.boot(t.setup(), tiny("triple_fault"), options="console=com1 exit=halt", files=files) as machine:
        machine.expect("guest: triple fault follows", BOOT_LIMIT_S)
        machine.expect(r"(?i)exit=halt|halted", BOOT_LIMIT_S)
        try:
            ending = machine.wait_end(STAYS_ON_S)
        except Failure as failure:
            check("still runs" in str(failure), str(failure))
        else:
            check(False, f"the machine ended: {ending}")


BAD = (  # the keys of a VM, and what the log must say of it; the module's number is put in front
    (f"vm=colour {SMALL} colour=red", "colour=red: unknown key"),
    (f"vm=twice {SMALL} mem=32M", "mem=32M: mem= is given twice"),
    ("vm=nomem", "mem= is missing"),
    ("vm=odd mem=33M", "mem=33M: the size must be a multiple of 2 MiB"),
    (f"vm=many {SMALL} vcpus=17", "vcpus=17: a number from 1 to 16 is expected"),
    (f"vm=pair {SMALL} nvram=one:2M,one:4M", r"nvram=.*region one is named"),
    (f"vm=twice {SMALL}", r"vm=twice: the VM of module \d+ has this name already"),
    ("vm=greedy mem=64G", r".*(mem=|memory)"),
    (f"vm=vast {SMALL} nvram=vast:100G", r".*(nvram=|vast)"),
)


@test()
def test_bad_modules(t):
    """Every mistake is told with module and key, its VM does not start, the good VM does, the pool stays as it is."""
    files = {"triple_fault.bin": guest("triple_fault"), "text.bin": BUILD / "guests" / "text.bin"}
    setup = t.setup(keep=True)
    good = tiny("triple_fault", f"vm=good {SMALL} nvram=keep:4M")
    with t.boot(setup, good, files=files) as machine:
        machine.expect("guest: triple fault follows", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
    before = t.lab.nvram_digest(setup)
    vms = [tiny("triple_fault", keys) for keys, _ in BAD]
    vms.append(Vm(keys=f"vm=text {SMALL}", kernel="text.bin", initrd="", args="root=none"))
    vms.append(Vm(keys=f"vm=bare {SMALL}", kernel="triple_fault.bin", initrd="", args=""))
    with t.boot(setup, *vms, good, files=files) as machine:
        machine.expect("guest: triple fault follows", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
        log = machine.log
    for number, (keys, says) in enumerate(BAD, 1):
        check(re.search(rf"module {number}\b.*{says}", log), f"no word on module {number} ({keys})")
    check(re.search(r"text.*not a Linux bzImage", log), "no word on the kernel that is none")
    check(re.search(rf"module {len(BAD) + 2}\b.*no initrd module", log), "no word on the missing initrd")
    equal(log.count("guest: triple fault follows"), 1, "guests that ran")
    equal(t.lab.nvram_digest(setup), before, "the NVRAM's contents")


@test()
def test_no_vm(t):
    """No module at all: a clear line and the defined end."""
    with t.boot(t.setup()) as machine:
        machine.expect(r"(?i)no VM", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")


@test(core=True)
def test_guest_stepping(t):
    """What an emulated instruction leaves behind: traps, breakpoints, shadows, and RIP at 4 GiB."""
    run_guest(t, "stepping", "guest: stepping is exact", r"vm tiny: halted", state=False)


@test(on=BOCHS)
def test_guest_nmi_window(t):
    """VT-x tells when a guest can take an NMI: behind the IRET of the one before, and not within."""
    run_guest(t, "nmi_window", "guest: NMIs are exact", r"vm tiny: halted", state=False)
