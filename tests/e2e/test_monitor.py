"""The monitor: entered and left while a guest runs, its verbs, and the end of the machine by it."""
import json
import re

from tests.e2e.harness import BOCHS, BOOT_LIMIT_S, check, equal, test
from tests.machine.lab import BUILD, Vm
from tests.machine.memory import MIB

PROMPT = "permafrost> "
ESCAPE = "\x1d"
ENTER = ESCAPE + "c"
ANSWER_LIMIT_S = 60
SHELL = r"/pmem ?# ?(\x1b\[6n)?$"  # its prompt; it asks where the cursor is
FILES = {"counter.bin": BUILD / "guests" / "counter.bin", "halt_forever.bin": BUILD / "guests" / "halt_forever.bin"}


def counter(name, keys=""):
    return Vm(keys=f"vm={name} mem=64M {keys}".strip(), kernel="counter.bin", initrd="", args="root=none")


def until_prompt(machine, since):
    """What the line says from the position `since` up to the prompt that then waits."""
    machine.until(lambda: machine.log.endswith(PROMPT) and len(machine.log) > since, ANSWER_LIMIT_S, "prompt")
    return machine.log[since : -len(PROMPT)]


def enter(machine):
    since = len(machine.log)
    machine.send(ENTER)
    until_prompt(machine, since)


def ask(machine, line):
    """Types a line; what is answered, without the echo. What the log tells while it is typed draws the prompt anew, so the
    prompt behind the whole echo counts."""
    since = len(machine.log) - len(PROMPT)
    echo = f"{PROMPT}{line}\r\n"
    machine.send(line + "\r")
    machine.until(lambda: echo in machine.log[since:], ANSWER_LIMIT_S, f"echo of {line!r}")
    answer = until_prompt(machine, machine.log.index(echo, since) + len(echo))
    return answer.partition(PROMPT)[0].replace("\r", "")


def ask_json(machine, line):
    """The tables of the answer."""
    return [json.loads(part) for part in ask(machine, f"{line} -o json").splitlines()]


def tick(machine):
    return machine.expect(r"^guest: tick ([a-z])", ANSWER_LIMIT_S)[1]


def follows(before, after):
    return ord(after) - ord("a") == (ord(before) - ord("a") + 1) % 26


def states(machine):
    (table,) = ask_json(machine, "vm list")
    return {row["name"]: row["state"] for row in table}


def check_help(machine):
    (table,) = ask_json(machine, "help")
    verbs = [row["verb"] for row in table]
    for verb in ("help", "map", "mem", "stats", "log", "poweroff", "vm list", "vm stop", "vm pause"):
        check(verb in verbs, f"help does not tell {verb}: {verbs}")
    text = ask(machine, "help vm stop")
    check(re.search(r"^vm stop +NAME +end a running VM", text, re.M), text)


def check_map(machine, setup):
    """The bars are as the table next to them says: db's region stands in the NVRAM that holds it."""
    ranges, regions = ask_json(machine, "map -v")
    nvram = [(row["first"], row["size"]) for row in ranges if row["kind"].startswith("NVRAM")]
    equal(nvram, sorted((r.base, r.size) for r in setup.memory.nvram), "NVRAM in the map")
    equal([(r["letter"], r["region"], r["owner"], r["size"]) for r in regions], [("A", "count", "one", 32 * MIB)],
          "the regions")
    text = ask(machine, "map -v")
    bars = re.findall(r"^NVRAM  0x([0-9a-f]+)-0x([0-9a-f]+), .*\n  \[(.*)\]$", text, re.M)
    equal(len(bars), len(nvram), "bars of NVRAM")
    for first, last, bar in bars:
        first, size = int(first, 16), int(last, 16) - int(first, 16) + 1
        cell = size // len(bar)
        inside = {i for r in regions for i in range(len(bar))
                  if r["first"] < first + (i + 1) * cell and r["last"] >= first + i * cell}
        equal({i for i, c in enumerate(bar) if c == "A"}, inside, f"cells of the region in [{bar}]")
    check(re.search(r"^DRAM .*\n  \[.*H.*\]$", text, re.M), f"the hypervisor is not in DRAM's bar: {text}")


