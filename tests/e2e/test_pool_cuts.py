"""The pool under power cuts on the machine: a seeded script of operations is typed into the monitor beside a live guest,
the emulator is killed at seeded moments, and each time the NVRAM is looked at twice: by the off-line tool as the cut left
it, byte by byte, and by the hypervisor and its guest after the next start."""
import json
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_monitor import ENTER, PROMPT, ask, ask_json, enter
from tests.machine import bounded
from tests.machine.lab import BUILD, Vm
from tests.machine.memory import MIB

CUTS = {"qemu": (10, 100), "bochs": (4, 50)}  # in make test, in make soak
GRANULE = 2 * MIB
SPACE = 100  # granules the script may use; of 189
LARGEST = 12
BATCH = 4  # operations typed at once
KEPT = "kept"  # the guest's own region
FILES = {"keeper.bin": BUILD / "guests" / "keeper.bin"}
TOOL_LIMIT_S = 60  # of CPU time


class Pool:
    """What should be in the pool: name to granules, each told by the seed's granule that it holds, or 0 for zeros."""

    def __init__(self, regions):
        self.regions = dict(regions)

    def used(self):
        return sum(len(content) for content in self.regions.values())

    def sizes(self):
        return {name: len(content) * GRANULE for name, content in self.regions.items()}


class Script:
    """Makes up operations that succeed, and what they make of the pool."""

    def __init__(self, random, pool):
        self.random, self.pool, self.names = random, pool, 0

    def fresh(self):
        self.names += 1
        return f"r{self.names}"

    def next(self):
        """A line for the monitor; self.pool is then the pool after it."""
        regions = dict(self.pool.regions)
        others = [name for name in regions if name not in (KEPT, "seed")]
        room = SPACE - self.pool.used()
        kind = self.random.choice(["create", "grow", "shrink", "rename", "clone", "clone", "delete", "grant", "scrub"])
        name = self.random.choice(others or ["seed"])
        size = len(regions[name])
        line = "nv scrub wait"
        if kind == "clone" and room >= size:
            new = self.fresh()
            regions[new] = regions[name]
            line = f"nv clone {name} {new}"
        elif (kind == "create" or not others) and room >= LARGEST:
            new, granules = self.fresh(), self.random.randint(1, LARGEST)
            regions[new] = (0,) * granules
            line = f"nv create {new} {granules * 2}M keeper"
        elif not others:
            pass
        elif kind == "grow" and room >= 4:
            more = self.random.randint(1, 4)
            regions[name] += (0,) * more
            line = f"nv grow {name} +{more * 2}M"
        elif kind == "shrink" and size > 1:
            keep = self.random.randint(1, size - 1)
            regions[name] = regions[name][:keep]
            line = f"nv shrink {name} {keep * 2}M -y"
        elif kind == "rename":
            new = self.fresh()
            regions[new] = regions.pop(name)
            line = f"nv rename {name} {new}"
        elif kind == "delete":
            del regions[name]
            line = f"nv delete {name} -y"
        elif kind == "grant":
            line = f"nv grant {name} friend ro"
        self.pool = Pool(regions)
        return line


