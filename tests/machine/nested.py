"""Permafrost below a real KVM, as a test machine that needs no hardware: an emulator (QEMU with SVM, or Bochs with VT-x)
boots a Linux host, in which QEMU with KVM is the machine. A host serves one machine after the other."""
import os
import re
import select
import shutil
from dataclasses import replace
from pathlib import Path

from tests.machine import bochs, iso
from tests.machine import memory as mem
from tests.machine.emulator import LOOK_S, START_LIMIT_S, Emulator, Failure, listen_tcp
from tests.machine.qemu import memory_words

SHARE = 4  # a machine here is so many times slower than one on the same emulator
HOST_MIB = {"nested": 3072, "nested-vtx": 2048}  # Bochs has no more
KERNEL_WORDS = "console=ttyS0 quiet mitigations=off panic=-1 nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
BOX_BYTES = 260 * 16 * 63 * 512  # the host's disk, whole cylinders: an ISO, and at the end the option ROM
BLOCK = 32 << 10  # the host's init counts in these; the last one is for the option ROM
FIRST_SLOT = 0x10  # on the host's PCI bus: where the NVDIMMs' memory is
REASONS = {"6": "poweroff", "7": "reset"}  # QEMU's enum ShutdownCause: of the guest's doing

# QEMU 7.2's SVM does not intercept XSETBV, so that KVM would lose what its guest has written to XCR0. Without XSAVE there is no
# AVX either, which libpmem believes CPUID of.
TCG_CPU = "max,+svm,+npt,-la57,-xsave,-avx,-avx2,-fma,-f16c"
# Bochs 2.7 has no posted interrupts, without which KVM forgets for which vectors an EOI is to exit.
INNER_CPU = {"nested": "host", "nested-vtx": "host,vmx-apicv-vid=off"}

# What KVM and its host's kernel may say; all else that COMPLAINT finds is a failure.
COMPLAINT = r"kvm|nested|WARNING|BUG|Oops|Call Trace|general protection|segfault"
HARMLESS = r"SMP vm created on host with unstable TSC"


class Host(Emulator):
    """The emulator with the Linux host. Its own line is the console; `wire` is the serial line of the machine that it
    runs. With a Bochs host the NVDIMMs' contents last as long as the host does; with a QEMU one they are in their files."""

    def __init__(self, kind, cpus, parts, folder, watch=None):
        super().__init__(f"{kind} host", folder, watch, share=cpus if kind == "nested-vtx" else 1)
        self.kind, self.cpus, self.parts = kind, cpus, tuple(parts)
        self.box = folder / "box.img"
        self.running = False  # a machine
        self.status = self.reason = None  # of the last one's end: QEMU's, and of REASONS
        self.told = 0  # up to where its log was looked through
        self.complaints = []
        self.wire = None

    def fits(self, kind, cpus, parts):
        """Whether a machine of this kind can run here."""
        return self.alive() and self.kind == kind and self.cpus >= cpus and set(parts) <= set(self.parts)

    def alive(self):
        return self.line is not None and self.process.poll() is None

    def boot(self, kernel, initrd, keepmem):
        """Starts the emulator, and waits for the host's init."""
        with open(self.box, "wb") as box:
            box.truncate(BOX_BYTES)
        first, console = listen_tcp()
        second, wire = listen_tcp()
        if self.kind == "nested":
            self.spawn(self.qemu_command(kernel, initrd, console, wire), first)
        else:
            self.spawn(self.bochs_command(kernel, initrd, console, wire), first, {"LD_PRELOAD": str(keepmem)})
        second.settimeout(START_LIMIT_S)
        self.wire, _ = second.accept()
        self.wire.setblocking(False)
        second.close()
        self.expect(r"^HOST: ready", SHARE * START_LIMIT_S)
        if re.search(r"^HOST: error", self.log, re.M):
            raise self.failure("the host does not start well")

    def qemu_command(self, kernel, initrd, console, wire):
        command = ["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", TCG_CPU, "-smp", str(self.cpus)]
        command += ["-m", str(HOST_MIB[self.kind]), "-nodefaults", "-vga", "none", "-display", "none", "-no-reboot"]
        command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", KERNEL_WORDS]
        command += ["-drive", f"file={self.box},format=raw,if=ide"]
        for name, port in (("console", console), ("wire", wire)):
            command += ["-chardev", f"socket,id={name},host=127.0.0.1,port={port},nodelay=on", "-serial", f"chardev:{name}"]
        for number, part in enumerate(self.parts):
            backend = f"memory-backend-file,id=nv{number},size={part.size},mem-path={part.path},share=on"
            command += ["-object", backend, "-device", f"ivshmem-plain,memdev=nv{number},addr={FIRST_SLOT + number:#x}"]
        return command

    def bochs_command(self, kernel, initrd, console, wire):
        """The NVDIMMs are files in the host's memory, which its init makes."""
        Path(f"{self.box}.lock").unlink(missing_ok=True)  # a killed Bochs leaves it
        files = {"vmlinuz": kernel, "initrd": initrd}
        nvdimms = ",".join(f"nvdimm{number}:{part.size}" for number, part in enumerate(self.parts))
        lines = [f"linux /boot/vmlinuz {KERNEL_WORDS} nvdimms={nvdimms}", "initrd /boot/initrd"]
        disc = iso.make(self.workdir / "host.iso", iso.write_config(lines), files, self.workdir / "stage")
        config = bochs.CONFIG.format(
            model=bochs.REFERENCE, cpus=self.cpus, mib=HOST_MIB[self.kind], iso=disc, port=console, rom=""
        )
        config += f"com2: enabled=1, mode=socket-client, dev=127.0.0.1:{wire}\n"
        config += f"ata0-slave: type=disk, mode=flat, path={self.box}, cylinders=0\n"
        (self.workdir / "bochsrc").write_text(config)
        (self.workdir / "rc").write_text("c\n")
        return ["bochs", "-q", "-f", "bochsrc", "-rc", "rc"]

    def inside(self, part):
        """Where the host's QEMU finds an NVDIMM's memory."""
        number = self.parts.index(part)
        if self.kind == "nested":
            return f"/sys/bus/pci/devices/0000:00:{FIRST_SLOT + number:02x}.0/resource2"
        return f"/tmp/nvdimm{number}"

    def put(self, path, rom):
        """Gives the host the ISO, and the option ROM if there is one, by way of its disk."""
        self.take("iso", path, 0, BOX_BYTES - BLOCK)
        if rom:
            self.take("rom", rom, BOX_BYTES - BLOCK, BLOCK)

    def take(self, name, path, at, room):
        size = os.path.getsize(path)
        if size > room:
            raise Failure(f"{self.name}: {path} has more than {room} bytes")
        with open(self.box, "r+b") as box, open(path, "rb") as source:
            box.seek(at)
            shutil.copyfileobj(source, box, mem.MIB)
        self.send(f"take {name} {at // BLOCK} {-(-size // BLOCK)}\n")

    def begin(self, words):
        self.running, self.status, self.reason = True, None, None
        self.send(f"start {' '.join(words)}\n")
        self.expect(r"^HOST: started", START_LIMIT_S)

    def pump(self, timeout):
        """As every emulator's; takes note of what is told of the machine."""
        alive = super().pump(timeout)
        end = self.log.rfind("\n") + 1
        for line in self.log[self.told : end].replace("\r", "").splitlines():
            self.hear(line)
        self.told = max(self.told, end)
        self.running = self.running and alive
        return alive

    def hear(self, line):
        shutdown = re.match(r"HOST: qemu: .*qemu_system_shutdown_request reason=(\d+)", line)
        kernel = line.startswith("HOST: kernel: ") and re.search(COMPLAINT, line) and not re.search(HARMLESS, line)
        if shutdown:
            self.reason = shutdown[1]
        elif line.startswith("HOST: ended "):
            self.running, self.status = False, line.split()[-1]
        elif kernel or re.match("HOST: (refused|qemu): ", line):
            self.complaints.append(line)

    def ending(self):
        return "the host ended"

    def check(self):
        """Failure when KVM, QEMU or the host's kernel complained since the last time."""
        found, self.complaints = self.complaints, []
        if found:
            raise Failure(f"{self.name}: complaints:\n" + "\n".join("    | " + line for line in found[:40]))


