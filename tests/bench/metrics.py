"""What is measured, beside what: the values of the peers, our goals and aims, and the verdict on a value."""
from dataclasses import dataclass

# KVM and Xen on the same emulator and CPU model, mitigations off on both sides, by the same rules: RDTSC differences in
# the guest, the minimum of a loop in user mode.
KVM = "KVM of Linux 6.1 (Debian), VT-x, Bochs 2.7"
XEN = "Xen 4.17 (Debian), PVH guest, VT-x, Bochs 2.7"
KVM_RDMSR_MODEL = "KVM's RDMSR was measured on corei7_skylake_x"
XEN_TOOLSTACK = "Xen's toolstack spends 0.647e9 more before the start, which is not counted"


@dataclass(frozen=True)
class Metric:
    """One row. Lower is better unless `higher`; `goal` and `aim` are met by the bound itself. None: there is none."""

    key: str
    text: str
    kvm: int | None = None
    xen: int | None = None
    goal: float | None = None
    aim: float | None = None
    higher: bool = False

    def reaches(self, value, bound):
        return value >= bound if self.higher else value <= bound

    def verdict(self, value):
        if self.goal is None:
            return "-"
        if not self.reaches(value, self.goal):
            return "missed"
        return "met, aim too" if self.aim is not None and self.reaches(value, self.aim) else "met"


ROUND_TRIP_GOAL = 150
CPUID_AIM = 90  # a tenth of Xen's
VMCALL_AIM = 80

METRICS = (
    Metric("user-cpuid-0", "CPUID leaf 0, user mode", 1007, 897, ROUND_TRIP_GOAL, CPUID_AIM),
    Metric("user-cpuid-1", "CPUID leaf 1, user mode", goal=ROUND_TRIP_GOAL, aim=CPUID_AIM),
    Metric("cpuid-0", "CPUID leaf 0, CPL 0", goal=ROUND_TRIP_GOAL, aim=CPUID_AIM),
    Metric("cpuid-1", "CPUID leaf 1, CPL 0", goal=ROUND_TRIP_GOAL, aim=CPUID_AIM),
    Metric("cpuid-40000000", "CPUID leaf 40000000h, CPL 0", goal=ROUND_TRIP_GOAL, aim=CPUID_AIM),
    Metric("user-vmcall", "VMCALL, user mode (refused)", 1018, 805, ROUND_TRIP_GOAL, VMCALL_AIM),
    Metric("vmcall", "VMCALL, CPL 0 (version)", goal=ROUND_TRIP_GOAL, aim=VMCALL_AIM),
    Metric("rdmsr-apic-base", "RDMSR(APIC base), CPL 0", 1092, goal=ROUND_TRIP_GOAL),
    Metric("wrmsr-tsc-deadline", "WRMSR(TSC deadline), CPL 0"),
    Metric("out-unused-port", "OUT to an unused port, CPL 0"),
    Metric("in-sleep-status", "IN from a device's port, CPL 0"),
    Metric("nothing", "the same loop around nothing"),
    Metric("boot", "Debian, VM start to /init", 1_538_000_000, 1_520_000_000, 1_537_999_999, 1_419_000_000),
    Metric("entry", "hypervisor entry to first guest instruction"),
    Metric("entry-log-bytes", "- bytes logged in that span"),
    Metric("exits", "exits, VM start to idle user space", 17_844, 110_885, 8_922, 1_999),
    Metric("large-pages", "bytes in EPT leaves of 2 MiB or 1 GiB, %", goal=99, higher=True),
    Metric("nvram-exits", "exits in a pass over the mapped NVRAM", goal=0),
)
