"""The Linux guests' kernels: Debian's packages, downloaded by name and unpacked, never installed."""
import lzma
import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = Path(__file__).parent.parent.parent / ".ci" / "packages.txt"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# of the modules, which take long to unpack, those that a test or a benchmark may want
WANTED = r"/kernel/(.*/)?(nvdimm|dax|nfit|virtio|block|char|net|kvm|virt|ext4|jbd2|lib|crypto|ata|scsi)/|/fs/[^/]*$"


class Missing(Exception):
    """The kernel cannot be had; the text is one line."""


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def meta_package(name):
    """The (package, suite) to fetch for cloud, generic, rt or backports, by the project's one list. The suite is empty
    for those that apt knows."""
    tail = {"cloud": r"-cloud-amd64()", "generic": r"-amd64()", "rt": r"-rt-amd64()", "backports": r"-amd64/(\S+-backports)"}[name]
    found = re.search(rf"^fetch\s+(linux-image{tail})\s", PACKAGES.read_text(), re.M)
    return found[1].partition("/")[0], found[2]


class Apt:
    """apt as it is set up here, or for a suite that it does not know: then with lists of its own below `folder`, and no
    need of root."""

    def __init__(self, folder, suite):
        self.options = []
        self.root = not suite and run(["id", "-u"]).stdout.strip() != "0"
        if suite:
            self.suite(folder / "apt", suite)

    def suite(self, folder, suite):
        release = suite.removesuffix("-backports")
        mirror = re.search(rf"^ *\d+ (\S+) {release}/main amd64", run(["apt-cache", "policy"]).stdout, re.M)
        if not mirror:
            raise Missing(f"no package source has {release}/main: where {suite} is, is not known")
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror[1]} {suite} main\n")
        places = {"Etc::sourcelist": "sources.list", "State::lists": "lists", "Cache": "cache"}
        self.options = ["-o", "Dir::Etc::sourceparts=-"]
        for key, part in places.items():
            self.options += ["-o", f"Dir::{key}={folder.absolute() / part}"]

    def update(self):
        command = ["apt-get", *self.options, "-qq", "update"]
        return run(["sudo", *command] if self.root else command).returncode == 0

    def download(self, meta, folder):
        """The .deb, below `folder`, of the image package that the meta package depends on, newest version; or None."""
        shown = run(["apt-cache", *self.options, "depends", meta]).stdout
        image = re.search(r"Depends: (linux-image-\S+)", shown)
        if not image or run(["apt-get", *self.options, "download", image[1]], cwd=folder).returncode:
            return None
        return next(folder.glob(f"{image[1]}_*.deb"), None)


def unpack_module(path, folder):
    """The module, unpacked when it is packed."""
    if path.suffix == ".xz":
        (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    else:
        shutil.copyfile(path, folder / path.name)


def fetch(folder, name="cloud"):
    """Makes folder/vmlinuz and folder/modules/*.ko (flat) of the kernel of that name. Raises Missing."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "modules").mkdir(parents=True)
    meta, suite = meta_package(name)
    apt = Apt(folder, suite)
    deb = apt.download(meta, folder)
    if deb is None:
        deb = apt.download(meta, folder) if apt.update() else None
    if deb is None:
        raise Missing(f"cannot download {meta} {suite}: is the network there, and Debian in the package sources?")
    run(["dpkg-deb", "-x", str(deb), str(folder / "tree")], check=True)
    kernel = next((folder / "tree" / "boot").glob("vmlinuz-*"))
    for module in (folder / "tree").rglob("*.ko*"):
        if re.search(WANTED, str(module)):
            unpack_module(module, folder / "modules")
    # Last: its presence says that the rest is complete.
    kernel.rename(folder / "vmlinuz")
    (folder / "vmlinuz").touch()  # the package's date is older than this file: make would fetch it again
    for part in ("tree", "apt"):
        shutil.rmtree(folder / part, ignore_errors=True)
    deb.unlink()
