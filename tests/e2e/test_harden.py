"""The hypervisor guards itself: what the boot log tells of the CPU's and the compiler's protection."""
import json
import re

from tests.e2e.harness import BOOT_LIMIT_S, QEMU, check, equal, test
from tests.e2e.test_monitor import ANSWER_LIMIT_S, ENTER, ask, ask_json, enter, states
from tests.machine.lab import BUILD, Vm

HALT = {"halt_forever.bin": BUILD / "guests" / "halt_forever.bin"}
# What the reference models have, of SMEP, SMAP and UMIP.
PROTECTION = {"qemu": ["on", "on", "on"], "bochs": ["on", "no", "no"]}


def tiny():
    return Vm(keys="vm=tiny mem=64M", kernel="halt_forever.bin", initrd="", args="root=none")


@test(core=True)
def test_harden(t):
    """Protection is on before the first guest runs, and the page tables were looked through."""
    with t.boot(t.setup(), tiny(), files=HALT) as machine:
        found = machine.expect(r"^harden: stack protector by (.*), SMEP (on|no), SMAP (on|no), UMIP (on|no)\r$", BOOT_LIMIT_S)
        equal(found[1], "RDRAND", "the canary's source")
        if t.kind in PROTECTION:
            equal(list(found.groups()[1:]), PROTECTION[t.kind], "SMEP, SMAP, UMIP")
        found = machine.expect(r"^harden: (\d+) pages checked: .* NULL and (\d+) guard pages? (?:is|are) not mapped", BOOT_LIMIT_S)
        check(int(found[1]) > 100 and int(found[2]) >= 1, f"pages that were looked at: {found[0]}")
        machine.expect(r"vm tiny: halted", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


VAL, UC, EN, MISCV, ADDRV, PCC, DEFER = 1 << 63, 1 << 61, 1 << 60, 1 << 59, 1 << 58, 1 << 57, 1 << 44
POLL_LIMIT_S = 60  # each CPU looks every 10 s
MISC_PHYSICAL = 2 << 6 | 6
MCIP_RIPV = 5
GRANULE = 2 << 20


def inject(machine, status, address, cpu=0):
    """A machine check by bank 1 of a CPU, once the guest is paused: TCG 7.2 gives those that come while a
    guest runs to the guest, past its intercept. Without UC it is an error in the bank, and no exception."""
    words = f"mce {cpu} 1 {status:#x} {MCIP_RIPV:#x} {address:#x} {MISC_PHYSICAL:#x}"
    equal(machine.command("human-monitor-command", **{"command-line": words}), "", words)


@test(on=QEMU)
def test_machine_check(t):
    """Bad NVRAM goes to the bad list and the guest that has it mapped is told; a corrupt CPU stops the machine."""
    vm = Vm(keys="vm=tiny mem=64M nvram=data:32M", kernel="machine_check.bin", initrd="", args="root=none")
    files = {"machine_check.bin": BUILD / "guests" / "machine_check.bin"}
    with t.boot(t.setup(), vm, files=files) as machine:
        banks = machine.expect(r"^mce: machine checks are watched for in (\d+) banks", BOOT_LIMIT_S)
        check(int(banks[1]) > 1, banks[0])
        machine.expect("^guest: tick", BOOT_LIMIT_S)
        enter(machine)
        region = ask_json(machine, "map -v")[1][0]
        equal(ask_json(machine, "nv bad"), [[]], "the bad list before")
        ask(machine, "vm pause tiny")
        bad = region["first"] + 3 * GRANULE + 0x5678
        inject(machine, VAL | UC | EN | MISCV | ADDRV, bad)
        machine.expect(r"error: mce: NVRAM at 0x[0-9a-f]+ is damaged: its granule is on the bad list", ANSWER_LIMIT_S)
        place = machine.expect(r"^error: vm tiny: region data is damaged at 0x([0-9a-f]+)", ANSWER_LIMIT_S)
        (table,) = ask_json(machine, "nv bad")
        equal([(row["granule"], row["region"]) for row in table], [(bad & -GRANULE, "data")], "the bad list")
        ask(machine, "vm resume tiny")
        machine.position = len(machine.log)
        machine.send(ENTER)
        told = machine.expect(r"^guest: machine check at 0x([0-9a-f]+)", ANSWER_LIMIT_S)
        equal(int(told[1], 16), int(place[1], 16), "what the guest was told")
        equal(int(told[1], 16) % GRANULE, 0x5640, "the place in the granule")
        machine.expect("^guest: tick", ANSWER_LIMIT_S)
        enter(machine)
        ask(machine, "vm pause tiny")
        machine.fatal = r"^PF-TEST: \S+ FAIL.*$"
        inject(machine, VAL | UC | EN | MISCV | ADDRV | PCC, bad)
        machine.expect(r"error: panic: machine check: the CPU's state is corrupt \(MCG_STATUS 0x5, bank 1: "
                       rf"status 0x{VAL | UC | EN | MISCV | ADDRV | PCC:x} address 0x{bad:x} misc", ANSWER_LIMIT_S)


@test(on=QEMU)
def test_errors_unused(t):
    """What raises no exception is found nevertheless, on a CPU that a guest has as on one at rest: an error that was
    corrected, and bad data that nobody has used yet: that of NVRAM goes to the bad list, and the guest is told."""
    vm = Vm(keys="vm=tiny mem=64M nvram=data:32M cpus=0", kernel="machine_check.bin", initrd="", args="root=none")
    files = {"machine_check.bin": BUILD / "guests" / "machine_check.bin"}
    with t.boot(t.setup(cpus=2), vm, files=files) as machine:
        machine.expect("^guest: tick", BOOT_LIMIT_S)
        enter(machine)
        regions = ask_json(machine, "map -v")[1]
        bad = regions[0]["first"] + 3 * GRANULE + 0x5678
        inject(machine, VAL | EN, 0)
        inject(machine, VAL | EN | ADDRV | DEFER, 0x200000, cpu=1)
        before, ends = machine.position, []
        for told in ("warning: mce: errors that were corrected: 1", "error: mce: memory at 0x200000 is damaged, which is not NVRAM"):
            machine.position = before
            ends.append(machine.expect(told, POLL_LIMIT_S).end())
        machine.position = max(ends)
        inject(machine, VAL | EN, 0, cpu=1)
        machine.expect("warning: mce: errors that were corrected: 1", POLL_LIMIT_S)
        equal(ask_json(machine, "nv bad"), [[]], "the bad list before")
        inject(machine, VAL | EN | ADDRV | DEFER, bad, cpu=1)
        place = machine.expect(r"error: vm tiny: region data is damaged at 0x([0-9a-f]+)", POLL_LIMIT_S)
        (table,) = ask_json(machine, "nv bad")
        equal([(row["granule"], row["region"]) for row in table], [(bad & -GRANULE, "data")], "the bad list")
        machine.position = len(machine.log)
        machine.send(ENTER)
        told = machine.expect(r"guest: machine check at 0x([0-9a-f]+)", ANSWER_LIMIT_S)
        equal(int(told[1], 16), int(place[1], 16), "what the guest was told")
        enter(machine)
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test(on=QEMU)
def test_platform_nmi(t):
    """An NMI of the platform, as its button or a bus error makes one, comes to the hypervisor, wherever the CPU is: it is
    told of once, and counted. The guest does not notice."""
    vm = Vm(keys="vm=tiny mem=64M cpus=0", kernel="counter.bin", initrd="", args="root=none")
    files = {"counter.bin": BUILD / "guests" / "counter.bin"}
    with t.boot(t.setup(cpus=2), vm, files=files) as machine:
        machine.expect("^guest: tick", BOOT_LIMIT_S)
        for number in range(1, 4):
            machine.command("inject-nmi")
            if number == 1:
                machine.expect("warning: mce: an NMI that nobody expects", ANSWER_LIMIT_S)
            machine.expect("^guest: tick", ANSWER_LIMIT_S)
            enter(machine)
            (table,) = ask_json(machine, "stats")
            equal([row["value"] for row in table if row["counter"] == "unexpected NMIs"], [number], "NMIs counted")
            machine.position = len(machine.log)
            machine.send(ENTER)
        equal(len(re.findall("an NMI that nobody expects", machine.log)), 1, "how often it was told")
        enter(machine)
        machine.send("poweroff -y\r")
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test(on=QEMU)
def test_machine_check_linux(t):
    """A guest that takes no machine checks, as Debian's cloud kernel, is ended when its NVRAM goes bad; it does not get
    one. It can be started again."""
    with t.boot(t.setup(), Vm(args="quiet pf.mode=shell", nvram="data:32M"), options="console=com1 exit=monitor") as machine:
        machine.expect("A shell in the guest follows", BOOT_LIMIT_S)
        machine.run_for(1)
        enter(machine)
        region = ask_json(machine, "map -v")[1][0]
        ask(machine, "vm pause db")
        inject(machine, VAL | UC | EN | MISCV | ADDRV, region["first"] + 3 * GRANULE + 0x5678)
        machine.expect("^error: vm db: region data is damaged at", ANSWER_LIMIT_S)
        machine.fatal = r"Kernel panic.*$|panic: .*$"
        ask(machine, "vm resume db")
        machine.expect("vm db: .*its memory is damaged, and it takes no machine checks", ANSWER_LIMIT_S)
        machine.until(lambda: states(machine) == {"db": "crashed"}, ANSWER_LIMIT_S, "state crashed")
        ask(machine, "vm start db")
        machine.position = len(machine.log)
        machine.send(ENTER)
        machine.expect("A shell in the guest follows", BOOT_LIMIT_S)


@test()
def test_mitigations(t):
    """The verb's table holds together, whatever the machine's CPU tells; mitigations=off switches nothing on."""
    for word, allowed in (("auto", {"active", "missing", "not needed"}), ("off", {"off", "missing", "not needed"})):
        options = f'console=com1 exit=poweroff mitigations={word} run="cpu -o json" loglevel=info'
        with t.boot(t.setup(), tiny(), options=options, files=HALT) as machine:
            summary = machine.expect(r"^mitigate: (\d+) weaknesses of CPUs: (\d+) not here, (\d+) mitigated, (\d+) switched off"
                                     r"(.*), (\d+) the CPU offers nothing for", BOOT_LIMIT_S)
            rows = json.loads(machine.expect(r"^\[\{\"weakness\".*\]", BOOT_LIMIT_S)[0])
            equal(len(rows), int(summary[1]), "rows")
            equal([row["weakness"] for row in rows],
                  ["guest's branches", "branch history", "Retbleed", "SRSO", "VM to VM", "threads", "L1TF", "MDS", "TAA",
                   "MMIO stale data", "RFDS", "GDS", "TSA", "ITS", "ITLB multihit", "store bypass"], "the weaknesses")
            for number, state in ((2, "not needed"), (3, "active"), (4, "off"), (6, "missing")):
                equal(sum(row["state"] == state for row in rows), int(summary[number]), f"rows that are {state}")
            check({row["state"] for row in rows} <= allowed, f"states with mitigations={word}: {rows}")
            check(all(row["by"] and row["measure"] for row in rows), f"a row without a reason: {rows}")
            for row in rows:
                check(row["vulnerable"] or row["state"] == "not needed", f"{row}")
            equal("mitigations=off" in summary[5], word == "off", "the option in the log")
            small = any(row["weakness"] == "ITLB multihit" and row["state"] == "active" for row in rows)
            mapped = machine.expect(r"vm tiny: mapped in pages of 4 KiB: (\d+) KiB, 2 MiB: (\d+) KiB", BOOT_LIMIT_S)
            equal(mapped.groups(), ("2048", "63488") if small else ("0", "65536"), "small and large pages")
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
