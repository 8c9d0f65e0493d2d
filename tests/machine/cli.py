"""Command line of the test machines, called by the Makefile: python3 -m tests.machine.cli COMMAND ..."""
import argparse
import os
import sys
from dataclasses import replace

from tests.machine import choose, debian, initramfs, kernel, nested_host
from tests.machine.emulator import Failure
from tests.machine.lab import BUILD, Lab, Setup, Vm, entry, standard_files
from tests.machine.memory import Nvdimm
from tests.machine.progress import Progress

RUN_LIMIT_S = 600


def command_kernel(args):
    print(f"kernel: downloading Debian's {args.name} kernel", file=sys.stderr)
    kernel.fetch(args.folder, args.name)


def command_initramfs(args):
    tools = {} if args.minimal else initramfs.STRESS if args.stress else initramfs.TOOLS
    initramfs.build(args.path, os.path.join(args.kernel, "modules"), args.programs, tools)


def command_nested(args):
    nested_host.build(args.path, BUILD / "linux" / "modules")


def command_iso(args):
    Lab(BUILD / "iso").iso(entry(Vm()), name=os.path.abspath(args.path))


def run_setup(kind, model):
    """The machine of `make run`: the option ROM's NVRAM of three types and, on QEMU, an NVDIMM; in KVM that alone."""
    setup = Setup(kind=kind, model=model, keep=True)
    if kind == "bochs":
        return setup
    return replace(setup, rom=kind not in choose.NESTED, nvdimms=(Nvdimm(256),), persistence="mem-ctrl")


def command_run(args):
    kind, reason = choose.choose(args.machine)
    setup = run_setup(kind, args.model)
    interactive = sys.stdin.isatty()
    print(f"run: on {kind} with {setup.vendor}: {reason}", file=sys.stderr)
    if kind in choose.NESTED:
        print("run: first the Linux host starts, which takes a minute, on Bochs some", file=sys.stderr)
    mode = "shell" if interactive else "demo"
    lab = Lab(args.folder)
    path = lab.iso(entry(Vm(args=f"quiet pf.mode={mode}")))
    progress = Progress(setup.label)
    progress.what = "waits for the firmware and GRUB to load the kernel"

    def show(text):
        progress.clear()
        progress.what = "waits for the machine"
        sys.stdout.write(text)
        sys.stdout.flush()

    with lab.start(setup, path, watch=show) as machine:
        machine.tick = progress.tick
        if interactive:
            print("run: Ctrl-\\ cuts the power; Ctrl-] c is Permafrost's monitor; make clean-nvram throws the NVRAM away", file=sys.stderr)
            ending = machine.interact()
        else:
            ending = machine.wait_end(RUN_LIMIT_S)
        progress.clear()
        print(f"run: the machine ended: {ending}", file=sys.stderr)
        if interactive:
            return 0
        return 0 if ending == "poweroff" and "PF-TEST: demo ok" in machine.log else 1


def command_debian_root(args):
    print("debian: mmdebstrap makes the root, which takes some minutes", file=sys.stderr)
    debian.build()


def command_debian(args):
    """The region is made of the image at first, and keeps what the VM writes."""
    kind, reason = choose.choose(args.machine)
    if kind not in ("qemu", "qemu-kvm"):
        raise Failure(f"debian: {kind} has no room for its NVRAM: use MACHINE=qemu or MACHINE=qemu-kvm")
    setup = Setup(kind=kind, model=args.model, cpus=2, **debian.needs(1))
    lab = Lab(args.folder)
    part, = lab.nvram(setup)
    if not part.path.exists():
        print("debian: the image is imported into the region debian-db", file=sys.stderr)
        debian.install(lab, setup, {"debian-db": "db"})
    path = lab.iso(entry(debian.vm("db", "debian-db", dax=args.dax)), {**standard_files(), **debian.FILES})
    print(f"debian: on {kind} with {setup.vendor}: {reason}; root is {'/dev/pmem0 with DAX' if args.dax else '/dev/vda'}", file=sys.stderr)

    def show(text):
        sys.stdout.write(text)
        sys.stdout.flush()

    with lab.start(setup, path, watch=show) as machine:
        if sys.stdin.isatty():
            print("debian: Ctrl-\\ cuts the power; Ctrl-] c is Permafrost's monitor; what is written stays in the region", file=sys.stderr)
            ending = machine.interact()
        else:
            machine.until(lambda: debian.PROMPT in machine.log, RUN_LIMIT_S, "the shell's prompt")
            machine.send("systemctl is-system-running --wait && systemctl poweroff\r")
            ending = machine.wait_end(RUN_LIMIT_S)
    print(f"debian: the machine ended: {ending}", file=sys.stderr)
    return 0 if ending == "poweroff" else 1


def parse():
    parser = argparse.ArgumentParser(prog="tests.machine.cli", description=__doc__)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("kernel", help="fetch the guest's kernel into a folder")
    part.add_argument("folder")
    part.add_argument("name", nargs="?", default="cloud", help="cloud, generic, rt or backports")
    part.set_defaults(call=command_kernel)
    part = commands.add_parser("initramfs", help="write the guest's initramfs")
    part.add_argument("--minimal", action="store_true", help="without file system and NVRAM tools")
    part.add_argument("--stress", action="store_true", help="with stress-ng in their place")
    part.add_argument("--kernel", default=BUILD / "linux", help="the folder of the kernel whose modules it gets")
    part.add_argument("path")
    part.add_argument("programs", nargs="*")
    part.set_defaults(call=command_initramfs)
    part = commands.add_parser("nested", help="write the initramfs of the nested machines' host")
    part.add_argument("path")
    part.set_defaults(call=command_nested)
    part = commands.add_parser("iso", help="write the bootable ISO")
    part.add_argument("path")
    part.set_defaults(call=command_iso)
    part = commands.add_parser("run", help="boot: a shell with a terminal, else the demonstration")
    part.add_argument("--machine", default="auto")
    part.add_argument("--model", default="", help="a Bochs model or a QEMU -cpu value")
    part.add_argument("--folder", default=BUILD / "run", help="where its memory and its logs are kept")
    part.set_defaults(call=command_run)
    part = commands.add_parser("debian-root", help="make the image of a Debian root")
    part.set_defaults(call=command_debian_root)
    part = commands.add_parser("debian", help="boot it from NVRAM")
    part.add_argument("--machine", default="auto")
    part.add_argument("--model", default="", help="a QEMU -cpu value")
    part.add_argument("--dax", action="store_true", help="its root is mapped, not a disk")
    part.add_argument("--folder", default=BUILD / "run-debian", help="where its memory and its logs are kept")
    part.set_defaults(call=command_debian)
    return parser.parse_args()


def main():
    args = parse()
    try:
        return args.call(args) or 0
    except (Failure, ValueError, RuntimeError, kernel.Missing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
