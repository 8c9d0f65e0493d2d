"""A hostile guest does everything a guest can do at random; the machine and all others must not notice."""
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.e2e.test_faults import guest
from tests.machine.lab import Vm


def hostile(seed, ops, name="hostile", words=""):
    args = f"root=none seed={seed} ops={ops} {words}".rstrip()
    return Vm(keys=f"vm={name} mem=64M", kernel="hostile.bin", initrd="", args=args)


@test(core=True)
def test_hostile(t):
    """Operations by a seed, which is told; the guest must get through them all and power itself off."""
    import os
    seed = int(os.environ.get("HSEED", t.random.randrange(1, 1 << 32)))
    ops = int(os.environ.get("HOPS", 20000))
    words = os.environ.get("HWORDS", "")
    print(f"hostile: seed {seed}, {ops} operations")
    with t.boot(t.setup(), hostile(seed, ops, words=words), files={"hostile.bin": guest("hostile")}) as machine:
        ending = machine.wait_end(int(os.environ.get("HLIMIT", "100")))
        log = machine.log
        print(log[-3000:])
        equal(ending, "poweroff", "the machine's end")
