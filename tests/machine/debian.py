"""A Debian with systemd in an ext4 image, made by mmdebstrap, and the NVRAM that it lies in: what a user does by hand
with an image of their own."""
import shutil
import subprocess
from pathlib import Path

from tests.machine import kernel
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Vm
from tests.machine.memory import Memory, Nvdimm

FOLDER = BUILD / "debian"
SCRIPT = Path(__file__).parent / "debian-root.sh"
SUITE = "bookworm"
PACKAGES = ("systemd-sysv,udev,dbus,login,kmod,iproute2,iputils-ping,e2fsprogs,openssh-server,openssh-client,"
            "linux-image-cloud-amd64,initramfs-tools,zstd,ndctl,fio,stress-ng")
LEFT_OUT = "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"
MIB = 1024  # of the image, and of each region
PROMPT = "root@debian:~# "
ARGS = "net.ifnames=0 quiet"  # console=ttyS0 is there already


def build(folder=FOLDER):
    """root.ext4, and its vmlinuz and initrd.img, in the folder."""
    root = folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\""]
    command += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    command += [f"--include={PACKAGES}", f"--customize-hook={SCRIPT}", SUITE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True)
    (folder / "mmdebstrap.log").write_text(done.stderr)
    if done.returncode:
        raise kernel.Missing(f"mmdebstrap failed ({folder}/mmdebstrap.log): {done.stderr.strip().splitlines()[-1]}")
    for name, wanted in (("vmlinuz", "vmlinuz-*"), ("initrd.img", "initrd.img-*")):
        shutil.copy(next((root / "boot").glob(wanted)), folder / name)
    image = folder / "root.ext4.part"
    subprocess.run(["mke2fs", "-qF", "-t", "ext4", "-b", "4096", "-L", "root", "-d", root, image, f"{MIB}M"], check=True)
    shutil.rmtree(root)
    image.rename(folder / "root.ext4")


def needs(regions):
    """What a Setup needs: an NVDIMM with room for that many regions."""
    return {"rom": False, "memory": Memory(mib=2048), "keep": True, "nvdimms": (Nvdimm(regions * MIB + 128),),
            "persistence": "mem-ctrl"}


def nvpool(part, *words):
    done = subprocess.run([BUILD / "nvpool", "-y", f"{part.path}@0+{part.size >> 20}M={part.base:#x}", *words],
                          capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"nvpool {' '.join(words)}: {done.stderr}")
    return done.stdout


def install(lab, machine, regions):
    """Make the NVRAM of that Setup a pool, in which each of the regions, {name: owner}, has the image."""
    part, = lab.nvram(machine)
    with open(part.path, "wb") as file:
        file.truncate(part.size)
    nvpool(part, "format")
    for name, owner in regions.items():
        nvpool(part, "import", name, str(FOLDER / "root.ext4"), owner)


def vm(name, region, dax=False, address="", more=""):
    """A VM whose root is the region: a disk, or mapped with DAX."""
    root = "root=/dev/pmem0 rootflags=dax" if dax else "root=/dev/vda"
    where = f" ip={address}:::255.255.255.0::eth0:none" if address else ""
    return Vm(name=name, mem="512M", nvram=f"{region}:{MIB}M" if dax else "", kernel="debian-vmlinuz",
              initrd="debian-initrd", more=("" if dax else f"disk={region}:{MIB}M ") + more,
              args=f"{root} rw {ARGS}{where}")


FILES = {"debian-vmlinuz": FOLDER / "vmlinuz", "debian-initrd": FOLDER / "initrd.img"}
