"""The machines of the benchmark, all with a TSC that advances one tick an instruction, and the boots on them: Permafrost
with the bench kernel or with Debian, and the peer, a Linux host with KVM that runs both."""
import re
import subprocess
from dataclasses import dataclass

from tests.machine.bochs import REFERENCE, RYZEN
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Lab, Setup, Vm, entry

ICOUNT = ("-icount", "shift=0,sleep=off")  # an instruction a nanosecond; waiting takes no time here
VMS = {
    "exits": Vm(kernel="exits", initrd="", args="root=none"),  # a VM without initrd must have a root=
    "tiny": Vm(keys="vm=db mem=2M", kernel="tiny", initrd="", args="root=none"),
    "debian": Vm(args="quiet rdinit=/bin/pf_bench"),
}
BENCH = BUILD / "bench"
KERNEL = BUILD / "linux" / "vmlinuz"
FILES = {
    "exits": {"exits": BENCH / "exits.bin"},
    "tiny": {"tiny": BENCH / "tiny.bin"},
    "debian": {"vmlinuz": KERNEL, "initrd": BENCH / "initrd.img"},
    "peer": {"vmlinuz": KERNEL, "peer": BENCH / "peer.img"},
}
OPTIONS = "console=com1 exit=poweroff loglevel=info mitigations=off"  # as the peer
PEER = "linux /boot/vmlinuz console=ttyS0 mitigations=off quiet"
# Bochs 2.7 announces MWAITX there without its timer, by which Linux waits in udelay(): it would for ever. (Guests are not
# shown MWAITX, by neither hypervisor.) A Debian in KVM there ends in a triple fault of the whole machine.
RYZEN_WORDS = "clearcpuid=mwaitx pf.peer=small"


@dataclass(frozen=True)
class Machine:
    """key: in file names and JSON; title: as a table's heading; package: Debian's, of the emulator; peer_words: what the
    kernel of KVM's host is told there."""

    key: str
    title: str
    package: str
    model: str
    setup: Setup
    limit_s: int
    peer_words: str = ""

    def description(self):
        """The emulator's version and its model."""
        shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", self.package], capture_output=True, text=True)
        version = re.search(r"^(?:\d+:)?([\d.]+)", shown.stdout)
        return " ".join(filter(None, [self.title.split()[-1], version and version[1], self.model]))

    def boot(self, kind, number):
        """The serial log of one boot, from power-on to the machine's own power-off."""
        lab = Lab(BENCH / f"{self.key}-{kind}-{number}")
        peer = [f"{PEER} {self.peer_words}".rstrip(), "initrd /boot/peer"]
        lines = peer if kind == "peer" else entry(VMS[kind], options=OPTIONS)
        files = FILES[kind] if kind == "peer" else {"permafrost.elf": BUILD / "permafrost.elf", **FILES[kind]}
        done = "PF-PEER: end" if kind == "peer" else "vm db: powered off"
        with lab.start(self.setup, lab.iso(lines, files)) as machine:
            ending = machine.wait_end(self.limit_s)
            if ending != "poweroff" or done not in machine.log:
                raise machine.failure(f"the {kind} boot ended by {ending}")
            return machine.log


MACHINES = (
    Machine("vtx", "VT-x on Bochs", "bochs", REFERENCE, Setup(model=REFERENCE), 480),
    Machine("svm", "SVM on QEMU", "qemu-system-x86", "TCG -icount shift=0", Setup(kind="qemu", extra=ICOUNT), 240),
    Machine("ryzen", "SVM on Bochs", "bochs", RYZEN, Setup(model=RYZEN), 480, RYZEN_WORDS),
)


def find(pattern, log):
    match = re.search(pattern, log, re.M)
    if not match:
        raise Failure(f"no line matches {pattern!r} in the log:\n{log[-1500:]}")
    return match


def numbers(prefix, log):
    """{name: number} of the lines 'PREFIX NAME NUMBER'."""
    return {name: int(value) for name, value in re.findall(rf"^{prefix} (\S+) +(\d+)\r*$", log, re.M)}


def percent(part, whole):
    return round(100 * part / whole, 3)


