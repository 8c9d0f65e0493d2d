"""The Linux guest's kernel: Debian's package, downloaded by name and unpacked, never installed."""
import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = Path(__file__).parent.parent.parent / ".ci" / "packages.txt"


class Missing(Exception):
    """The kernel cannot be had; the text is one line."""


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def meta_package():
    """The package to fetch, by the project's one list."""
    return re.search(r"^fetch\s+(linux-image\S+)", PACKAGES.read_text(), re.M).group(1)


def package_name():
    """The image package that the meta package depends on, by the newest version known here."""
    shown = run(["apt-cache", "depends", meta_package()]).stdout
    match = re.search(r"Depends: (linux-image-\S+)", shown)
    return match.group(1) if match else None


def download(folder):
    """The .deb's path below `folder`, or None."""
    name = package_name()
    if not name or run(["apt-get", "download", name], cwd=folder).returncode:
        return None
    return next(folder.glob(f"{name}_*.deb"), None)


def fetch(folder):
    """Makes folder/vmlinuz and folder/modules/*.ko (flat). Raises Missing."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "modules").mkdir(parents=True)
    deb = download(folder)
    if deb is None:
        update = ["apt-get", "-qq", "update"]
        done = run(update if run(["id", "-u"]).stdout.strip() == "0" else ["sudo", *update])
        deb = None if done.returncode else download(folder)
    if deb is None:
        raise Missing(f"cannot download {meta_package()}: is the network there, and Debian in the package sources?")
    run(["dpkg-deb", "-x", str(deb), str(folder / "tree")], check=True)
    kernel = next((folder / "tree" / "boot").glob("vmlinuz-*"))
    for module in (folder / "tree").rglob("*.ko"):
        if re.search(r"/(nvdimm|dax|nfit|virtio|block|char|net|kvm|virt)/", str(module)):
            shutil.copyfile(module, folder / "modules" / module.name)
    # Last: its presence says that the rest is complete.
    kernel.rename(folder / "vmlinuz")
    (folder / "vmlinuz").touch()  # the package's date is older than this file: make would fetch it again
    shutil.rmtree(folder / "tree")
    deb.unlink()
