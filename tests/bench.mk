# The benchmark: exact instruction counts on both emulators, beside KVM's of the same run, and of hosted programs.

BENCH_KERNELS := build/bench/exits.bin build/bench/tiny.bin
BENCH_FILES := build/permafrost.elf build/linux/vmlinuz build/bench/initrd.img $(BENCH_KERNELS) build/bench/peer.img

build/bench/%.bin: tests/bench/%.asm tests/guests/bzimage.inc tests/guests/print.inc | deps
	@mkdir -p $(@D)
	$(Q)$(NASM) -f bin -Werror -i tests/guests/ $< -o $@

build/bench/pf_bench: guest/linux/pf_bench.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -static $< -o $@

build/bench/initrd.img: build/bench/pf_bench $(GUEST_SCRIPTS) tests/machine/initramfs.py build/linux/vmlinuz
	$(Q)$(CLI) initramfs --minimal $@ build/bench/pf_bench

# The peer: a Linux host that runs the same in KVM.
PEER_CFLAGS := -std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Werror
PEER_FILES := build/bench/kvm_guest build/bench/watch.so $(BENCH_KERNELS) build/bench/initrd.img

build/bench/kvm_guest: tests/bench/peer-kvm/kvm_guest.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(PEER_CFLAGS) -static $< -o $@

build/bench/watch.so: tests/bench/peer-kvm/watch.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(PEER_CFLAGS) -shared -fPIC $< -o $@

build/bench/peer.img: $(PEER_FILES) tests/bench/peer-kvm/init tests/bench/peer.py build/linux/vmlinuz
	$(Q)python3 -B -m tests.bench.peer $@

# Hosted programs, counted by callgrind. The published figures they stand beside were clang's. Without -g: valgrind 3.19
# cannot read clang's debug information.
BENCH_CC := clang
BENCH_CFLAGS := -std=gnu11 -O2 -I. -Wall -Wextra -Wshadow -Wundef -Werror
DRAM_BENCH_SRCS := tests/bench/dram_bench.c tests/bench/buddy.c mm/dram/dram.c mm/dram/dram_start.c

build/bench/dram_bench: $(DRAM_BENCH_SRCS) tests/bench/buddy.h mm/dram/dram.h mm/dram/dram_internal.h | deps
	@mkdir -p $(@D)
	$(Q)$(BENCH_CC) $(BENCH_CFLAGS) -pthread $(DRAM_BENCH_SRCS) -o $@

# The pool is the image's own objects: its code as it will run, by its own memcpy. Calls of the primitives are counted.
POOL_BENCH_SRCS := tests/bench/pool_bench.c tests/bench/pm_count.c
POOL_BENCH_OBJS := $(patsubst %.c,build/hv/%.o,$(wildcard mm/pool/pool*.c) mm/pool/crc32c.c mm/pool/pm_native.c hv/lib/string.c)
POOL_BENCH_WRAP := $(foreach f,flush fence zero copy,-Wl,--wrap=pm_$(f))

build/bench/pool_bench: $(POOL_BENCH_SRCS) $(POOL_BENCH_OBJS) tests/bench/pm_count.h mm/pool/pool.h | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) -no-pie $(POOL_BENCH_SRCS) $(POOL_BENCH_OBJS) $(POOL_BENCH_WRAP) -o $@

.PHONY: bench bench-dram bench-pool bench-svg
bench: deps $(BENCH_FILES) build/bench/dram_bench build/bench/pool_bench
	$(Q)python3 -B -m tests.bench.run
	$(Q)python3 -B -m tests.bench.dram --json build/bench.json
	$(Q)python3 -B -m tests.bench.pool --json build/bench.json
	$(Q)python3 -B -m tests.bench.chart build/bench.json build/bench.svg

bench-dram: build/bench/dram_bench
	$(Q)python3 -B -m tests.bench.dram

bench-pool: build/bench/pool_bench
	$(Q)python3 -B -m tests.bench.pool

# The chart that tests/README.md shows: a copy of the last run's.
bench-svg:
	$(Q)cp build/bench.svg tests/bench/bench.svg
