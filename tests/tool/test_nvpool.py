"""The off-line tool on image files: what it does, what it says, what it leaves alone."""
import ctypes
import fcntl
import mmap
import os

from tests.e2e.harness import check, equal
from tests.tool.image import MIB, SUPERBLOCKS, Image

TESTS = []


def test(function):
    """Registers a function(folder, random)."""
    TESTS.append(function)
    return function


def pool(folder, mib=64):
    image = Image(folder / "nvram.img", mib)
    image.run("format", says="formatted: pool ")
    return image


def contents(random, size):
    """Bytes with holes in them."""
    data = bytearray(size)
    for _ in range(40):
        at = random.randrange(size)
        piece = random.randbytes(min(5000, size - at))
        data[at : at + len(piece)] = piece
    data[-1] = 0x5A
    return bytes(data)


def unchanged(image, before, what):
    check(image.bytes() == before, f"{what} changed the image")


@test
def test_regions(folder, random):
    image = Image(folder / "nvram.img", 64)
    image.run("list", status=1, says="blank, no pool is there: `format` makes one")
    image.run("create", "a", "2M", status=1, says="blank")
    check(not any(image.bytes()), "a verb wrote to a blank image")
    image.run("format")
    image.run("create", "db-data", "8M", "db", says="created db-data, 8 MiB, 1 extents")
    image.run("create", "scratch", "4M")
    image.run("grow", "scratch", "+2M")
    image.run("shrink", "scratch", "-4M", "-y")
    image.run("rename", "scratch", "tmp")
    image.run("clone", "db-data", "copy")
    image.run("grant", "copy", "web", "ro")
    regions = image.regions()
    equal({name: (row["size"], row["owner"]) for name, row in regions.items()},
          {"db-data": (8 * MIB, "db"), "tmp": (2 * MIB, "-"), "copy": (8 * MIB, "db")}, "regions")
    totals = image.tables("list")[1][0]
    equal(totals["total"], 64 * MIB, "total")
    equal(sum(totals[key] for key in ("metadata", "used", "scrub", "bad", "free")), 64 * MIB, "sum of the totals")
    equal(image.tables("show", "copy")[1], [{"vm": "web", "access": "ro"}], "grants")
    image.run("delete", "copy", status=1, says="delete wants -y when nobody can be asked")
    image.run("-y", "delete", "copy", says="deleted copy")
    image.run("scrub", "wait", says="nothing left to scrub")
    image.run("bad", "0x2000000", says="granule 0x2000000")
    image.run("-v", "check", says="all is well")


@test
def test_import_export(folder, random):
    image = pool(folder)
    for size in (2 * MIB, 5 * MIB + 12345, 1):
        data = contents(random, size)
        (folder / "in").write_bytes(data)
        image.run("import", f"r{size}", folder / "in", "db", says=f"imported r{size}, ")
        image.run("export", f"r{size}", folder / f"out{size}", says=f"exported r{size}, ")
        out = (folder / f"out{size}").read_bytes()
        check(out[:size] == data and not any(out[size:]), f"{size} bytes came back changed")
        equal(len(out) % (2 * MIB), 0, "odd bytes of an export")
    check(os.stat(folder / "out1").st_blocks * 512 < MIB, "the export of zeros has no holes")
    with open(folder / "pipe", "wb") as file:
        equal(image.start("export", f"r{2 * MIB}", "-", stdout=file).wait(60), 0, "status of an export to -")
    check((folder / "pipe").read_bytes() == (folder / f"out{2 * MIB}").read_bytes(), "export to - differs")
    image.run("clone", f"r{2 * MIB}", "copy")
    image.run("export", "copy", folder / "copy")
    check((folder / "copy").read_bytes() == (folder / f"out{2 * MIB}").read_bytes(), "a clone differs")


@test
def test_import_export_refused(folder, random):
    image = pool(folder)
    image.run("create", "a", "2M")
    (folder / "there").write_bytes(b"mine")
    image.run("export", "a", folder / "there", status=1, says="is there already: -y overwrites it")
    equal((folder / "there").read_bytes(), b"mine", "a file that was not to be overwritten")
    before = image.bytes()
    image.run("-y", "export", "a", image.path, status=2, says="is the pool's own image")
    image.run("import", "b", image.path, status=2, says="is the pool's own image")
    image.run("import", "b", folder / "missing", status=1, says="No such file")
    image.run("import", "a", folder / "there", status=1, says="a region named a is there already")
    (folder / "empty").write_bytes(b"")
    image.run("import", "b", folder / "empty", status=2, says="is empty")
    with open(folder / "large", "wb") as file:
        file.truncate(65 * MIB)
    image.run("import", "b", folder / "large", status=1, says="no room for")
    image.run("export", "none", folder / "x", status=1, says="no region is named none")
    unchanged(image, before, "what was refused")
    image.run("-y", "export", "a", folder / "there")
    equal((folder / "there").stat().st_size, 2 * MIB, "size of an export over a file")


