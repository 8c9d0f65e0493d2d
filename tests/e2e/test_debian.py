"""A whole Debian, with systemd, whose root is a region: as a disk and, with DAX, as memory. One reaches another by ssh, and
what was durable is there after a power cut."""
import re
import subprocess

from tests.e2e.harness import BOOT_LIMIT_S, QEMU, check, equal, test
from tests.machine import debian

LIMIT_S = 4 * BOOT_LIMIT_S


def shell(machine, command):
    """What a command prints, at the console's shell; its status must be 0."""
    machine.send(f"{command}; echo status=$?=\r")
    return machine.expect(r"^status=(\d+)=", LIMIT_S)


def does(machine, command):
    equal(shell(machine, command)[1], "0", command)


def log_in(machine):
    machine.until(lambda: debian.PROMPT in machine.log, LIMIT_S, "the shell's prompt")
    does(machine, "stty -echo; dmesg -n 1; systemctl is-system-running --wait || { systemctl --failed; false; }")


def start(t, *vms, regions):
    setup = t.setup(cpus=2, **debian.needs(len(regions)))
    debian.install(t.lab, setup, regions)
    return setup, t.boot(setup, *vms, files=debian.FILES)


@test(on=QEMU, soak=True)
def test_debian(t):
    """No unit fails; the second VM answers to the first one's ssh; both are switched off from within."""
    first = debian.vm("db", "debian-db", address="10.0.0.1", more="net=lan")
    second = debian.vm("web", "debian-web", address="10.0.0.2", more="net=lan")
    _, booted = start(t, first, second, regions={"debian-db": "db", "debian-web": "web"})
    with booted as machine:
        log_in(machine)
        does(machine, "findmnt -no SOURCE,FSTYPE / | grep '^/dev/vda *ext4'")
        does(machine, "until ssh 10.0.0.2 systemctl is-system-running --wait; do sleep 1; done")
        does(machine, "head -c 8M /dev/urandom >big && scp -q big 10.0.0.2: && ssh 10.0.0.2 cat big | cmp - big")
        does(machine, "ssh 10.0.0.2 systemctl poweroff")
        machine.expect(r"^vm web: powered off", LIMIT_S)
        machine.send("systemctl poweroff\r")
        machine.expect(r"^vm db: powered off", LIMIT_S)
        equal(machine.wait_end(LIMIT_S), "poweroff", "the machine's end")


def is_sound(part, folder):
    """The region as a file system, after its journal was applied."""
    image = folder / "root.ext4"
    debian.nvpool(part, "export", "debian-db", str(image))
    subprocess.run(["e2fsck", "-p", image], capture_output=True)
    done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True)
    image.unlink()
    equal(done.returncode, 0, f"e2fsck -fn: {done.stdout}")


def survives(t, dax):
    """Power cuts while files are written one after the other, each synchronised before it is told."""
    vm = debian.vm("db", "debian-db", dax=dax)
    setup, booted = start(t, vm, regions={"debian-db": "db"})
    part, = t.lab.nvram(setup)
    newest = 0
    for cut in range(3):
        with booted if not cut else t.start(setup, t.folder / "boot.iso") as machine:
            log_in(machine)
            if dax:
                does(machine, "grep '^/dev/pmem0 / ext4 .*dax' /proc/mounts")
            does(machine, f"for i in $(seq 1 {newest}); do seq $i $((i + 9999)) | cmp - file$i || exit 1; done")
            machine.send(f"i={newest}; while i=$((i + 1)); do seq $i $((i + 9999)) >file$i; sync file$i; sync .; echo stored=$i=; done\r")
            machine.expect(rf"^stored={newest + 3}=", LIMIT_S)
            machine.run_for(t.random.uniform(0, 3))
            machine.cut()
            newest = int(re.findall(r"^stored=(\d+)=", machine.log, re.M)[-1])
        is_sound(part, t.folder)


@test(on=QEMU, soak=True)
def test_debian_cuts(t):
    survives(t, False)


@test(on=QEMU, soak=True)
def test_debian_dax(t):
    survives(t, True)