class Nested(Emulator):
    """A machine of the host. Its power cut is that of the inner QEMU; cut_host() is that of all."""

    def __init__(self, host, name, workdir, watch=None):
        super().__init__(name, workdir, watch, share=SHARE * host.share)
        self.host, self.line, self.clock = host, host.wire, host.clock

    def __exit__(self, kind, *rest):
        self.cut()
        if kind is None:
            self.host.check()

    def pump(self, timeout):
        if self.line is None:
            return False
        if self.tick:
            self.tick()
        select.select([self.line, *([self.host.line] if self.host.line else [])], [], [], max(0, min(timeout, LOOK_S)))
        self.host.pump(0)
        self.host.check()  # a machine that KVM could not run on stands still
        open_still = super().pump(0)
        if not open_still or self.host.running:
            return open_still
        while self.line and select.select([self.line], [], [], 0)[0]:
            super().pump(0)
        self.line = None  # it is the host's: the next machine has it
        return False

    def wait_end(self, timeout):
        self.run_to_end(timeout)
        return self.ending()

    def ending(self):
        """poweroff or reset, as QEMU's trace tells; else its status."""
        if self.host.status is None:
            return f"the host ended: {self.host.log[-600:]}"
        return REASONS.get(self.host.reason, f"status {self.host.status}, reason {self.host.reason}")

    def cut(self):
        if self.line is None:
            return
        if self.host.running and self.host.alive():
            self.host.send("cut\n")
        self.run_to_end(START_LIMIT_S)

    def cut_host(self):
        self.host.cut()
        self.cut()

    def run_to_end(self, timeout):
        self.run_for(timeout)
        if self.line is not None:
            raise self.failure(f"still runs after {timeout} s of its own time")


def words_for(host, setup, memory_parts, rom):
    """QEMU's command line in the host."""
    inside = [(nvdimm, replace(part, path=host.inside(part))) for nvdimm, part in memory_parts]
    options, words = memory_words(setup.memory, None, inside, setup.persistence)
    command = ["-machine", "q35,accel=kvm" + options, *words, "-cpu", setup.model or INNER_CPU[host.kind], "-smp", str(setup.cpus)]
    command += ["-L", "/usr/share/qemu", "-nodefaults", "-no-user-config", "-vga", "none", "-display", "none"]
    command += ["-trace", "qemu_system_shutdown_request"]
    command += ["-drive", "file=/tmp/iso,format=raw,if=none,id=cd,readonly=on", "-device", "ide-cd,drive=cd", "-boot", "d"]
    command += ["-serial", "/dev/ttyS1"]
    command += ["-option-rom", "/tmp/rom"] if rom else []
    command += [] if setup.reboots else ["-no-reboot"]
    return command + list(setup.extra)


def launch(host, workdir, iso_path, setup, nvdimms, rom=None, watch=None):
    """Starts a machine in the host, which is up. `nvdimms` are pairs of an Nvdimm and its mem.Part."""
    host.put(iso_path, rom)
    machine = Nested(host, f"{host.kind} {setup.model or 'KVM'}", workdir, watch)
    host.begin(words_for(host, setup, nvdimms, rom))
    return machine
