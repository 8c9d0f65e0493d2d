"""`make install-grub` into a folder: what it writes, and the menu entry that its script adds."""
import os

from tests.e2e.harness import NONE, check, equal, test
from tests.machine import bounded

LIMIT_S = 120  # of CPU time

PROBE = """#!/bin/sh
case "$*" in
*--target=device*) echo /dev/sda1 ;;
*--target=partmap) echo gpt ;;
*--target=fs) echo ext2 ;;
*--target=fs_uuid) echo 1234-ABCD ;;
esac
"""

ENTRY = """\
menuentry 'Permafrost' --class permafrost --id permafrost {
        insmod all_video
        insmod multiboot2
        ACCESS
        multiboot2 PATH/permafrost.elf console=com1 exit=reboot
        module2 --nounzip PATH/vmlinuz vm=linux mem=512M -- console=ttyS0
        module2 --nounzip PATH/initrd.img initrd
}
"""


def run(*command, **environment):
    return bounded.run(command, LIMIT_S, capture_output=True, text=True, env={**os.environ, **environment})


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


class Installed:
    """What `make install-grub` has put below a folder."""

    def __init__(self, root):
        self.root = root
        self.boot = root / "boot" / "permafrost"
        self.settings = root / "etc" / "default" / "permafrost"
        self.script = root / "etc" / "grub.d" / "42_permafrost"

    def entry(self, **environment):
        """The script's (standard output, standard error), run as grub-mkconfig does, with these variables."""
        places = {"PERMAFROST_BOOT": str(self.boot), "PERMAFROST_SETTINGS": str(self.settings)}
        done = run(str(self.script), **places, **environment)
        equal(done.returncode, 0, f"the script's status ({done.stderr})")
        found = self.root / "entry.cfg"
        found.write_text(done.stdout)
        if done.stdout:
            checked = run("grub-script-check", str(found))
            equal(checked.returncode, 0, f"grub-script-check: {checked.stderr}")
        return done.stdout, done.stderr


@test(on=NONE)
def test_install_grub(t):
    """The files, the settings, and an entry that GRUB takes, with /boot on a partition of its own or of an unknown one."""
    root = (t.folder / "root").resolve()
    made = Installed(root)
    done = run("make", "install-grub", f"DESTDIR={root}")
    equal(done.returncode, 0, f"make install-grub ({done.stderr})")
    check("next: update-grub" in done.stdout, f"it does not tell what is next: {done.stdout}")
    equal(sorted(path.name for path in made.boot.iterdir()), ["initrd.img", "permafrost.elf", "vmlinuz"], "files")

    text, errors = made.entry(pkgdatadir=str(root / "nothing"))
    search = f"search --no-floppy --file --set=root {made.boot}/permafrost.elf"
    equal(text, ENTRY.replace("PATH", str(made.boot)).replace("ACCESS", search), "entry on an unknown disk")
    check("GRUB will search" in errors, f"no warning: {errors}")

    known = {"grub_probe": program(root / "probe", PROBE), "grub_mkrelpath": program(root / "relpath", "#!/bin/sh\necho /permafrost\n")}
    access = ("insmod part_gpt", "insmod ext2", "search --no-floppy --fs-uuid --set=root 1234-ABCD")
    text, _ = made.entry(**known)
    equal(text, ENTRY.replace("PATH", "/permafrost").replace("ACCESS", "\n        ".join(access)), "entry with /boot apart")

    made.settings.write_text('PERMAFROST_OPTIONS="console=com2"\nPERMAFROST_VMS="\n# off\n/bzImage vm=a mem=64M -- x=1 y=\'2 3\'\ngone\n"\n')
    check(run("make", "install-grub", f"DESTDIR={root}").returncode == 0, "a second install")
    text, errors = made.entry(**known)
    equal([line.strip() for line in text.splitlines()][-4:],
          ["multiboot2 /permafrost/permafrost.elf console=com2", "module2 --nounzip /bzImage vm=a mem=64M -- x=1 y='2 3'",
           "module2 --nounzip /permafrost/gone", "}"], "entry by changed settings")
    check("gone is missing" in errors, f"no warning of a missing file: {errors}")

    (made.boot / "permafrost.elf").unlink()
    equal(made.entry(**known), ("", ""), "the script without the hypervisor's image")


@test(on=NONE)
def test_install_needs_root(t):
    """Without root and DESTDIR nothing is written."""
    as_nobody = () if os.geteuid() else ("setpriv", "--reuid=65534", "--clear-groups")
    done = run(*as_nobody, "make", "install-grub", "DESTDIR=")
    check(done.returncode != 0 and "needs root" in done.stderr, f"status {done.returncode}: {done.stdout}{done.stderr}")
