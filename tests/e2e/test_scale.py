"""Many VMs at once."""
import json
import re
from collections import Counter

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_faults import guest
from tests.e2e.test_monitor import ask, ask_json, enter, states
from tests.machine.lab import Vm

FILES = {"idle.bin": guest("idle")}
COUNT, COUNT_BRIEF = 256, 48  # on Bochs, in make test, the latter
OPTIONS = 'console=com1 exit=monitor run="mem -o json"'
BESIDE_KIB = 64  # of DRAM, that a VM may cost beside its memory


def vm(name, kernel):
    return Vm(keys=f"vm={name} mem=2M", kernel=kernel, initrd="", args="root=none")


def dram(tables):
    return next(row for row in tables[0] if row["memory"] == "DRAM")


@test(core=True, long=True)
def test_many(t):
    """256 VMs of 2 MiB run at the same moment in 1 GiB; a kernel that does not fit in 2 MiB is refused; all memory comes
    back, to the byte."""
    count = COUNT_BRIEF if t.family == "bochs" and not t.soak else COUNT
    names = [f"tiny{number}" for number in range(count)]
    vms = [vm(name, "idle.bin") for name in names]
    with t.boot(t.setup(cpus=2, rom=False), vm("large", "vmlinuz"), *vms, files=FILES, options=OPTIONS) as machine:
        machine.expect(r"vm large: .*mem=2M is too small: the kernel needs \d+M", BOOT_LIMIT_S)
        idles = re.compile(r"^\[(\w+)\] guest: idles", re.M)
        machine.until(lambda: set(idles.findall(machine.log)) >= set(names[1:]), BOOT_LIMIT_S, "word of all that they idle")
        before = [json.loads(line) for line in re.findall(r"^(\[\{.*\}\])\r*$", machine.log, re.M)[:2]]
        equal(Counter(idles.findall(machine.log)), Counter(names[1:]), "who has said that it idles, but for the one in focus")
        enter(machine)
        equal(states(machine), {"large": "refused", **{name: "running" for name in names}}, "the states")
        full = dram(ask_json(machine, "mem"))["used"] - dram(before)["used"]
        check(full <= count * (2048 + BESIDE_KIB) << 10, f"{count} VMs of 2 MiB take {full} bytes")
        for name in names:
            ask(machine, f"vm stop {name} -y")
        equal(Counter(states(machine).values()), Counter(stopped=count, refused=1), "the states")
        equal(ask_json(machine, "mem"), before, "memory in use")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
