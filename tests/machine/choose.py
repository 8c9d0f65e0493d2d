"""Which machine to boot on: MACHINE=auto|bochs|qemu-kvm."""
from pathlib import Path


def nested_vtx():
    """None when this host gives nested VT-x to QEMU, else the reason why it does not, in one line."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "/proc/cpuinfo cannot be read"
    if " vmx" not in flags:
        return "the CPU's flags have no vmx"
    try:
        nested = Path("/sys/module/kvm_intel/parameters/nested").read_text().strip()
    except OSError:
        return "the module kvm_intel is not loaded"
    if nested not in ("Y", "1"):
        return f"kvm_intel's parameter nested is {nested}"
    try:
        with open("/dev/kvm", "r+b"):
            return None
    except OSError as error:
        return f"/dev/kvm cannot be opened: {error.strerror}"


def choose(wanted):
    """(kind, reason): kind is bochs or qemu-kvm. ValueError with one line when the wish is unknown or cannot be met."""
    if wanted not in ("auto", "bochs", "qemu-kvm"):
        raise ValueError(f"MACHINE={wanted}: must be auto, bochs or qemu-kvm")
    if wanted == "bochs":
        return "bochs", "asked for"
    obstacle = nested_vtx()
    if wanted == "qemu-kvm":
        if obstacle:
            raise ValueError(f"MACHINE=qemu-kvm: {obstacle}")
        return "qemu-kvm", "asked for"
    return ("bochs", obstacle) if obstacle else ("qemu-kvm", "nested VT-x is here")
