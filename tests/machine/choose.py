"""Which machine to boot on: MACHINE=auto|qemu|bochs|qemu-kvm|nested|nested-vtx, and which vendor's extension each one gives."""
from dataclasses import dataclass
from pathlib import Path

VTX, SVM = "VT-x", "SVM"
EXTENSIONS = (("vmx", "kvm_intel", VTX), ("svm", "kvm_amd", SVM))  # CPU flag, KVM's module, name
NESTED = ("nested", "nested-vtx")  # in KVM, whose host is emulated
KINDS = ("qemu", "bochs", *NESTED, "qemu-kvm")


@dataclass(frozen=True)
class Host:
    """What decides about this host. flags: of its CPU. nested: KVM's loaded modules, each with its parameter of this
    name. kvm: why /dev/kvm cannot be opened, empty when it can."""

    flags: tuple = ()
    nested: tuple = ()
    kvm: str = ""


def this_host():
    flags, nested, kvm = (), [], ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                flags = tuple(line.split(":", 1)[1].split())
                break
    except OSError:
        pass
    for _, module, _ in EXTENSIONS:
        try:
            nested.append((module, Path(f"/sys/module/{module}/parameters/nested").read_text().strip()))
        except OSError:
            pass
    try:
        with open("/dev/kvm", "r+b"):
            pass
    except OSError as error:
        kvm = error.strerror
    return Host(flags, tuple(nested), kvm)


def nested(host):
    """(vendor, reason): whose extension QEMU/KVM gives to its guests on this host, or None and why there is none. A
    /dev/kvm alone says nothing about that."""
    for flag, module, vendor in EXTENSIONS:
        if flag not in host.flags:
            continue
        parameter = dict(host.nested).get(module)
        if parameter is None:
            return None, f"the module {module} is not loaded"
        if parameter not in ("Y", "1"):
            return None, f"{module}'s parameter nested is {parameter}"
        if host.kvm:
            return None, f"/dev/kvm cannot be opened: {host.kvm}"
        return vendor, f"nested {vendor} is here"
    return None, "the CPU's flags have neither vmx nor svm"


def choose(wanted, host=None):
    """(kind, reason): kind is one of KINDS. ValueError with one line when the wish is unknown or cannot be met."""
    if wanted not in ("auto", *KINDS):
        raise ValueError(f"MACHINE={wanted}: must be auto, {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if wanted in ("bochs", "qemu", *NESTED):
        return wanted, "asked for"
    vendor, reason = nested(host or this_host())
    if wanted == "auto":
        return ("qemu-kvm" if vendor else "qemu"), reason
    if not vendor:
        raise ValueError(f"MACHINE=qemu-kvm: {reason}")
    return "qemu-kvm", f"asked for; {reason}"


def vendor_of(kind):
    """The extension that a machine of this kind gives: VTX, SVM, or None for qemu-kvm on a host without nesting."""
    return {"bochs": VTX, "nested-vtx": VTX, "qemu": SVM, "nested": SVM}.get(kind) or nested(this_host())[0]