def large_percent(log):
    small, *large = map(
        int, find(r"mapped in pages of 4 KiB: (\d+) KiB, 2 MiB: (\d+) KiB, 1 GiB: (\d+) KiB", log).groups()
    )
    return percent(sum(large), small + sum(large))


def read_exits(log):
    """{key: value} of the bench kernel. A pass over the NVRAM must show no exit in either count."""
    values = numbers("PF-BENCH:", log)
    find(r"^PF-BENCH: nvram-pages [1-9]\d*\r*$", log)
    values["nvram-exits"] += numbers("vm db: exits", log).get("memory", 0)
    return values


def read_tiny(log):
    """From nothing to the VM's first instruction, and from its end to nothing, without what is logged in between."""
    start = int(find(r"^vm db: started at TSC (\d+),", log)[1])
    ticks = find(r"^vm db: built in (\d+) ticks of the TSC, taken apart in (\d+), (\d+) bytes", log)
    first = int(find(r"^PF-BENCH: first-tsc (\d+)\r*$", log)[1])
    return {"tiny-start": int(ticks[1]) + first - start, "tiny-end": int(ticks[2]), "tiny-dram": int(ticks[3])}


def read_debian(log):
    start = find(r"^vm db: started at TSC (\d+), (\d+) after the loader's jump\r*$", log)
    init = find(r"^PF-BENCH: init-tsc (\d+)\r*$", log)
    boot, entry = int(init[1]) - int(start[1]), int(start[2])
    values = {
        "boot": boot,
        "boot-whole": entry + boot,
        "entry": entry,
        "entry-log-bytes": find(r"^vm db: starts\r*$", log).start(),
        "exits": int(find(r"^vm db: (\d+) exits,", log)[1]),
        "large-pages": large_percent(log),
    }
    values.update({f"exits-{kind}": count for kind, count in numbers("vm db: exits", log).items()})
    return values


def peer_boot(log):
    """What one start of Debian on the peer took; `log` is that start's part."""
    return int(find(r"^PF-BENCH: init-tsc (\d+)\r*$", log)[1]) - int(find(r"^PF-PEER: start-tsc (\d+)\r*$", log)[1])


def peer_tiny(log):
    """Its best rounds: the first one touches what the next ones find."""
    firsts = map(int, re.findall(r"^PF-BENCH: first-tsc (\d+)\r*$", log, re.M))
    rounds = [map(int, words) for words in re.findall(r"^PF-PEER: round (\d+) (\d+) (\d+)\r*$", log, re.M)]
    starts, ends = zip(*((create + first - start, end) for first, (create, start, end) in zip(firsts, rounds)))
    beside = int(find(r"^PF-PEER: beside (\d+)\r*$", log)[1])
    return {"tiny-start": min(starts), "tiny-end": min(ends), "tiny-dram": beside}


def read_peer(log):
    """The same keys as of ours, as far as KVM has them."""
    wrong = re.search(r"^PF-PEER: error: .*", log, re.M)
    if wrong:
        raise Failure(f"{wrong[0]}:\n{log[-1500:]}")
    host = find(r"^PF-PEER: host (.*?)\r*$", log)[1]
    exits, tiny, *debian = re.split(r"^PF-PEER: (?:tiny|debian \w+)\r*$", log, flags=re.M)
    return {**numbers("PF-BENCH:", exits), **peer_tiny(tiny), "host": host, **(peer_debian(*debian) if debian else {})}


def peer_debian(lazy, populated):
    """Of the parts of the log with its two starts. Exits and pages are those of the better one."""
    stats = numbers("PF-PEER: stat", populated)
    small, large = stats.get("pages_4k", 0), 512 * stats.get("pages_2m", 0) + 512 * 512 * stats.get("pages_1g", 0)
    return {
        "boot": peer_boot(populated),
        "boot-whole": peer_boot(lazy),
        "exits": stats["exits"],
        "large-pages": percent(large, small + large),
        **{f"exits-{name.removesuffix('_exits')}": n for name, n in stats.items() if name.endswith("_exits")},
    }


READERS = {"exits": read_exits, "tiny": read_tiny, "debian": read_debian, "peer": read_peer}
