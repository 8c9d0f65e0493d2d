"""The test machines themselves: what the tests rely on is true before anything is concluded from them."""
import os
import subprocess
import time

from tests.e2e.harness import BOOT_LIMIT_S, NONE, check, equal, test
from tests.e2e.test_pool_cuts import boot as boot_keeper
from tests.machine import choose, initramfs
from tests.machine import memory as mem
from tests.machine.choose import Host
from tests.machine.emulator import OwnTime
from tests.machine.lab import BUILD, standard_files

LINUX = "linux /boot/vmlinuz console=ttyS0 quiet panic=-1 pf.mode=demo"


def boot_natively(t, setup):
    """Debian's kernel without any hypervisor on this machine: type 12 is /dev/pmem0 there too."""
    files = {name: path for name, path in standard_files().items() if name != "permafrost.elf"}
    return t.lab.start(setup, t.lab.iso([LINUX, "initrd /boot/initrd"], files))


def store(t, setup, times):
    """Something is stored on the NVRAM for the first or second time, and what the first stored is there: by Debian without
    any hypervisor; on Bochs, in make test, by the small guest of the pool's tests."""
    if t.family == "bochs" and not t.soak:
        with boot_keeper(t, setup) as machine:
            found = machine.expect(r"^keeper: found ([0-9a-f]{8}) ok\r?$", BOOT_LIMIT_S)
            equal(int(found[1], 16) > 0, times > 1, "whether something was stored before")
            machine.expect(r"^keeper: count 0*[1-9a-f]", BOOT_LIMIT_S)
            machine.cut()
        return
    with boot_natively(t, setup) as machine:
        machine.expect(rf"^PF-TEST: demo ok boots={times}", BOOT_LIMIT_S)
        if times > 1:
            equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
        machine.cut()


@test(core=True)
def test_power_cut_keeps_nvram_only(t):
    """A SIGKILL leaves the NVRAM as it was; DRAM is zero at the next start."""
    setup = t.setup(keep=True, reboots=False)
    store(t, setup, 1)
    with open(t.lab.image(setup), "rb") as file:
        file.seek(setup.offset(mem.MIB))
        check(any(file.read(64 * mem.MIB)), "DRAM was empty before the cut: the file is not its memory")
    before = t.lab.nvram_digest(setup)
    t.lab.lose_power(setup)
    equal(t.lab.nvram_digest(setup), before, "NVRAM after the cut")
    with open(t.lab.image(setup), "rb") as file:
        file.seek(setup.offset(mem.MIB))
        check(not any(file.read(0x1FF00000)), "DRAM is not zero after the cut")
    store(t, setup, 2)


HOSTS = (  # facts about a host: what MACHINE=auto takes there, and a word of the reason
    (Host(), "qemu", "neither vmx nor svm"),
    (Host(kvm="", nested=(("kvm_intel", "Y"), ("kvm_amd", "1"))), "qemu", "neither vmx nor svm"),
    (Host(flags=("vmx",)), "qemu", "kvm_intel is not loaded"),
    (Host(flags=("vmx",), nested=(("kvm_intel", "N"),)), "qemu", "kvm_intel's parameter nested is N"),
    (Host(flags=("svm",), nested=(("kvm_intel", "Y"),)), "qemu", "kvm_amd is not loaded"),
    (Host(flags=("svm",), nested=(("kvm_amd", "0"),)), "qemu", "kvm_amd's parameter nested is 0"),
    (Host(flags=("svm",), nested=(("kvm_amd", "1"),), kvm="Permission denied"), "qemu", "Permission denied"),
    (Host(flags=("fpu", "vmx"), nested=(("kvm_intel", "Y"),)), "qemu-kvm", "nested VT-x"),
    (Host(flags=("svm", "fpu"), nested=(("kvm_amd", "1"),)), "qemu-kvm", "nested SVM"),
)


def refused(wanted, host):
    try:
        return f"taken as {choose.choose(wanted, host)}"
    except ValueError as error:
        return str(error)


@test(on=NONE)
def test_choice_of_machine(t):
    """MACHINE= takes what is there, and says why."""
    for host, expected, word in HOSTS:
        kind, reason = choose.choose("auto", host)
        equal(kind, expected, f"auto on {host}")
        check(word in reason, f"auto on {host}: the reason is {reason}")
        for wish in ("bochs", "qemu", "nested", "nested-vtx"):
            equal(choose.choose(wish, host), (wish, "asked for"), wish)
        if expected == "qemu-kvm":
            equal(choose.choose("qemu-kvm", host)[0], "qemu-kvm", f"qemu-kvm on {host}")
        else:
            equal(refused("qemu-kvm", host), f"MACHINE=qemu-kvm: {reason}", f"qemu-kvm on {host}")
    equal(refused("xen", Host()), "MACHINE=xen: must be auto, qemu, bochs, nested, nested-vtx or qemu-kvm", "an unknown machine")
    check(choose.choose("auto")[0] in ("qemu", "qemu-kvm"), "auto on this host")


@test(on=NONE)
def test_own_time(t):
    """Two processes that want one CPU have half of the clock's time each, or less on a loaded machine."""
    cpu = str(min(os.sched_getaffinity(0)))
    loops = [subprocess.Popen(["taskset", "-c", cpu, "sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        clocks, began = [OwnTime(loop.pid) for loop in loops], time.monotonic()
        for _ in range(20):
            time.sleep(0.1)
            own = [clock.now() for clock in clocks]
        passed = time.monotonic() - began
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    check(0 < sum(own) < 1.3 * passed, f"{own} s of their own in {passed} s")


@test(on=NONE)
def test_initramfs_is_reproducible(t):
    programs = sorted((BUILD / "guest").glob("pf_*"))
    for name in ("one", "two"):
        initramfs.build(t.folder / name, BUILD / "linux" / "modules", programs, initramfs.TOOLS)
    one, two = ((t.folder / name).read_bytes() for name in ("one", "two"))
    check(one == two, "two builds differ")
    check(one[:6] == b"070701", "not a newc archive")