@test
def test_one_damaged_copy(folder, random):
    image = pool(folder)
    image.run("create", "a", "2M")
    for at in (SUPERBLOCKS[0] + 70, SUPERBLOCKS[1] + 70, *(record + 130 for record in image.records("a"))):
        image.damage(at)
        damaged = image.bytes()
        image.run("check", status=1, says="1 objects have one damaged copy: nothing is lost, `check mend` rewrites it")
        image.run("list", says="this was mended in memory only")
        image.run("-r", "check", status=1)
        image.run("-r", "check", "mend", status=1, says="-r was given")
        unchanged(image, damaged, "a verb that reads")
        image.run("check", "mend", says="all is well")
        image.run("check", says="all is well")


@test
def test_lost_record(folder, random):
    image = pool(folder)
    data = contents(random, 4 * MIB)
    (folder / "in").write_bytes(data)
    for name in ("one", "two", "three"):
        image.run("import", name, folder / "in", "db")
    for at in image.records("two"):
        image.damage(at + 130)
    damaged = image.bytes()
    image.run("list", status=1, says="both copies of a record are damaged")
    image.run("list", status=1, says="going on without 1 damaged records")
    image.run("check", status=1, says="1 records were passed over")
    image.run("info", status=1, says="the pool does not mount: both copies of a record are damaged")
    image.run("create", "four", "2M", status=1, says="`repair` gives up what is damaged")
    image.run("repair", status=1, says="two")
    equal(set(image.regions(status=1)), {"one", "three"}, "regions of a damaged pool")
    image.run("export", "one", folder / "one", status=1, says="exported one")
    check((folder / "one").read_bytes() == data, "an intact region of a damaged pool came out changed")
    image.run("export", "two", folder / "two", status=1, says="no region is named two")
    unchanged(image, damaged, "a verb that reads, or was refused,")
    image.run("-y", "repair", says="repaired: gave up 1 records")
    equal(set(image.regions()), {"one", "three"}, "regions after the repair")
    image.run("export", "three", folder / "three")
    check((folder / "three").read_bytes() == data, "an intact region was changed by the repair")
    image.run("scrub", "wait")
    image.run("-v", "check", says="all is well")
    image.run("repair", says="nothing to repair")


@test
def test_other_contents(folder, random):
    image = pool(folder)
    image.run("create", "a", "2M")
    image.set_version(3)
    newer = image.bytes()
    for words in (("list",), ("check",), ("check", "mend"), ("create", "b", "2M"), ("repair", "-y"), ("info",)):
        image.run(*words, status=1, says="the pool has a format version unknown here")
    image.run("format", status=1, says="holds a pool of another version: -y gives it up")
    equal(image.tables("info", status=1)[0][0]["version"], 3, "version that info tells")
    unchanged(image, newer, "a verb on a pool of a newer version")
    foreign = Image(folder / "foreign.img", 16)
    foreign.damage(5 * MIB)
    foreign.run("list", status=1)
    foreign.damage(6 * MIB)
    before = foreign.bytes()
    foreign.run("info", status=1, says="foreign data")
    foreign.run("format", status=1, says="holds data that are not a pool's: -y gives it up")
    foreign.run("create", "a", "2M", status=1, says="neither blank nor part of a pool")
    unchanged(foreign, before, "a verb on foreign data")
    foreign.run("format", "-y")
    foreign.run("scrub", "wait")
    foreign.run("-v", "check", says="all is well")


