"""A bootable ISO for BIOS and UEFI by grub-mkrescue: a grub.cfg and the files it names."""
import shutil
import subprocess
from pathlib import Path

HEAD = """\
set timeout=0
insmod all_video
menuentry permafrost {
"""


def write_config(lines):
    """The text of a grub.cfg with one entry that is started at once."""
    return HEAD + "".join(f"    {line}\n" for line in lines) + "}\n"


def make(path, config, files, stage):
    """Writes the ISO at `path`; `files` maps names below /boot to files, `stage` is a folder for the tree."""
    path, stage = Path(path), Path(stage)
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "boot" / "grub").mkdir(parents=True)
    (stage / "boot" / "grub" / "grub.cfg").write_text(config)
    for name, source in files.items():
        shutil.copyfile(source, stage / "boot" / name)
    command = ["grub-mkrescue", "-o", str(path), "--fonts=", "--locales=", "--themes=", str(stage)]
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(stage)
    if done.returncode:
        raise RuntimeError(f"grub-mkrescue failed: {done.stderr.strip()[-400:]}")
    return path
