# The benchmark: exact instruction counts on the reference model, beside KVM's and Xen's, and of hosted programs.

BENCH_FILES := build/permafrost.elf build/linux/vmlinuz build/bench/initrd.img build/bench/exits.bin

build/bench/exits.bin: tests/bench/exits.asm tests/guests/bzimage.inc | deps
	@mkdir -p $(@D)
	$(Q)$(NASM) -f bin -Werror -i tests/guests/ $< -o $@

build/bench/pf_bench: guest/linux/pf_bench.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -static $< -o $@

build/bench/initrd.img: build/bench/pf_bench $(GUEST_SCRIPTS) tests/machine/initramfs.py build/linux/vmlinuz
	$(Q)$(CLI) initramfs --minimal $@ build/bench/pf_bench

# Hosted programs, counted by callgrind. The published figures they stand beside were clang's. Without -g: valgrind 3.19
# cannot read clang's debug information.
BENCH_CC := clang
BENCH_CFLAGS := -std=gnu11 -O2 -I. -Wall -Wextra -Wshadow -Wundef -Werror
DRAM_BENCH_SRCS := tests/bench/dram_bench.c tests/bench/buddy.c mm/dram.c mm/dram_start.c

build/bench/dram_bench: $(DRAM_BENCH_SRCS) tests/bench/buddy.h mm/dram.h mm/dram_internal.h | deps
	@mkdir -p $(@D)
	$(Q)$(BENCH_CC) $(BENCH_CFLAGS) -pthread $(DRAM_BENCH_SRCS) -o $@

.PHONY: bench bench-dram
bench: deps $(BENCH_FILES) build/bench/dram_bench
	$(Q)python3 -B -m tests.bench.run
	$(Q)python3 -B -m tests.bench.dram --json build/bench.json

bench-dram: build/bench/dram_bench
	$(Q)python3 -B -m tests.bench.dram