@test
def test_others_are_named(folder, random):
    """What other software marks its media with is told by its name, and never taken for blank."""
    marks = ((1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"), (0, b"XFSB", "an XFS file system"),
             (4096, b"NVDIMM_PFN_INFO", "a Linux namespace in fsdax mode"), (512, b"EFI PART", "a GPT partition table"))
    for at, mark, name in marks:
        image = Image(folder / "other.img", 16)
        image.write(at, mark)
        before = image.bytes()
        equal(image.tables("info", status=1)[0][0]["holds"], name, "what info tells")
        image.run("format", status=1, says=f"holds {name}: -y gives it up")
        image.run("create", "a", "2M", status=1, says=f"holds {name}: left alone")
        unchanged(image, before, "a verb on other software's media")


@test
def test_bad_memory(folder, random):
    """Bad granules are passed over, zero in what is made of the region, and told; a bad page of metadata leaves a pool
    that can be read."""
    image = pool(folder)
    data = contents(random, 8 * MIB)
    (folder / "in").write_bytes(data)
    image.run("import", "a", folder / "in")
    start = image.tables("show", "a")[-1][0]["hpa"]
    image.run("bad", start + 4 * MIB + 5, says="leaves with region a")
    without = data[: 4 * MIB] + bytes(2 * MIB) + data[6 * MIB :]
    image.run("clone", "a", "b", says="1 bad granules of 2 MiB were not read; the copy is zero there")
    image.run("export", "a", folder / "a", status=1, says="region a: 2 MiB at offset 0x400000 are bad and were not read")
    image.run("export", "b", folder / "b")
    check((folder / "a").read_bytes() == without and (folder / "b").read_bytes() == without, "not what is left of it")
    record = image.records("a")[0]
    image.run("-b", record, "list", says="the pool is read only")
    image.run("-b", record, "export", "b", folder / "b", "-y")
    check((folder / "b").read_bytes() == without, "not what was there")
    image.run("-b", record, "create", "c", "2M", status=1, says="the pool is read-only")
    image.run("-b", "x", "list", status=2)


@test
def test_ranges(folder, random):
    image = Image(folder / "memory.img", 128)
    other = Image(folder / "other.img", 33)
    with open(image.path, "r+b") as file:
        file.write(b"not a pool's")
    first, image.path = image.path, f"{image.path}@64M+32M"
    image.run("-i", f"{first}@100M+16M", "-i", f"{other.path}=8G", "format")
    more = ("-i", f"{other.path}=8G", "-i", f"{first}@100M+16M")  # in any order
    data = contents(random, 60 * MIB)
    (folder / "in").write_bytes(data)
    image.run(*more, "import", "wide", folder / "in", says="imported wide")
    check(len(image.tables(*more, "show", "wide")[2]) > 1, "a region across ranges has one extent")
    image.run(*more, "export", "wide", folder / "out")
    check((folder / "out").read_bytes() == data, "a region across ranges came out changed")
    image.run("list", status=1, says="a range of the pool is missing")
    image.run(*more, "-i", f"{other.path}=8G", "list", status=1, says="overlap")
    equal([row["holds"] for row in image.tables(*more, "info")[0]], ["pool"] * 3, "what the ranges hold")
    raw = first.read_bytes()
    check(raw[:12] == b"not a pool's" and not any(raw[12 : 64 * MIB]) and not any(raw[96 * MIB : 100 * MIB]),
          "something was written outside of the ranges")


def kill_at_call(image, holds, *words):
    """Runs a verb and kills it at the first system call after holds() is true: it is stopped at each (ptrace)."""
    trace_me, syscall, ptrace = 0, 24, ctypes.CDLL(None).ptrace
    process = image.start(*words, preexec_fn=lambda: ptrace(trace_me, 0, None, None))
    status = os.waitpid(process.pid, 0)[1]
    while os.WIFSTOPPED(status) and not holds():
        ptrace(syscall, process.pid, None, None)
        status = os.waitpid(process.pid, 0)[1]
    check(os.WIFSTOPPED(status), f"{words} came to its end: {status}")
    process.kill()
    equal(process.wait(), -9, f"how {words} ended")


@test
def test_killed_import(folder, random):
    with open(folder / "in", "wb") as file:
        for _ in range(24):
            file.write(random.randbytes(MIB) * 8)
    image = pool(folder, 256)
    image.run("create", "stays", "2M")
    kill_at_call(image, lambda: image.has_record("cut"), "import", "cut", folder / "in")
    equal(set(image.regions()), {"stays"}, "regions after a cut import")
    image.run("create", "more", "2M")
    check(not image.has_record("cut"), "the record of a cut import is still there")
    image.run("scrub", "wait")
    equal(set(image.regions()), {"stays", "more"}, "regions after the next start")
    image.run("-v", "check", says="all is well")
    image.run("import", "cut", folder / "in", says="imported cut, 192 MiB")


@test
def test_in_use(folder, random):
    image = pool(folder)
    with open(image.path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        image.run("list", status=1, says="in use: another nvpool or a running machine has it locked")
        fcntl.flock(file, fcntl.LOCK_SH)
        image.run("list")
        image.run("create", "a", "2M", status=1, says="in use")
        fcntl.flock(file, fcntl.LOCK_UN)
        with mmap.mmap(file.fileno(), 0):
            image.run("list", status=1, says=f"in use: process {os.getpid()} ")
    image.run("create", "a", "2M")


@test
def test_usage(folder, random):
    image = pool(folder)
    before = image.bytes()
    for words in ((), ("fly",), ("create",), ("create", "a"), ("list", "a"), ("-z", "list"), ("-o", "xml", "list"),
                  ("create", "a", "3M"), ("create", "a", "much"), ("create", "a/b", "2M"), ("check", "now"),
                  ("-o",), ("-i",)):
        image.run(*words, status=2)
    image.run("--help", says="usage: nvpool")
    image.run("-r", "create", "a", "2M", status=1, says="create would change the pool, and -r was given")
    image.run("-y", "delete", "none", status=1, says="no region is named none")
    equal(image.tables("create", "a", "3M", status=2)[0].keys(), {"error"}, "keys of an error in JSON")
    image.path = folder / "missing"
    image.run("list", status=1, says="No such file")
    image.path = f"{folder}/nvram.img@1000"
    image.run("list", status=1, says="is not a multiple of 4 KiB")
    image.path = f"{folder}/nvram.img@0+65M"
    image.run("list", status=1, says="the range does not lie in it")
    image.path = f"{folder}/nvram.img@x"
    image.run("list", status=2, says="PATH[@OFFSET[+SIZE]][=HPA] is expected")
    image.path = folder / "nvram.img"
    unchanged(image, before, "wrong usage")
