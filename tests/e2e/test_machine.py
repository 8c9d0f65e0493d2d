"""The test machines themselves: what the tests rely on is true before anything is concluded from them."""
from tests.e2e.harness import check, equal, test
from tests.machine import choose, initramfs
from tests.machine import memory as mem
from tests.machine.lab import BUILD, Setup, standard_files

LINUX = "linux /boot/vmlinuz console=ttyS0 quiet panic=-1 pf.mode=demo"


def boot_natively(t, setup):
    """Debian's kernel without any hypervisor on this machine: type 12 is /dev/pmem0 there too."""
    files = {name: path for name, path in standard_files().items() if name != "permafrost.elf"}
    return t.lab.start(setup, t.lab.iso([LINUX, "initrd /boot/initrd"], files))


@test()
def test_power_cut_keeps_nvram_only(t):
    """A SIGKILL leaves the NVRAM as it was; DRAM is zero at the next start. Both emulators."""
    for kind in ("qemu", "bochs"):
        setup = Setup(kind=kind, keep=True, reboots=False)
        with boot_natively(t, setup) as machine:
            machine.expect(r"^PF-TEST: demo ok boots=1", 120)
            machine.cut()
        offset = mem.bochs_offset if kind == "bochs" else lambda address: address
        image = t.lab.image(setup)
        with open(image, "rb") as file:
            file.seek(offset(mem.MIB))
            check(any(file.read(64 * mem.MIB)), f"{kind}: DRAM was empty before the cut: the file is not its memory")
        before = t.lab.nvram_digest(setup)
        mem.lose_power(image, setup.memory, offset)
        equal(t.lab.nvram_digest(setup), before, f"{kind}: NVRAM after the cut")
        with open(image, "rb") as file:
            file.seek(offset(mem.MIB))
            check(not any(file.read(0x1FF00000)), f"{kind}: DRAM is not zero after the cut")
        with boot_natively(t, setup) as machine:
            machine.expect(r"^PF-TEST: demo ok boots=2", 120)
            equal(machine.wait_end(60), "poweroff", f"{kind}: the end")


@test()
def test_choice_of_machine(t):
    """MACHINE= takes what is there, and says why."""
    obstacle = choose.nested_vtx()
    kind, reason = choose.choose("auto")
    equal(kind, "bochs" if obstacle else "qemu-kvm", "auto")
    check(reason, "no reason is given")
    equal(choose.choose("bochs")[0], "bochs", "bochs")
    for wrong in ["xen"] + (["qemu-kvm"] if obstacle else []):
        try:
            choose.choose(wrong)
        except ValueError as error:
            check(f"MACHINE={wrong}" in str(error), f"the refusal is {error}")
        else:
            check(False, f"MACHINE={wrong} was taken")


@test()
def test_initramfs_is_reproducible(t):
    programs = sorted((BUILD / "guest").glob("pf_*"))
    for name in ("one", "two"):
        initramfs.build(t.folder / name, BUILD / "linux" / "modules", programs, True)
    one, two = ((t.folder / name).read_bytes() for name in ("one", "two"))
    check(one == two, "two builds differ")
    check(one[:6] == b"070701", "not a newc archive")