def check_numbers(machine):
    memory, blocks, persistence = ask_json(machine, "mem")
    for row in memory:
        known = row["used"] + row["free"] + row["scrub"] + row["bad"]
        known += row["metadata"] if row["memory"] == "NVRAM" else 0
        equal(known, row["total"], f"the sum of {row}")
    by_name = {row["memory"]: row for row in memory}
    equal(by_name["NVRAM"]["used"], 32 * MIB, "NVRAM in use")
    check(by_name["DRAM"]["used"] >= 64 * MIB, f"the VM's memory is not in use: {by_name}")
    used = sum(row["size"] * row["used"] for row in blocks)
    equal(used, by_name["DRAM"]["used"], "blocks in use")
    (table,) = ask_json(machine, "stats")
    counters = {(row["of"], row["counter"]): row["value"] for row in table}
    kinds = [value for (of, name), value in counters.items() if of == "one" and name.startswith("exits ")]
    equal(sum(kinds), counters["one", "exits"], "sum of the exits by kind")
    check(counters["one", "exits io"] > 15, f"exits of port accesses: {counters}")
    check(counters["machine", "uptime ms"] >= counters["one", "uptime ms"] > 0, f"uptimes: {counters}")
    (log,) = ask_json(machine, "log")
    check("vm one: starts" in [row["line"] for row in log], f"the log has no start of the VM: {log[-5:]}")


def ticks(machine):
    """How often the guest has ticked, as its console's log tells."""
    (table,) = ask_json(machine, "vm log one")
    return [row["line"] for row in table if row["line"].startswith("guest: tick")]


def check_pause(machine):
    """The guest goes on while the prompt is open, unseen, and stands still when it is paused."""
    tick(machine)
    enter(machine)
    since = len(machine.log)
    machine.run_for(2)
    equal(machine.log[since:], "", "what the guest said while the prompt was open")
    ask(machine, "vm pause one")
    equal(states(machine)["one"], "paused", "its state")
    before = ticks(machine)
    machine.run_for(2)
    equal(ticks(machine), before, "its ticks while it was paused")
    ask(machine, "vm resume one")
    machine.position = len(machine.log)
    machine.send(ENTER)
    machine.expect("permafrost monitor: left", ANSWER_LIMIT_S)
    tick(machine)
    machine.run_for(2)
    # what was said meanwhile comes then, but no more than the console keeps
    for part in (machine.log[:since], machine.log[since:]):
        shown = re.findall(r"^guest: tick ([a-z])\r", part, re.M)
        # a tick that the prompt has cut in two is not found
        for one, two in zip(shown, shown[1:]):
            check(follows(one, two) or follows(chr(ord(one) + 1), two), f"tick {two} after tick {one}: {shown[-200:]}")


