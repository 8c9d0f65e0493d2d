"""QEMU as a test machine, a q35: TCG with SVM and nested paging in software, or KVM with nested VT-x or SVM."""
import json
import os
import socket
import time

from tests.machine import memory as mem
from tests.machine.emulator import START_LIMIT_S, Emulator, Failure, listen_tcp

OVMF = "/usr/share/ovmf/OVMF.fd"
TCG_CPU = "max,+svm,+npt"  # no next-RIP, decode assists, x2APIC or TSC deadline in QEMU 7.2

BARE = ",pic=off,pit=off,hpet=off,i8042=off"


class Qemu(Emulator):
    def ending(self):
        """poweroff or reset (QEMU runs with -no-reboot when asked), as QMP said; else the exit status."""
        if self.process.returncode:
            return f"status {self.process.returncode}: {self.output()[-300:]}"
        return self.reason or "poweroff"

    reason = None
    control = None

    def connect(self, path):
        """Opens QMP, the control line of QEMU."""
        self.control = socket.socket(socket.AF_UNIX)
        deadline = self.now() + START_LIMIT_S
        while True:
            try:
                self.control.connect(str(path))
                break
            except OSError:
                if self.now() > deadline or self.process.poll() is not None:
                    raise Failure(f"{self.name}: no QMP: {self.output()[-300:]}") from None
                time.sleep(0.05)
        self.replies = self.control.makefile("rw")
        self.replies.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """Runs one QMP command and returns its result."""
        self.replies.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.replies.flush()
        while True:
            reply = json.loads(self.replies.readline())
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise Failure(f"{self.name}: {name}: {reply['error']['desc']}")

    def wait_end(self, timeout):
        ending = super().wait_end(timeout)
        for line in self.replies:
            event = json.loads(line)
            if event.get("event") == "SHUTDOWN":
                self.reason = "reset" if event["data"]["reason"] == "guest-reset" else "poweroff"
        return self.ending() if ending == "poweroff" else ending

    def physical(self, address, size):
        """Bytes of the machine's physical memory, as a device would see them."""
        path = self.workdir / "pmem.bin"
        self.command("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()

    def screen(self):
        """The 80x25 VGA text on the screen, as lines."""
        text = "".join(chr(c) if 32 <= c < 127 else " " for c in self.physical(0xB8000, 4000)[::2])
        return [text[i : i + 80].rstrip() for i in range(0, len(text), 80)]

    def picture(self):
        """The screen's pixels: width, height, RGB bytes."""
        path = self.workdir / "screen.ppm"
        self.command("screendump", filename=str(path))
        data = path.read_bytes()
        _, width, height, _, pixels = data.split(maxsplit=4) if data[:2] == b"P6" else (0, 0, 0, 0, b"")
        width, height = int(width), int(height)
        return width, height, data[len(data) - 3 * width * height :]


def memory_words(memory, image, nvdimms, persistence):
    """Options for -machine, and the words of the command line for the memory and its NVDIMMs. With `image` the memory
    lives in that file, shared; `nvdimms` are pairs of an Nvdimm and its mem.Part."""
    machine, words, size = "", [], f"{memory.mib}M"
    if image:
        words += ["-object", f"memory-backend-file,id=ram,size={size},mem-path={image},share=on"]
        machine += ",memory-backend=ram"
    if nvdimms:
        last = nvdimms[-1][1]
        room = (last.base + last.size - mem.FOUR_GIB) // mem.MIB + memory.mib
        size += f",slots={len(nvdimms)},maxmem={room}M"
        machine += ",nvdimm=on" + (f",nvdimm-persistence={persistence}" if persistence else "")
    for number, (nvdimm, part) in enumerate(nvdimms):
        backend = f"memory-backend-file,id=nv{number},size={part.size},mem-path={part.path},share=on"
        unarmed = ",unarmed=on" if nvdimm.unarmed else ""
        words += ["-object", backend, "-device", f"nvdimm,memdev=nv{number},addr={part.base:#x}{unarmed}"]
    return machine, ["-m", size, *words]


def launch(workdir, iso, memory, kvm=False, cpu=None, cpus=1, rom=None, image=None, nvdimms=(), persistence="",
           bare=False, uefi=False, disk=False, reboots=True, extra=(), watch=None):
    """Starts QEMU in `workdir` (made by the caller); see memory_words() for image, nvdimms and persistence, lab.Setup
    for bare and disk. `extra` is added to its command line."""
    listener, port = listen_tcp()
    control = workdir / "qmp.sock"
    if os.path.exists(control):
        os.unlink(control)
    command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-vga", "std"]
    command += ["-cpu", cpu or ("host" if kvm else TCG_CPU), "-smp", str(cpus)]
    options, words = memory_words(memory, image, nvdimms, persistence)
    options += BARE if bare else ""
    command += ["-machine", "q35,accel=" + ("kvm" if kvm else "tcg") + options, *words]
    if disk:
        command += ["-drive", f"file={iso},format=raw,if=none,id=disk,snapshot=on", "-device", "ide-hd,drive=disk"]
    else:
        command += ["-cdrom", str(iso), "-boot", "d"]
    command += ["-chardev", f"socket,id=line,host=127.0.0.1,port={port},nodelay=on"]
    command += ["-device", "isa-serial,chardev=line,index=1"] if bare else ["-serial", "chardev:line"]
    command += ["-qmp", f"unix:{control.name},server=on,wait=off"]
    if rom:
        command += ["-option-rom", str(rom)]
    if uefi:
        command += ["-bios", OVMF]
    if not reboots:
        command += ["-no-reboot"]
    command += extra
    name = "qemu " + ("kvm" if kvm else "tcg") + (" uefi" if uefi else "")
    emulator = Qemu(name, workdir, watch, share=cpus if "-icount" in extra else 1)
    emulator.spawn(command, listener)
    emulator.connect(control)
    return emulator
