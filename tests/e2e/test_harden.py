"""The hypervisor guards itself: what the boot log tells of the CPU's and the compiler's protection."""
from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.machine.lab import BUILD, Vm

HALT = {"halt_forever.bin": BUILD / "guests" / "halt_forever.bin"}
# What the reference models have, of SMEP, SMAP and UMIP.
PROTECTION = {"qemu": ["on", "on", "on"], "bochs": ["on", "no", "no"]}


def tiny():
    return Vm(keys="vm=tiny mem=64M", kernel="halt_forever.bin", initrd="", args="root=none")


@test(core=True)
def test_harden(t):
    """Protection is on before the first guest runs, and the page tables were looked through."""
    with t.boot(t.setup(), tiny(), files=HALT) as machine:
        found = machine.expect(r"^harden: stack protector by (.*), SMEP (on|no), SMAP (on|no), UMIP (on|no)\r$", BOOT_LIMIT_S)
        equal(found[1], "RDRAND", "the canary's source")
        if t.kind in PROTECTION:
            equal(list(found.groups()[1:]), PROTECTION[t.kind], "SMEP, SMAP, UMIP")
        found = machine.expect(r"^harden: (\d+) pages checked: .* NULL and (\d+) guard pages? (?:is|are) not mapped", BOOT_LIMIT_S)
        check(int(found[1]) > 100 and int(found[2]) >= 1, f"pages that were looked at: {found[0]}")
        machine.expect(r"vm tiny: halted", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
