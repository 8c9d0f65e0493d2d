# The benchmark: exact instruction counts on the reference model, beside KVM's and Xen's.

BENCH_FILES := build/permafrost.elf build/linux/vmlinuz build/bench/initrd.img build/bench/exits.bin

build/bench/exits.bin: tests/bench/exits.asm tests/guests/bzimage.inc | deps
	@mkdir -p $(@D)
	$(Q)$(NASM) -f bin -Werror -i tests/guests/ $< -o $@

build/bench/pf_bench: guest/linux/pf_bench.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -static $< -o $@

build/bench/initrd.img: build/bench/pf_bench $(GUEST_SCRIPTS) tests/machine/initramfs.py build/linux/vmlinuz
	$(Q)$(CLI) initramfs --minimal $@ build/bench/pf_bench

.PHONY: bench
bench: deps $(BENCH_FILES)
	$(Q)python3 -B -m tests.bench.run
