"""UEFI: by GRUB and by our own loader, with the log on the framebuffer, persistent memory in the map, and mistakes."""
import re
import sys

from tests.e2e.harness import BOOT_LIMIT_S, QEMU, check, equal, test
from tests.e2e.test_boot import map_rows
from tests.e2e.test_monitor import ENTER, until_prompt
from tests.machine import bounded
from tests.machine.lab import BUILD, ROOT, Vm, entry, standard_files

LOADER = BUILD / "BOOTX64.EFI"
PMEM = BUILD / "pmem.efi"
FIRST = "EFI/BOOT/BOOTX64.EFI"  # what a firmware starts from removable media
BANNER = r"Permafrost \d+\.\d+: a hypervisor for non-volatile RAM"
LIMIT_S = 120  # of CPU time, for what makes and reads files
GUEST = Vm(args="quiet pf.mode=steps pf.steps=info")
# The guest waits for the administrator, so that the screen stands still meanwhile.
OPTIONS = 'console=com1 exit=monitor nvram=128M@0x20000000 loglevel=info run="vm stop db -y"'
PROMPTED = "permafrost monitor: help"


def disk(t, files):
    """A disk image with an EFI partition of these files: {path: file}."""
    image = t.folder / "disk.img"
    command = [ROOT / "boot" / "efi" / "mkimage.sh", image, *(f"{source}={path}" for path, source in files.items())]
    bounded.run(command, LIMIT_S, check=True)
    return image


def written(t, name, text):
    path = t.folder / name
    path.write_text(text)
    return path


def boot_files():
    return {f"boot/{name}": path for name, path in standard_files().items()}


def config(t, options=OPTIONS):
    return written(t, "permafrost.cfg", "\n".join(entry(GUEST, options=options)) + "\n")


def loader_files(t, options=OPTIONS):
    """All that a volume needs to start Permafrost with a guest by our own loader."""
    return {FIRST: LOADER, "permafrost.cfg": config(t, options), **boot_files()}


def grub(t, options):
    """GRUB as one EFI application that starts the same from the volume it finds."""
    lines = ["search --file --set=root /boot/permafrost.elf", *entry(GUEST, options=options), "boot"]
    path = written(t, "grub.cfg", "\n".join(lines) + "\n")
    modules = "normal part_gpt fat multiboot2 search search_fs_file all_video"
    command = ["grub-mkstandalone", "-O", "x86_64-efi", "-o", str(t.folder / "grub.efi"), f"--install-modules={modules}",
               "--modules=part_gpt fat", "--fonts=", "--locales=", "--themes=", f"boot/grub/grub.cfg={path}"]
    done = bounded.run(command, LIMIT_S, capture_output=True, text=True)
    check(done.returncode == 0, f"grub-mkstandalone: {done.stderr}")
    return t.folder / "grub.efi"


def start_disk(t, files, reboots=True):
    return t.start(t.setup(uefi=True, disk=True, reboots=reboots), disk(t, files))


def check_screen(t, dump, name):
    """The log is in the pixels; the picture is left in the test's folder, from where tests/e2e/screens/ was taken. It is
    read by a process of its own: while this one computes, another test's serial line would lose characters."""
    command = [sys.executable, "-B", "-m", "tests.e2e.picture", str(dump), str(t.folder / f"{name}.png")]
    done = bounded.run(command, LIMIT_S, capture_output=True, text=True, cwd=ROOT)
    check(done.returncode == 0, f"the screen: {done.stderr}")
    text = done.stdout
    check(re.search(f"^{PROMPTED}", text, re.M), f"no word of the monitor on the screen: {text}")


def check_boot(t, machine, name):
    """A guest boots to user space and ends. The picture is taken before it begins, and read when nobody waits for the
    serial line."""
    machine.expect(BANNER, BOOT_LIMIT_S)
    machine.expect(r"memory map: \d+ ranges, \S+ \S+ of DRAM", BOOT_LIMIT_S)
    check(any(source.startswith("EFI type") for *_, source in map_rows(machine.log)), "no row from EFI's map")
    machine.expect(PROMPTED, BOOT_LIMIT_S)
    until_prompt(machine, machine.position)
    machine.picture()
    machine.send("vm start db\r" + ENTER)
    machine.expect(r"^PF-INIT: ", BOOT_LIMIT_S)
    machine.expect(r"^PF-END: poweroff", BOOT_LIMIT_S)
    machine.expect("vm db: powered off", BOOT_LIMIT_S)
    until_prompt(machine, machine.position)
    machine.send("poweroff -y\r")
    equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")
    check_screen(t, machine.workdir / "screen.ppm", name)