def control(t, model=""):
    setup = t.setup(model=model)
    options = 'console=com1 exit=monitor run="vm list -o json" "run=vm stop two -y; nonsense"'
    with t.boot(setup, counter("one", "nvram=count:32M"), counter("two"), options=options, files=FILES) as machine:
        machine.expect("^run: vm list -o json", BOOT_LIMIT_S)
        first = json.loads(machine.expect(r"^\[.*\]", BOOT_LIMIT_S)[0])
        equal([(row["name"], row["state"]) for row in first], [("one", "queued"), ("two", "queued")], "run= vm list")
        machine.expect("^run: vm stop two -y", BOOT_LIMIT_S)
        machine.expect(r"^error: run: nonsense: failed", BOOT_LIMIT_S)
        check_pause(machine)
        enter(machine)
        equal(states(machine), {"one": "running", "two": "configured"}, "the states")
        check_help(machine)
        check_map(machine, setup)
        check_numbers(machine)
        check("error: two: it is not running" in ask(machine, "vm console two"), "vm console of another VM")
        machine.send(f"vm console one\r{ESCAPE}{ESCAPE}x{ESCAPE}y")
        for key in "\x1dx\x1dy":
            machine.expect(f"^guest: key {re.escape(key)}", ANSWER_LIMIT_S)
        enter(machine)
        ask(machine, "vm reset one -y")
        equal(states(machine), {"one": "running", "two": "configured"}, "the states after the reset")
        machine.position = len(machine.log)
        machine.send(ENTER)
        machine.expect("guest: counts", ANSWER_LIMIT_S)
        enter(machine)
        since = len(machine.log)
        machine.send("vm stop one\r")
        machine.until(lambda: machine.log.endswith("(y/n) "), ANSWER_LIMIT_S, "question")
        machine.send("n")
        check("error: not confirmed" in until_prompt(machine, since), "the answer no")
        check("vm one: stopped" in ask(machine, "vm stop -y one"), "no word on the stop")
        ask(machine, "vm start two")
        equal(states(machine), {"one": "stopped", "two": "running"}, "the states after the stop")
        (stats,) = ask_json(machine, "stats")
        equal({row["of"] for row in stats}, {"machine", "two"}, "what has counters")
        machine.send(ENTER)
        tick(machine)
        enter(machine)
        machine.send("poweroff -y\r")
        machine.expect("vm two: stopped", ANSWER_LIMIT_S)
        equal(machine.wait_end(ANSWER_LIMIT_S), "poweroff", "the machine's end")


@test(core=True)
def test_monitor(t):
    control(t)


@test(on=BOCHS, soak=True)
def test_monitor_emulated_apic(t):
    """VT-x without x2APIC."""
    control(t, "corei5_arrandale_m520")


@test()
def test_monitor_at_the_end(t):
    """exit=monitor: the prompt comes by itself, and comes back when there is nothing to run."""
    halts = Vm(keys="vm=halts mem=64M", kernel="halt_forever.bin", initrd="", args="root=none")
    with t.boot(t.setup(), halts, options="console=com1 exit=monitor", files=FILES) as machine:
        machine.expect("permafrost monitor: help", BOOT_LIMIT_S)
        until_prompt(machine, 0)
        equal(states(machine), {"halts": "halted"}, "the states")
        since = len(machine.log)
        machine.send("vm start halts\r")
        machine.position = since
        machine.expect("vm halts: halted", ANSWER_LIMIT_S)
        until_prompt(machine, machine.position)
        equal(states(machine), {"halts": "halted"}, "the states after the second run")
        (table,) = ask_json(machine, "vm list")
        equal(table[0]["starts"], 2, "starts")
        machine.send("reboot -y\r")
        machine.expect("memory map: [0-9]+ ranges", BOOT_LIMIT_S)


@test()
def test_monitor_with_linux(t):
    """A shell in Linux goes on after a pause, with the typed half of a line in it."""
    vm = Vm(args="quiet pf.mode=shell")
    with t.boot(t.setup(), vm, options="console=com1 exit=monitor") as machine:
        machine.expect("A shell in the guest follows", BOOT_LIMIT_S)
        machine.until(lambda: re.search(SHELL, machine.log), BOOT_LIMIT_S, "prompt of the guest's shell")
        machine.send("echo $((40 + ")
        machine.run_for(2)
        enter(machine)
        equal(states(machine), {"db": "running"}, "the states")
        machine.run_for(3)
        machine.send(f"vm console db\r2)) pf\r")
        machine.expect("^42 pf", BOOT_LIMIT_S)
        machine.send("cut -d' ' -f1 /proc/uptime; exit\r")
        uptime = float(machine.expect(r"^([\d.]+)\r?$", BOOT_LIMIT_S)[1])
        machine.expect("vm db: powered off", BOOT_LIMIT_S)
        until_prompt(machine, machine.position)
        equal(states(machine), {"db": "powered off"}, "the states")
        passed = next(row["value"] for row in ask_json(machine, "stats")[0] if row["counter"] == "uptime ms") / 1000
        check(0 < uptime < passed, f"Linux' uptime is {uptime} s, the machine's {passed} s")
        machine.send("poweroff -y\r")
        equal(machine.wait_end(ANSWER_LIMIT_S), "poweroff", "the machine's end")
