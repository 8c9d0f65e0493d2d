"""What is measured, beside what: our goals and aims, the published values of Xen, and the verdict on a value."""
from dataclasses import dataclass

# On the same emulator and CPU model as ours, mitigations off, by the same rules: RDTSC differences in the guest, the
# minimum of a loop.
XEN = "Xen 4.17 (Debian), PVH guest, VT-x, Bochs 2.7; measured before, not in this run"
XEN_TOOLSTACK = "Xen's toolstack spends 0.647e9 more before the start, which is not counted"
PEER_PORTS = "KVM's ports are answered by its program in user space, ours by the hypervisor"
PEER_BOOTS = "KVM's spans hold its firmware and the loading of the kernel; ours from the loader's jump our whole start"
PEER_TINY = "KVM's start and end of a tiny VM: what its process ran, without waits and zeroing of memory; ours has all"
BELOW_KVM = "KVM"  # a goal: less than KVM's figure of the same run
BELOW_KVM_NOTE = f"goal {BELOW_KVM!r}: below KVM of the same run"


@dataclass(frozen=True)
class Metric:
    """One row. Lower is better unless `higher`; a bound that is a number is met by the bound itself. goal: on VT-x; its
    default on SVM is to stay below KVM. None: there is none."""

    key: str
    text: str
    xen: int | None = None
    goal: float | str | None = None
    aim: float | None = None
    svm_goal: float | str | None = BELOW_KVM
    higher: bool = False

    def bound(self, machine, kvm):
        """(goal, what a table shows of it) on a machine where KVM's figure is `kvm`."""
        goal = self.goal if machine == "vtx" else self.svm_goal
        if goal != BELOW_KVM:
            return goal, goal
        return (None, None) if kvm is None else (kvm - 1, "below KVM")

    def reaches(self, value, bound):
        return value >= bound if self.higher else value <= bound

    def verdict(self, machine, value, kvm):
        goal, _ = self.bound(machine, kvm)
        if goal is None:
            return "-"
        if not self.reaches(value, goal):
            return "missed"
        return "met, aim too" if machine == "vtx" and self.aim is not None and self.reaches(value, self.aim) else "met"


ROUND_TRIP_GOAL = 150
CPUID_AIM = 90  # a tenth of Xen's
HYPERCALL_AIM = 80
BESIDE_GOAL = 64 * 1024

METRICS = (
    Metric("user-cpuid-0", "CPUID leaf 0, user mode", 897, ROUND_TRIP_GOAL, CPUID_AIM),
    Metric("user-cpuid-1", "CPUID leaf 1, user mode", None, ROUND_TRIP_GOAL, CPUID_AIM),
    Metric("cpuid-0", "CPUID leaf 0, CPL 0", None, ROUND_TRIP_GOAL, CPUID_AIM),
    Metric("cpuid-1", "CPUID leaf 1, CPL 0", None, ROUND_TRIP_GOAL, CPUID_AIM),
    Metric("cpuid-40000000", "CPUID leaf 40000000h, CPL 0", None, ROUND_TRIP_GOAL, CPUID_AIM),
    Metric("user-hypercall", "hypercall, user mode (refused)", 805, ROUND_TRIP_GOAL, HYPERCALL_AIM),
    Metric("hypercall", "hypercall, CPL 0 (KVM: unknown number)", None, ROUND_TRIP_GOAL, HYPERCALL_AIM),
    Metric("rdmsr-apic-base", "RDMSR(APIC base), CPL 0", None, ROUND_TRIP_GOAL),
    Metric("wrmsr-tsc-deadline", "WRMSR(TSC deadline), CPL 0"),
    Metric("out-unused-port", "OUT to an unused port, CPL 0"),
    Metric("in-sleep-status", "IN from a device's port, CPL 0"),
    Metric("nothing", "the same loop around nothing", svm_goal=None),
    Metric("boot", "Debian, VM start to /init, memory zeroed before", 1_520_000_000, BELOW_KVM, 1_419_000_000),
    # Without a goal: the start of KVM's host is not in its span, ours is.
    Metric("boot-whole", "- memory zeroed in the span, ours from the loader's jump", svm_goal=None),
    Metric("entry", "hypervisor entry to first guest instruction"),
    Metric("entry-log-bytes", "- bytes logged in that span"),
    Metric("exits", "exits, VM start to idle user space", 110_885, 8_922),
    Metric("tiny-start", "VM of 2 MiB: its start to its first instruction", goal=BELOW_KVM),
    Metric("tiny-end", "VM of 2 MiB: its end, all memory given back", goal=BELOW_KVM),
    Metric("tiny-dram", "VM of 2 MiB: bytes of DRAM beside its memory", goal=BESIDE_GOAL, svm_goal=BESIDE_GOAL),
    Metric("large-pages", "bytes mapped by pages of 2 MiB or 1 GiB, %", goal=99, svm_goal=99, higher=True),
    Metric("nvram-exits", "exits in a pass over the mapped NVRAM", goal=0, svm_goal=0),
)
