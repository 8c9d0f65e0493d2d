"""A Linux VM that administers the machine by its control port and pfctl; one that may only look; who has none."""
import json
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.machine.lab import Vm


def told(log, name):
    """What a program said under that name, and its status."""
    lines = [line.rstrip() for line in re.findall(rf"^(?:\[\w+\] )?PF-STATE: {name}: (.*)$", log, re.M)]
    return lines, int(re.search(rf"PF-STATE: {name} status=(\d+)", log)[1])


@test()
def test_control(t):
    """pfctl has the monitor's verbs, tables and JSON, and exit statuses; what it types another VM reads."""
    admin = Vm(nvram="", more="control", args="quiet pf.mode=steps pf.steps=control")
    other = Vm(name="other", nvram="", more="control=ro", args="console=hvc0 quiet pf.mode=steps pf.steps=control_ro,hvc")
    with t.boot(t.setup(), admin, other) as machine:
        machine.expect("PF-TEST: control ok", BOOT_LIMIT_S)
        equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the machine's end")
        log = machine.log
    rows, status = told(log, "list")
    equal((status, re.findall(r"^ *(\d) +(\w+) +(\w+)", "\n".join(rows), re.M)),
          (0, [("1", "db", "running"), ("2", "other", "running")]), "pfctl vm list")
    lines, status = told(log, "json")
    equal((status, [(vm["name"], vm["mem"]) for vm in json.loads(lines[0])]),
          (0, [("db", 256 << 20), ("other", 256 << 20)]), "pfctl -o json vm list")
    check("PF-STATE: hvc0 read='typed by pfctl'" in log, "the other VM has read what was typed")
    equal(told(log, "pause"), ([""], 0), "pfctl vm pause")
    check(re.search(r" other +paused ", "\n".join(told(log, "paused")[0])), "the state of a paused VM")
    equal(told(log, "resume"), ([""], 0), "pfctl vm resume")
    rows, status = told(log, "top")
    check(status == 0 and re.search(r"^db +running +\d+\.\d +\d+ +256 ", "\n".join(rows), re.M), f"pfctl top: {rows}")
    equal(told(log, "unknown"), (["error: nonsense: unknown verb; help shows all"], 2), "a verb that is none")
    equal(told(log, "unasked"), (["error: not confirmed: give -y"], 1), "a verb that asks, and nobody answers")
    equal(told(log, "look")[1], 0, "control=ro looks")
    equal(told(log, "change"), (["error: stop: this VM has control=ro and may only look"], 1), "control=ro changes")
