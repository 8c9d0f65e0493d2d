"""Boots to user space on every CPU model, refuses CPUs that cannot do it, and reads the memory map as it is."""
import gzip
import json
import re
from collections import Counter

from tests.e2e.harness import BOCHS, BOOT_LIMIT_S, QEMU, check, equal, test
from tests.machine import acpi
from tests.machine.initramfs import Newc
from tests.machine.lab import BUILD, Setup, Vm
from tests.machine.memory import LEGACY_PERSISTENT, MIB, PERSISTENT, RAM, RESERVED, THESIS, Memory, Range
from tests.machine.qemu import TCG_CPU

ROW = r"0x([0-9a-f]+) +0x([0-9a-f]+) +[\d.]+ [KMGT]?i?B +(\S.*?) +(E820 type \d+|EFI type \d+|ACPI NFIT|nvram=|boot loader)"


def map_rows(log):
    """The hypervisor's table: [(first, last, kind, source)]."""
    return [(int(a, 16), int(b, 16), kind, source) for a, b, kind, source in re.findall(ROW, log)]


def covering(rows, address):
    """The one row that holds an address."""
    holds = [row for row in rows if row[0] <= address <= row[1]]
    check(len(holds) == 1, f"{len(holds)} rows hold {address:#x}: {rows}")
    return holds[0]