class Tool:
    """build/nvpool on the memory file of a machine that is off."""

    def __init__(self, lab, setup, folder):
        parts = [f"{p.path}@{p.offset}+{p.size}={p.base}" for p in lab.nvram(setup)]
        self.images = [parts[0]] + [word for part in parts[1:] for word in ("-i", part)]
        self.folder = folder

    def call(self, *words):
        command = [BUILD / "nvpool", *words[:-1], *self.images, *words[-1]]
        return bounded.run(command, TOOL_LIMIT_S, capture_output=True, text=True)

    def run(self, *words):
        done = self.call(*words)
        check(done.returncode == 0, f"{' '.join(map(str, done.args))}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def check_after_cut(self):
        """All is well; or one object, which was being written, has one good copy and one that is cut short."""
        done = self.call("-r", "-v", ["check"])
        half = re.search("^nvpool: 1 objects have one damaged copy: nothing is lost", done.stderr, re.M)
        check(done.returncode == 0 or half, f"check: status {done.returncode}: {done.stdout}{done.stderr}")

    def sizes(self):
        table = json.loads(self.run("-r", "-o", "json", ["list"]).splitlines()[0])
        return {row["name"]: row["size"] for row in table}

    def contents(self, name):
        path = self.folder / "exported"
        path.unlink(missing_ok=True)
        self.run("-r", ["export", name, str(path)])
        return path.read_bytes()


def is_stored(t, setup):
    """The tool finds a sound pool after a cut, and in it what the demonstration's first boot stored."""
    tool = Tool(t.lab, setup, t.folder)
    tool.check_after_cut()
    check(b"boot 1: stored by Linux" in tool.contents("db-data"), "the tool does not find what Debian has stored")


def matches(tool, pool, seed):
    """Whether the pool on the media is this one, to the byte. The guest's own region is its to judge."""
    if tool.sizes() != pool.sizes():
        return False
    zeros = bytes(GRANULE)
    for name, content in pool.regions.items():
        if name == KEPT:
            continue
        found = tool.contents(name)
        for i, number in enumerate(content):
            wanted = seed[number] if number else zeros
            if found[i * GRANULE : (i + 1) * GRANULE] != wanted:
                return False
    return True


def look(machine, known):
    """The guest's count after a start: nothing that it told is lost."""
    found = machine.expect(r"^keeper: found ([0-9a-f]{8}) (ok|no)\r?$", BOOT_LIMIT_S)
    equal(found[2], "ok", "the guest's line of its last number")
    count = int(found[1], 16)
    check(known <= count <= known + 1, f"the guest finds {count}, told was {known}")


def counted(log, known):
    return max([known, *(int(n, 16) for n in re.findall(r"^keeper: count ([0-9a-f]{8})\r?$", log, re.M))])


def enter_and_pause(machine):
    """The guest stands still from here on, and what it has said unseen before it did is in the log."""
    enter(machine)
    ask(machine, "vm pause keeper")
    ask(machine, "vm log keeper")


def boot(t, setup):
    keeper = Vm(keys=f"vm=keeper mem=32M nvram={KEPT}:2M", kernel="keeper.bin", initrd="", args="root=none")
    return t.boot(setup, keeper, options="console=com1 exit=poweroff", files=FILES)


def prepare(t, setup, tool):
    """The first boot makes the pool and the guest's region; the tool adds a region of random bytes."""
    with boot(t, setup) as machine:
        look(machine, 0)
        machine.expect(r"^keeper: count", BOOT_LIMIT_S)
        enter_and_pause(machine)
        began = machine.now()
        ask(machine, "nv scrub wait")
        ask(machine, "nv create r0 8M keeper")
        ask(machine, "nv delete r0 -y")
        took = machine.now() - began
        machine.cut()
        known = counted(machine.log, 0)
    seed = [b""] + [t.random.randbytes(GRANULE) for _ in range(8)]
    (t.folder / "seed").write_bytes(b"".join(seed))
    tool.run(["import", "seed", str(t.folder / "seed"), "keeper"])
    return seed, known, took


def type_batch(machine, script):
    """Types a batch at once; the pools before and after each of its lines."""
    pools, lines = [script.pool], []
    for _ in range(BATCH):
        lines.append(script.next())
        pools.append(script.pool)
    since = len(machine.log)
    machine.send("".join(f"{line}\r" for line in lines) + ENTER)
    return pools, lines, since


def done_in(text):
    """How many lines of a batch were answered: each answer ends in a prompt."""
    check("error:" not in text, f"an operation failed: {text[-1500:]}")
    return text.count(PROMPT)


@test(core=True, long=True)
def test_pool_cuts(t):
    cuts = CUTS[t.family][t.soak]
    setup = t.lasting()
    tool = Tool(t.lab, setup, t.folder)
    seed, known, longest = prepare(t, setup, tool)
    script = Script(t.random, Pool({KEPT: (0,), "seed": tuple(range(1, 9))}))
    check(matches(tool, script.pool, seed), "the pool that was prepared is not as it should be")
    for number in range(1, cuts + 1):
        where = f"cut {number}"
        with t.start(setup, t.folder / "boot.iso") as machine:
            look(machine, known)
            machine.expect(r"^keeper: count", BOOT_LIMIT_S)
            enter_and_pause(machine)
            equal({row["name"]: row["size"] for row in ask_json(machine, "nv list")[0]}, script.pool.sizes(), where)
            check("error" not in ask(machine, "nv check"), f"{where}: nv check: {machine.log[-500:]}")
            pools, lines, since = type_batch(machine, script)
            machine.run_for(t.random.uniform(0, longest))
            machine.cut()
            known = counted(machine.log, known)
            done = done_in(machine.log[since:])
        allowed = pools[done : done + 2]
        tool.check_after_cut()
        kept = [pool for pool in allowed if matches(tool, pool, seed)]
        check(kept, f"{where}, after {done} of {lines}: found {tool.sizes()}, may be {[p.sizes() for p in allowed]}")
        script.pool = kept[0]


@test(long=True)
def test_shared_read_only(t):
    """Debian's kernel with a region of another VM, read-only: it mounts what that one wrote and cannot write."""
    args = "quiet pf.mode=steps pf.steps="
    writer = Vm(name="writer", nvram="shared:32M", args=f"{args}write-boot pf.name=writer")
    reader = Vm(name="reader", nvram="shared:32M:ro", args=f"{args}read-only", more="after=writer")
    options = 'console=com1 exit=poweroff run="nv create shared 32M writer; nv grant shared reader ro"'
    with t.boot(t.setup(), writer, reader, options=options) as machine:
        machine.expect(r"^PF-TEST: write-boot ok", BOOT_LIMIT_S)
        machine.expect(r"^PF-TEST: read-only ok written by writer", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test()
def test_pool_from_run(t):
    """Operations from run= before any VM, a bad granule from the command line, and all of it after a restart."""
    setup = t.setup(keep=True)
    bad = setup.memory.nvram[1].base + 8 * MIB
    options = (
        f"console=com1 exit=monitor nvram-bad={bad:#x} "
        'run="nv create scratch 64M; nv create shared 4M keeper" run="nv grant shared other ro; nv delete scratch" '
        'run="nv delete scratch -y; nv clone shared copy; nv grow copy +6M" run="nv list -o json"'
    )
    keeper = Vm(keys="vm=keeper mem=32M nvram=shared:4M nvram-max=14M", kernel="keeper.bin", initrd="", args="root=none")
    other = Vm(keys="vm=other after=keeper mem=32M nvram=shared:4M:ro", kernel="keeper.bin", initrd="", args="root=none")
    greedy = Vm(keys="vm=greedy after=other mem=32M nvram=more:8M nvram-max=6M", kernel="keeper.bin", initrd="", args="root=none")
    with t.boot(setup, keeper, other, greedy, options=options, files=FILES) as machine:
        machine.expect(r"^error: run: nv delete scratch: failed", BOOT_LIMIT_S)
        machine.expect(r"^run: nv list -o json", BOOT_LIMIT_S)
        table = json.loads(machine.expect(r"^\[.*\]", BOOT_LIMIT_S)[0])
        sizes = {"shared": 4 * MIB, "copy": 10 * MIB}
        equal({row["name"]: row["size"] for row in table}, sizes, "the regions")
        machine.expect(r"^keeper: count", BOOT_LIMIT_S)
        enter(machine)
        check("attached" in ask(machine, "nv rename shared other"), "renaming an attached region")
        equal([row["granule"] for row in ask_json(machine, "nv bad")[0]], [bad], "the bad granules")
        check("quota" in ask(machine, "nv create mine 2M keeper"), "the quota")
        ask(machine, "vm stop keeper -y")
        # The next guest has the region read-only: its store to it is a fault of its own.
        machine.expect(r"error: vm other: triple fault", BOOT_LIMIT_S)
        machine.expect(r"keeper: found [0-9a-f]{8} ok", BOOT_LIMIT_S)
        machine.expect(r"nvram-max=6M: 0 MiB are owned and 8 MiB more are wanted", BOOT_LIMIT_S)
        machine.cut()
    options = 'console=com1 exit=monitor run="nv list -o json; nv bad -o json; nv check -v"'
    with t.boot(setup, options=options, files=FILES) as machine:
        table = json.loads(machine.expect(r"^\[.*\]", BOOT_LIMIT_S)[0])
        equal({row["name"]: row["size"] for row in table}, sizes, "the regions after a restart")
        machine.expect(r"^run: nv bad", BOOT_LIMIT_S)
        equal([row["granule"] for row in json.loads(machine.expect(r"^\[.*\]", BOOT_LIMIT_S)[0])], [bad], "the bad granules")
        machine.expect(r"^run: nv check -v", BOOT_LIMIT_S)
        machine.expect(r"permafrost monitor: help", BOOT_LIMIT_S)
        check("error: run: nv check" not in machine.log, machine.log[-800:])

