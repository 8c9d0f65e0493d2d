"""Differences between a VM and the bare emulator that are meant to be, each with its reason; told in tests/README.md."""
import re

HIDDEN = "CPUID hides the feature from guests, so its tests are skipped"
QEMU, BOCHS, ANY = "qemu", "bochs", "qemu|bochs"

# test, machine, text of the verdict: patterns; and why.
KNOWN = (
    ("pku|pks|cet|lam", ANY, ".*", HIDDEN),
    ("umip", ANY, "exception from", HIDDEN),
    ("memory", ANY, "SUCCESS", HIDDEN),
    ("la57", QEMU, ".*", "CPUID hides LA57, and QEMU 7.2 does not check that a base is canonical; bare it resets the machine, too"),
    ("emulator", ANY, ".*", "a device's memory is read and written by moves only; other instructions there raise #UD"),
    ("x2apic", ANY, ".*", "the local APIC has no xAPIC mode and stays in CPUID when it is off; the suite ends at the #GP"),
    ("msr.*", ANY, "MC[1-9]", "there is one bank of machine checks"),
    ("tsc", ANY, "RDTSCP", "the TSC is the machine's own and cannot be written"),
    ("tsc_adjust", ANY, ".*", HIDDEN),
    ("taskswitch.*", BOCHS, ".*", "VT-x leaves a task switch to the hypervisor; the VM ends and tells that it is not supported"),
)


def reason(test, kind, text):
    """Why this verdict is known to differ, or None."""
    for name, machine, pattern, why in KNOWN:
        if re.fullmatch(name, test) and re.fullmatch(machine, kind) and re.search(pattern, text):
            return why
    return None
