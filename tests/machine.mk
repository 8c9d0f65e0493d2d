# Test machines: the packages, the Linux guest's kernel and initramfs, the ISO, run, and the end-to-end tests.

CLI := python3 -B -m tests.machine.cli
MACHINE ?= auto
MODEL ?=
# The targets that boot something build with all CPUs, once the packages are there.
PARALLEL = $(MAKE) $(if $(V),,-s) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
GUEST_PROGRAMS := $(patsubst guest/linux/%.c,build/guest/%,\
	$(filter-out guest/linux/pf_bench.c,$(wildcard guest/linux/pf_*.c))) build/guest/pfctl
GUEST_SCRIPTS := guest/linux/init $(wildcard guest/linux/*.sh)

.PHONY: deps run iso initramfs clean-nvram
deps:
	@.ci/install

build/linux/vmlinuz: tests/machine/kernel.py .ci/packages.txt | deps
	$(Q)$(CLI) kernel build/linux

# Other kernels, for make soak.
KERNELS := generic rt backports
KERNEL_FILES := $(foreach name,$(KERNELS),build/linux-$(name)/vmlinuz build/linux-$(name)/initrd.img)

build/linux-%/vmlinuz: tests/machine/kernel.py .ci/packages.txt | deps
	$(Q)$(CLI) kernel build/linux-$* $*

build/linux-%/initrd.img: build/linux-%/vmlinuz $(GUEST_SCRIPTS) $(GUEST_PROGRAMS) tests/machine/initramfs.py
	$(Q)$(CLI) initramfs --kernel build/linux-$* $@ $(GUEST_PROGRAMS)

.PRECIOUS: build/linux-%/vmlinuz

GUEST_CFLAGS := -std=gnu11 -O2 -I. -Wall -Wextra -Wshadow -Wconversion -Werror

build/guest/%: guest/linux/%.c guest/linux/util.c guest/linux/pf_util.h | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) $< guest/linux/util.c -o $@ $(LIBS)

build/guest/pfctl: guest/linux/pfctl.c guest/linux/pfctl_request.c guest/linux/pfctl.h | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -static $(filter %.c,$^) -o $@

# The administrator's program for a Linux VM that has `control`.
.PHONY: pfctl
pfctl: build/guest/pfctl

build/guest/pf_bank: LIBS := -lpmemobj

build/keepmem.so: tests/machine/keepmem.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Werror -shared -fPIC $< -o $@

build/initrd.img: $(GUEST_SCRIPTS) $(GUEST_PROGRAMS) tests/machine/initramfs.py build/linux/vmlinuz
	$(Q)$(CLI) initramfs $@ $(GUEST_PROGRAMS)

build/stress.img: $(GUEST_SCRIPTS) tests/machine/initramfs.py build/linux/vmlinuz
	$(Q)$(CLI) initramfs --stress $@

build/nested.img: tests/machine/nested-host/init tests/machine/nested_host.py tests/machine/initramfs.py build/linux/vmlinuz
	$(Q)$(CLI) nested $@

initramfs: build/initrd.img

BOOT_FILES := build/permafrost.elf build/linux/vmlinuz build/initrd.img

build/permafrost.iso: $(BOOT_FILES) tests/machine/iso.py tests/machine/lab.py
	$(Q)$(CLI) iso $@

iso: build/permafrost.iso

RUN_FILES := $(BOOT_FILES) build/keepmem.so $(if $(findstring nested,$(MACHINE)),build/nested.img)

run: deps
	$(Q)$(PARALLEL) $(RUN_FILES)
	$(Q)$(CLI) run --machine "$(MACHINE)" --model "$(MODEL)"

clean-nvram:
	$(Q)rm -f build/run/memory-*.img* build/run-debian/memory-*.img*

# A whole Debian from NVRAM: DAX=1 maps its root, which is a disk otherwise. The image is made once.
build/debian/root.ext4: tests/machine/debian.py tests/machine/debian-root.sh | deps
	$(Q)$(CLI) debian-root

.PHONY: debian
debian: deps
	$(Q)$(PARALLEL) build/permafrost.elf build/nvpool build/debian/root.ext4
	$(Q)$(CLI) debian --machine "$(MACHINE)" --model "$(MODEL)" $(if $(DAX),--dax)

TEST_GUESTS := $(patsubst tests/guests/%.asm,build/guests/%.bin,$(wildcard tests/guests/*.asm)) build/guests/text.bin

build/guests/%.bin: tests/guests/%.asm $(wildcard tests/guests/*.inc) | deps
	@mkdir -p $(@D)
	$(Q)nasm -f bin -i tests/guests/ $< -o $@

# The hostile guest is C behind the same head: its payload stands right behind that.
HOSTILE := $(wildcard tests/guests/hostile/*)
HOSTILE_CFLAGS := -std=gnu11 -O2 -I. -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only -mcmodel=small \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none -fno-tree-loop-distribute-patterns \
	-Wall -Wextra -Wshadow -Werror -nostdlib -static -no-pie -Wl,--oformat=binary -Wl,--build-id=none

build/guests/hostile.payload: $(HOSTILE) | deps
	@mkdir -p $(@D)
	$(Q)nasm -f elf64 -Werror -i tests/guests/hostile/ tests/guests/hostile/modes.asm -o build/guests/hostile_modes.o
	$(Q)$(CC) $(HOSTILE_CFLAGS) -T tests/guests/hostile/link.ld $(filter %.c,$^) build/guests/hostile_modes.o -o $@

build/guests/hostile.bin: tests/guests/hostile.asm tests/guests/bzimage.inc build/guests/hostile.payload
	$(Q)nasm -f bin -i tests/guests/ -DPAYLOAD='"build/guests/hostile.payload"' $< -o $@

build/guests/text.bin: LICENSE
	@mkdir -p $(@D)
	$(Q)cp $< $@

E2E_FILES := $(sort $(RUN_FILES) build/nested.img) build/BOOTX64.EFI build/pmem.efi build/nvpool build/stress.img $(TEST_GUESTS)
TESTS_RUN := python3 -B -m tests.e2e.run --machine "$(MACHINE)"

# All tests; with e2e and soak ONLY=PATTERN picks end-to-end tests by name, MACHINE= the machine, SEED=N repeats a run.
.PHONY: test e2e soak
test: deps
	$(Q)$(PARALLEL) $(UNIT_TESTS) $(HEAVY_TESTS) $(FUZZ_TARGETS) $(E2E_FILES)
	$(Q)$(TESTS_RUN) $(UNIT_TESTS) $(HEAVY_TESTS)

e2e: deps
	$(Q)$(PARALLEL) $(E2E_FILES)
	$(Q)$(TESTS_RUN) --skip-unit --only "$(ONLY)"

soak: deps
	$(Q)$(PARALLEL) $(UNIT_TESTS) $(HEAVY_TESTS) $(FUZZ_TARGETS) $(E2E_FILES) $(KERNEL_FILES) build/debian/root.ext4
	$(Q)$(TESTS_RUN) --soak $(if $(ONLY),--skip-unit --only "$(ONLY)",$(UNIT_TESTS) $(HEAVY_TESTS))

# kvm-unit-tests as guests beside the bare emulator: KUT=FOLDER of its built programs, ONLY=PATTERN, MACHINE=qemu or bochs.
.PHONY: kut
kut: deps
	$(Q)$(PARALLEL) build/permafrost.elf build/guests/multiboot.bin
	$(Q)python3 -B -m tests.kut.run --suite "$(KUT)" --machine "$(or $(filter-out auto,$(MACHINE)),qemu)" --model "$(MODEL)" \
		--only "$(ONLY)"
