"""Bochs as a test machine: VT-x with EPT or SVM with NPT in software, exact instruction counts, memory that survives a
SIGKILL."""
import re
import signal

from tests.machine import memory as mem
from tests.machine.emulator import START_LIMIT_S, Emulator, listen_tcp

REFERENCE = "corei7_haswell_4770"
RYZEN = "ryzen"  # SVM in place of VT-x

CONFIG = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model={model}, count={cpus}, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={mib}, host={mib}
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
{rom}pci: enabled=1, chipset=i440fx
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
clock: sync=none
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
"""


class Bochs(Emulator):
    def ending(self):
        """poweroff, or the panic that ended it."""
        text = (self.workdir / "bochs.log").read_text(errors="replace")
        if re.search(r"soft power off|shutdown requested", text):
            return "poweroff"
        panics = re.findall(r">>PANIC<< (.*)", text)
        return panics[-1] if panics else f"status {self.process.returncode}"

    def screen(self):
        """The 80x25 text on the screen, as lines. Stops the machine: it is read by the debugger, which then quits."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_LIMIT_S)
        cells = []
        for row in re.findall(r"0x0*[bB]8[0-9a-fA-F]{3} <bogus\+ *\d+>:((?:[ \t]+0x[0-9a-f]{8})+)", self.output()):
            for word in row.split():
                cells += [int(word, 16) & 0xFF, int(word, 16) >> 16 & 0xFF]
        text = "".join(chr(c) if 32 <= c < 127 else " " for c in cells)
        return [text[i : i + 80].rstrip() for i in range(0, len(text), 80)]


def launch(workdir, iso, memory, model=REFERENCE, cpus=1, rom=None, image=None, keepmem=None, watch=None):
    """Starts Bochs in `workdir` (made by the caller). `rom` is an option ROM's path or None. With `image` the memory
    lives in that file by way of the preloaded library `keepmem`."""
    listener, port = listen_tcp()
    (workdir / "bochsrc").write_text(
        CONFIG.format(
            model=model,
            cpus=cpus,
            mib=memory.mib,
            iso=iso,
            port=port,
            rom=f'optromimage1: file="{rom}", address=0xd0000\n' if rom else "",
        )
    )
    commands = list(mem.touch_commands(memory)) if image else []
    # The second half runs after a SIGINT only: screen() asks for it.
    commands += ["c", "xp /1000wx 0xb8000", "q"]
    (workdir / "rc").write_text("\n".join(commands) + "\n")
    env = {}
    if image:
        env = {"LD_PRELOAD": str(keepmem), "KEEPMEM_FILE": str(image), "KEEPMEM_BYTES": str(memory.mib * mem.MIB)}
    machine = Bochs(f"bochs {model}", workdir, watch, share=cpus)
    machine.spawn(["bochs", "-q", "-f", "bochsrc", "-rc", "rc"], listener, env)
    return machine
