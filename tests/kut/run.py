"""kvm-unit-tests (x86) as guests, beside the same programs on the bare emulator. The suite is given by the path of its
built x86 folder; nothing of it is here. One line a test; what passes bare and not in a VM is a failure, or one of the
differences of known.py. Ends with "N passed, N failed, N as known" and the status.

usage: python3 -m tests.kut.run --suite FOLDER [--machine qemu|bochs] [--model MODEL] [--only PATTERN] [--show]
"""
import argparse
import re
import sys
import time
from pathlib import Path

from tests.kut import image, known
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Lab, Setup, Vm, entry
from tests.machine.memory import Memory

LIMIT_S = {"qemu": 100, "bochs": 600}  # altogether
SAID_MAX = 1 << 18  # of serial output, or a program repeats itself
QUIET_S = {"qemu": 20, "bochs": 45}  # a program that says nothing for so long hangs
LOOK_S = 0.2  # a machine that talks byte by byte is looked at so often
DONE = r"--- DONE: \d+ ---|permafrost monitor:"
# Nested virtualization, performance counters and other hypervisors' devices are not offered to guests.
NOT_OFFERED = r"vmx|svm|ept|pmu|hyperv|vmware|asyncpf|intel_iommu|intel-iommu|sev|vmexit|_fep|s3|efi"
OPTIONS = "console=com1 exit=monitor loglevel=warn"


def programs(folder):
    """The suite's own list, unittests.cfg: (name, file, arguments, CPUs), those that were built and make sense here."""
    found, seen = [], set()
    for part in re.split(r"^\[", (folder / "unittests.cfg").read_text(), flags=re.M)[1:]:
        name = part.split("]")[0]
        keys = dict(re.findall(r"^(\w+)\s*=\s*(.*)$", part, re.M))
        args = re.sub(r"`[^`]*`", "0", keys.get("test_args", "").strip("\"'"))
        what = (keys.get("file"), args, min(int(keys.get("smp", 1)), 2))
        if re.search(NOT_OFFERED, name) or what in seen or not (folder / what[0]).exists():
            continue
        seen.add(what)
        found.append((name, *what))
    return found


def follow(machine, quiet, limit):
    """What the program says, to its end, to the machine's, until it says nothing more, or has said enough. Times are the
    machine's own."""
    length, since = 0, machine.now()
    while machine.pump(5) and not re.search(DONE, machine.log[-1000:]):
        now = machine.now()
        if len(machine.log) > length:
            length, since = len(machine.log), now
        if now - since > quiet or now > limit or length > SAID_MAX:
            return
        time.sleep(LOOK_S)


def on_bare(lab, setup, program):
    name, file, args, cpus = program
    path = lab.folder / "env"
    path.write_bytes(image.environment(cpus, setup.memory.mib))
    lines = [f"multiboot /boot/elf {name} {args}".rstrip(), "module --nounzip /boot/env"]
    data = image.for_all(file, (image.FOLDER / file).read_bytes())
    elf = lab.folder / "elf"
    elf.write_bytes(image.for_x2apic(data) if setup.kind == "bochs" else data)  # QEMU 7.2 has none
    return lab.start(setup, lab.iso(lines, {"elf": elf, "env": path}))


def in_vm(lab, setup, program):
    name, file, args, cpus = program
    path = lab.folder / "elf"
    data = image.for_all(file, (image.FOLDER / file).read_bytes())
    path.write_bytes(image.environment(cpus, 256) + image.for_vm(file, data))
    vm = Vm(keys=f"vm=kut mem=256M vcpus={cpus}", kernel="multiboot.bin", initrd="elf")
    lines = [f"multiboot2 /boot/permafrost.elf {OPTIONS}", f"module2 /boot/multiboot.bin {vm.keys} -- {name} {args}".rstrip(),
             "module2 --nounzip /boot/elf initrd"]
    files = {"permafrost.elf": BUILD / "permafrost.elf", "multiboot.bin": BUILD / "guests" / "multiboot.bin", "elf": path}
    return lab.start(setup, lab.iso(lines, files))


def verdicts(log):
    """Counts of the lines PASS: and FAIL:, by their text without its numbers."""
    found = {"PASS": {}, "FAIL": {}}
    for verdict, text in re.findall(r"^(PASS|FAIL): (.*?)\s*$", log, re.M):
        text = re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "N", text)
        found[verdict][text] = found[verdict].get(text, 0) + 1
    return found


def run(lab, start, setup, program, limits):
    with start(lab, setup, program) as machine:
        follow(machine, *limits)
        return machine.log


def differences(bare, vm):
    """What passed bare and did not in the VM; what did at some of several times tells how often."""
    want, got = verdicts(bare)["PASS"], verdicts(vm)["PASS"]
    lines = [f"{text} ({got[text]} of {count})" if text in got else text
             for text, count in want.items() if got.get(text, 0) < count]
    if not lines and re.search(DONE, bare) and not re.search(r"--- DONE", vm) and "--- DONE" in bare:
        lines = ["(the end)"]
    return lines


def report(program, kind, bare, vm):
    """The verdict, and its line."""
    lost = differences(bare, vm)
    counts = ", ".join(f"{where} {len(re.findall(r'^PASS:', log, re.M))} passed" for where, log in (("bare", bare), ("VM", vm)))
    unknown = [text for text in lost if not known.reason(program[0], kind, text)]
    if unknown:
        return "failed", f"not ok {program[0]} ({counts}): " + "; ".join(unknown[:4])
    if lost:
        return "known", f"ok {program[0]} ({counts}), as known: {known.reason(program[0], kind, lost[0])}"
    return "passed", f"ok {program[0]} ({counts})"


def parse():
    parser = argparse.ArgumentParser(prog="tests.kut.run", description=__doc__)
    parser.add_argument("--suite", required=True, type=Path)
    parser.add_argument("--machine", default="qemu", choices=("qemu", "bochs"))
    parser.add_argument("--model", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--skip", default="")
    return parser.parse_args()


def main():
    args = parse()
    image.FOLDER = args.suite.absolute()
    tally = {"passed": 0, "failed": 0, "known": 0}
    for program in programs(image.FOLDER):
        if not re.search(args.only, program[0]) or (args.skip and re.search(args.skip, program[0])):
            continue
        lab = Lab(BUILD / "kut" / f"{program[0]}-{args.machine}")
        setup = Setup(kind=args.machine, model=args.model, rom=False, reboots=False, memory=Memory(mib=1024, nvram=()))
        setup = setup if program[3] == 1 else Setup(**{**setup.__dict__, "cpus": program[3]})
        try:
            logs = [run(lab, start, setup, program, (QUIET_S[args.machine], LIMIT_S[args.machine])) for start in (on_bare, in_vm)]
            verdict, line = report(program, args.machine, *logs)
        except Failure as failure:
            verdict, line = "failed", f"not ok {program[0]}: {failure}"
        tally[verdict] += 1
        print(line, flush=True)
    print(f"{tally['passed']} passed, {tally['failed']} failed, {tally['known']} as known")
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