@test(on=QEMU, core=True)
def test_uefi_grub(t):
    """GRUB for EFI from an ISO, in a mode that has rows enough for the log."""
    lines = ["set gfxpayload=1280x800,auto", *entry(GUEST, options=OPTIONS)]
    with t.start(t.setup(uefi=True), t.lab.iso(lines)) as machine:
        check_boot(t, machine, "grub")


@test(on=QEMU, core=True)
def test_uefi_loader(t):
    """Our own loader from a disk."""
    with start_disk(t, loader_files(t)) as machine:
        machine.expect(r"permafrost: loader \d+\.\d+", BOOT_LIMIT_S)
        check_boot(t, machine, "loader")


def check_persistent(machine):
    """What the firmware tells as type 14 is the pool's, and the guest's region lies in it. The firmware's page tables,
    which are of five levels, are not inherited."""
    machine.expect("firmware: paging of 5 levels", BOOT_LIMIT_S)
    machine.expect(r"memory map: \d+ ranges, \S+ \S+ of DRAM, 192 MiB of NVRAM", BOOT_LIMIT_S)
    rows = [row for row in map_rows(machine.log) if "NVRAM" in row[2]]
    equal([(kind, source, last + 1 - first) for first, last, kind, source in rows],
          [("NVRAM persistent", "EFI type 14", 192 << 20)], "NVRAM in the table")
    size = machine.expect(r"^PF-STATE: pmem0 bytes=(\d+)", BOOT_LIMIT_S)
    equal(int(size[1]), 64 << 20, "size of /dev/pmem0")
    equal(machine.wait_end(BOOT_LIMIT_S), "poweroff", "the end")


@test(on=QEMU)
def test_uefi_persistent_grub(t):
    """Type 14 in the firmware's map, by GRUB."""
    options = "console=com1 exit=poweroff"
    with start_disk(t, {FIRST: PMEM, "EFI/BOOT/NEXT.EFI": grub(t, options), **boot_files()}) as machine:
        check_persistent(machine)


@test(on=QEMU)
def test_uefi_persistent_loader(t):
    """The same by our own loader."""
    files = loader_files(t, "console=com1 exit=poweroff")
    with start_disk(t, {**files, FIRST: PMEM, "EFI/BOOT/NEXT.EFI": LOADER}) as machine:
        check_persistent(machine)


def check_refusal(t, files, message, press=True):
    """The message stands on the console, and after a key, or after a while without one, the firmware goes on."""
    with start_disk(t, files) as machine:
        machine.expect(rf"permafrost: error: {message}", BOOT_LIMIT_S)
        machine.expect(r"permafrost: back to the firmware after a key, or in \d+ s", BOOT_LIMIT_S)
        if press:
            machine.send("\r")
        machine.expect(r"BdsDxe: (failed to start|No bootable)", BOOT_LIMIT_S)


@test(on=QEMU)
def test_uefi_missing_config(t):
    """Nobody presses a key."""
    check_refusal(t, {FIRST: LOADER}, "/permafrost.cfg: not found on the loader's volume", press=False)


@test(on=QEMU)
def test_uefi_wrong_config(t):
    path = written(t, "permafrost.cfg", "multiboot2 /boot/permafrost.elf\nlinux /boot/vmlinuz\n")
    check_refusal(t, {FIRST: LOADER, "permafrost.cfg": path}, "/permafrost.cfg: line 2: only multiboot2, ")


@test(on=QEMU)
def test_uefi_missing_module(t):
    files = loader_files(t)
    del files["boot/initrd"]
    check_refusal(t, files, "/boot/initrd: not found on the loader's volume")


@test(on=QEMU)
def test_uefi_broken_image(t):
    """A file that was cut while it was copied."""
    cut = t.folder / "cut.elf"
    cut.write_bytes((BUILD / "permafrost.elf").read_bytes()[:100000])
    check_refusal(t, {**loader_files(t), "boot/permafrost.elf": cut}, "/boot/permafrost.elf has a segment that the file")
