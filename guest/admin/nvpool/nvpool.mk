# build/nvpool: the off-line tool, a Linux program of the pool's own code. What the shared files have beside what the
# tool needs is left out by the linker, and so are the names that only that would want.

NVPOOL_SRCS := $(wildcard guest/admin/nvpool/*.c guest/admin/nv/*.c mm/pool/pool*.c) \
	mm/pool/crc32c.c mm/memmap.c hv/lib/format.c hv/lib/printk.c guest/text/command.c guest/text/out.c guest/text/words.c
NVPOOL_OBJS := $(NVPOOL_SRCS:%.c=build/tool/%.o)
NVPOOL_CFLAGS := -std=gnu11 -O2 -g -I. -ffunction-sections -fdata-sections -Wall -Wextra -Wshadow -Wconversion -Wundef \
	-Werror

.PHONY: nvpool test-nvpool
nvpool: build/nvpool

test-nvpool: build/nvpool
	$(Q)$(TESTS_RUN) --tool

build/tool/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(NVPOOL_CFLAGS) -MMD -c $< -o $@

build/nvpool: $(NVPOOL_OBJS)
	$(Q)$(CC) -Wl,--gc-sections $^ -o $@

-include $(NVPOOL_OBJS:.o=.d)