def boot_to_user_space(t, model=""):
    vm = Vm(args="quiet pf.mode=steps pf.steps=info")
    setup = t.setup(model=model)
    with t.boot(setup, vm) as machine:
        machine.expect(rf"^virt: {setup.vendor} with ", BOOT_LIMIT_S)
        machine.expect(r"^PF-INIT: ", BOOT_LIMIT_S)
        size = machine.expect(r"^PF-STATE: pmem0 bytes=(\d+)", BOOT_LIMIT_S)
        equal(int(size[1]), 64 * MIB, "size of /dev/pmem0")
        machine.expect(r"^PF-STATE: clock sources=.*\bkvm-clock\b", BOOT_LIMIT_S)
        machine.expect(r"^PF-END: poweroff", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test(core=True)
def test_boot(t):
    """Bochs' reference model is corei7_haswell_4770; QEMU's is the most that TCG can do."""
    boot_to_user_space(t)


@test(on=QEMU)
def test_boot_packed_initrd(t):
    """An initrd of two gzip members, filled up with zeros, comes to the guest as it is: GRUB would unpack the first and
    lose the second. One that is cut is told of."""
    first = Newc()
    first.add("first", 0o100644, b"one")
    whole = (BUILD / "initrd.img").read_bytes()
    packed, cut = t.folder / "packed", t.folder / "cut"
    packed.write_bytes(gzip.compress(first.finish()) + gzip.compress(whole, 1) + bytes(4096))
    cut.write_bytes(whole[: len(whole) // 2])
    guests = [Vm(name="packed", initrd="packed", nvram="", args="quiet pf.mode=steps pf.steps=info"),
              Vm(keys="vm=cut mem=64M", kernel="power_off.bin", initrd="cut", args="root=none")]
    files = {"packed": packed, "cut": cut, "power_off.bin": BUILD / "guests" / "power_off.bin"}
    with t.boot(t.setup(), *guests, files=files) as machine:
        machine.expect("^warning: vm cut: its initrd looks cut: the cpio archive ends without its trailer", BOOT_LIMIT_S)
        machine.expect(r"^PF-INIT: ", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
        equal(machine.log.count("looks cut"), 1, "initrds told to be cut")


@test(on=QEMU)
def test_boot_small_pages(t):
    """SVM without 1 GiB pages."""
    boot_to_user_space(t, f"{TCG_CPU},-pdpe1gb")


def wait_for_screen(machine, text):
    """The text screen, once it shows this text."""

    def shown():
        screen = text_screen(machine)
        return text in screen and screen

    return machine.until(shown, BOOT_LIMIT_S, f"{text!r} on the screen")


@test(on=QEMU)
def test_boot_bare(t):
    """A machine without COM1, 8259, 8254, HPET and keyboard controller: by COM2, and by the screen alone."""
    vm = Vm(args="quiet pf.mode=steps pf.steps=info")
    with t.boot(t.setup(bare=True), vm, options="console=com2 exit=poweroff") as machine:
        machine.expect(r"^timer: TSC runs at \d+ kHz, by the ACPI PM timer", BOOT_LIMIT_S)
        machine.expect(r"^PF-END: poweroff", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    with t.boot(t.setup(bare=True), vm, options="console=com1 exit=halt loglevel=warn") as machine:
        screen = wait_for_screen(machine, "PF-END: poweroff")
        check("console: no serial port at 0x3f8" in screen, f"the screen does not tell of COM1:\n{screen}")
        equal(machine.log, "", "output on COM2")


@test(on=BOCHS, soak=True, long=True)
def test_boot_arrandale(t):
    boot_to_user_space(t, "corei5_arrandale_m520")


@test(on=BOCHS, soak=True, long=True)
def test_boot_broadwell(t):
    boot_to_user_space(t, "broadwell_ult")


@test(on=BOCHS, soak=True, long=True)
def test_boot_skylake(t):
    boot_to_user_space(t, "corei7_skylake_x")


@test(core=True)
def test_memory_map(t):
    """Types 7, 12 and 90 as the firmware tells them are NVRAM in the log, byte for byte."""
    setup = t.setup()
    with t.boot(setup) as machine:
        machine.expect(r"memory map: \d+ ranges, \S+ \S+ of DRAM, (\S+ \S+) of NVRAM", BOOT_LIMIT_S)
        rows = map_rows(machine.log)
    nvram = [row for row in rows if "NVRAM" in row[2]]
    kinds = {PERSISTENT: "NVRAM persistent", LEGACY_PERSISTENT: "NVRAM legacy", THESIS: "NVRAM vendor"}
    expected = [
        (r.base, r.base + r.size - 1, kinds[r.kind], f"E820 type {r.kind}") for r in setup.memory.nvram
    ]
    equal(nvram, sorted(expected), "NVRAM in the table")


@test()
def test_log_is_short(t):
    """At the default level a boot tells a line a subsystem, and one for each range of NVRAM; the ring has the rest."""
    options = 'console=com1 exit=poweroff loglevel=notice run="log -o json"'
    vm = Vm(keys="vm=tiny mem=64M", kernel="power_off.bin", initrd="", args="root=none")
    with t.boot(t.setup(cpus=2), vm, options=options, files={"power_off.bin": BUILD / "guests" / "power_off.bin"}) as machine:
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
        log = machine.log[machine.log.index("Permafrost ") :].replace("\r", "")
    kept = [row["line"] for row in json.loads(re.search(r"^\[.*\]$", log, re.M)[0])]
    lines = log[: log.index("run: ")].splitlines()
    subsystems = Counter(line.split(":")[0] for line in lines if ": " in line and "formatted as range" not in line)
    equal({name: count for name, count in subsystems.items() if count > 1}, {}, "subsystems with more than a line")
    equal(len(map_rows("\n".join(lines))), 3, "ranges in the log")
    check(len(map_rows("\n".join(kept))) > 10, f"ranges in the ring: {kept}")
    check(not set(lines[1:]) - set(kept), f"lines that the ring has not: {set(lines[1:]) - set(kept)}")


@test()
def test_memory_map_broken(t):
    """Entries out of order, overlapping and empty. (GRUB flattens overlaps before anyone else sees them, the one that
    starts first wins; what Permafrost makes of the others and of entries that wrap is for the unit tests.)"""
    top = 1023 * MIB
    rows = (
        Range(0x30000000, 32 * MIB, PERSISTENT),
        Range(0, 0x9FC00, RAM),
        Range(0x10000000, 0, PERSISTENT),
        Range(0x20000000, 64 * MIB, LEGACY_PERSISTENT),
        Range(0x34000000, top - 0x34000000, RAM),
        Range(0x9FC00, 0x400, RESERVED),
        Range(MIB, 0x20000000 - MIB, RAM),
        Range(0x31000000, 32 * MIB, THESIS),
        Range(top, MIB, RESERVED),
        Range(0xE0000, 0x20000, RESERVED),
    )
    with t.boot(t.setup(memory=Memory(rows=rows))) as machine:
        machine.expect(r"memory map: \d+ ranges, \S+ \S+ of DRAM, (\S+ \S+) of NVRAM", BOOT_LIMIT_S)
        found = map_rows(machine.log)
    equal(found, sorted(found), "order of the table")
    for before, after in zip(found, found[1:]):
        check(before[1] < after[0], f"{before} overlaps {after}")
    nvram = [(first, last, kind) for first, last, kind, _ in found if "NVRAM" in kind]
    expected = [
        (0x20000000, 0x23FFFFFF, "NVRAM legacy"),
        (0x30000000, 0x31FFFFFF, "NVRAM persistent"),
        (0x32000000, 0x32FFFFFF, "NVRAM vendor"),
    ]
    equal(nvram, expected, "NVRAM in the table")
    equal(covering(found, 0x10000000)[2], "RAM", "the address of the empty entry")


@test(on=QEMU)
def test_many_stretches(t):
    """RAM in 80 pieces, as bad pages leave it, is used to the last; what more than 512 are is for the unit tests, as GRUB
    takes minutes over them."""
    pieces = [Range(0x20000000 + i * MIB, MIB - 4096, RAM) for i in range(80)]
    rows = (Range(0, 0x9FC00, RAM), Range(MIB, 0x20000000 - MIB, RAM), *pieces, Range(1023 * MIB, MIB, RESERVED))
    vm = Vm(keys="vm=tiny mem=64M", kernel="power_off.bin", initrd="", args="root=none")
    with t.boot(t.setup(memory=Memory(rows=rows)), vm, files={"power_off.bin": BUILD / "guests" / "power_off.bin"}) as machine:
        found = machine.expect(r"^memory: (\d+) MiB of DRAM free", BOOT_LIMIT_S)
        check(580 < int(found[1]) < 592, f"{found[1]} of 592 MiB are free")
        machine.expect("^vm tiny: powered off", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
        check("left out" not in machine.log, "something is left out")


@test()
def test_simulated_nvram(t):
    """nvram=SIZE@ADDR on a machine without NVRAM, told to be volatile."""
    options = "console=com1 exit=poweroff nvram=128M@0x20000000"
    vm = Vm(args="quiet pf.mode=steps pf.steps=info")
    with t.boot(t.setup(rom=False, memory=Memory(nvram=())), vm, options=options) as machine:
        machine.expect(r"^ *0x20000000 +0x27ffffff +128 MiB +NVRAM simulated \(volatile\) +nvram=", BOOT_LIMIT_S)
        machine.expect(r"nvram: pool of 1 ranges \(simulated, volatile\)", BOOT_LIMIT_S)
        size = machine.expect(r"^PF-STATE: pmem0 bytes=(\d+)", BOOT_LIMIT_S)
        equal(int(size[1]), 64 * MIB, "size of /dev/pmem0")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


def power_off(t, dsdt):
    """Boots with this DSDT to the end, and returns the machine's log from there."""
    table = t.folder / "dsdt.aml"
    table.write_bytes(dsdt)
    with t.boot(t.setup(reboots=False), files={table.name: table}, before=[f"acpi --exclude=DSDT /boot/{table.name}"]) as machine:
        machine.expect(r"^permafrost: end \(exit=poweroff\)", BOOT_LIMIT_S)
        if acpi.NAMED_S5 in dsdt:
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
        else:
            machine.expect("^warning: power: the machine has not gone off: it is halted", BOOT_LIMIT_S)
        return machine.log


@test(on=QEMU)
def test_power_off_by_dsdt(t):
    """A DSDT whose checksum is wrong is used to switch the machine off; one without _S5 cannot be, and that is told."""
    check("power: the checksum of the DSDT is wrong" in power_off(t, acpi.dsdt(acpi.NAMED_S5, damage=1)), "no word on the checksum")
    log = power_off(t, acpi.dsdt(b""))
    check("power: the machine cannot be switched off: neither the DSDT nor an SSDT has values of _S5" in log, "no reason")


MISSING = r"(?:VT-x|SVM): missing: .*"
NEITHER = ["VT-x: missing: VMX: CPUID.1:ECX bit 5 is 0", "SVM: missing: SVM: CPUID.80000001:ECX bit 2 is 0"]


def refuse(t, cpu, refusal, shown, uefi=False):
    """Boots a QEMU with this -cpu: the log must hold these lines of refusal and no other, and what shown(machine) says
    of its screen too."""
    setup = Setup(kind="qemu", model=cpu, uefi=uefi, reboots=False)
    with t.boot(setup, options="console=com1 exit=halt") as machine:
        machine.expect(re.escape(refusal[-1]), BOOT_LIMIT_S)
        machine.until(lambda: refusal[-1] in shown(machine), BOOT_LIMIT_S, f"{refusal[-1]!r} on the screen")
        machine.run_for(1)
        equal([line.strip() for line in re.findall(MISSING, machine.log)], refusal, "the refusal")
        screen = shown(machine)
        for line in refusal:
            check(line in screen, f"the screen shows {screen}")


def text_screen(machine):
    return "\n".join(machine.screen())


@test(on=QEMU)
def test_refuses_no_extension_bios(t):
    """Neither VMX nor SVM: a line for each that names the bit, on the serial line and on the VGA text screen."""
    refuse(t, "max,-svm", NEITHER, text_screen)


@test(on=QEMU)
def test_refuses_no_extension_uefi(t):
    """The same on OVMF, where the screen is a framebuffer: the lines are in its pixels."""
    refuse(t, "max,-svm", NEITHER, lambda machine: read_pixels(*machine.picture()), uefi=True)


@test(on=QEMU)
def test_refuses_no_npt(t):
    """SVM without nested paging: one line, about that."""
    refuse(t, "max,+svm,-npt", ["SVM: missing: nested paging (NPT): CPUID.8000000A:EDX bit 0 is 0"], text_screen)


@test(on=QEMU)
def test_refuses_no_nx(t):
    """SVM without no-execute pages: neither EFER nor page tables have the bit, which would be a reserved one."""
    refuse(t, f"{TCG_CPU},-nx", ["SVM: missing: no-execute pages (NX): CPUID.80000001:EDX bit 20 is 0"], text_screen)


@test(on=BOCHS)
def test_refuses_no_ept(t):
    """Penryn has VMX without EPT: one line for each missing feature, on both outputs."""
    setup = t.setup(model="core2_penryn_t9600")
    with t.boot(setup, options="console=com1 exit=halt") as machine:
        for feature in ("EPT", "unrestricted guest", "VPID"):
            machine.position = 0
            machine.expect(rf"(?i)VT-x: missing: .*{feature}", BOOT_LIMIT_S)
        machine.run_for(2)  # and nothing comes twice
        lines = re.findall(MISSING, machine.log)
        equal(len(set(lines)), len(lines), "lines that say something new")
        for line in lines:
            check(re.search(r"bits? \d+", line), f"no bit is named: {line}")
        screen = machine.screen()
        check(any("EPT" in row for row in screen), f"the screen shows {screen}")


def read_pixels(width, height, pixels):
    """The text on a framebuffer of 8x16 cells, by the glyphs of the font that the build embeds."""
    from tests.e2e.font import glyphs

    known = glyphs()
    lines = []
    for top in range(0, height - 15, 16):
        cells = []
        for left in range(0, width - 7, 8):
            rows = []
            for y in range(top, top + 16):
                at = 3 * (y * width + left)
                lit = [any(c > 64 for c in pixels[at + 3 * x : at + 3 * x + 3]) for x in range(8)]
                rows.append(sum(bit << (7 - x) for x, bit in enumerate(lit)))
            cells.append(known.get(bytes(rows), "?"))
        lines.append("".join(cells).rstrip())
    return "\n".join(lines)
