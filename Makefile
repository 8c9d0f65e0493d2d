# Permafrost: `make run` and `make test` are the two commands; README.md tells the rest.

Q := $(if $(V),,@)
CC := gcc
NASM := nasm

.DEFAULT_GOAL := all
.PHONY: all unit check clean
.DELETE_ON_ERROR:

CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=small -mno-red-zone \
	-mgeneral-regs-only -mpreferred-stack-boundary=3 -fstack-protector-strong -mstack-protector-guard=global \
	-fno-asynchronous-unwind-tables \
	-fomit-frame-pointer -fno-strict-aliasing -fno-delete-null-pointer-checks \
	-fcf-protection=none -I. -Wall -Wextra -Wshadow -Wconversion -Wundef -Werror
LDFLAGS := -nostdlib -static -no-pie -Wl,-T,linker.ld -Wl,-z,max-page-size=4096 \
	-Wl,--build-id=none -Wl,--no-warn-rwx-segments

include drivers/font.mk
include guest/load/dsdt.mk
include boot/efi/efi.mk

# The folders of the image. guest/linux and guest/admin/nvpool hold programs that run in Linux.
GUEST_ROOMS := text config mem dev dev/virtio load console vm exec life admin admin/nv
IMAGE_DIRS := boot boot/efi $(GUEST_ROOMS:%=guest/%) mm mm/pool mm/dram mm/paging drivers \
	hv hv/lib hv/trap hv/safety hv/vmx hv/svm
IMAGE_SRCS := $(wildcard $(IMAGE_DIRS:%=%/*.c))
HV_SRCS := $(filter-out hv/offsets.c $(EFI_ONLY) $(EFI_PURE),$(IMAGE_SRCS))
HV_OBJS := $(HV_SRCS:%.c=build/hv/%.o) build/hv/boot/entry.o build/hv/hv/trap/trap_entry.o \
	build/hv/hv/vmx/vmx_entry.o build/hv/hv/svm/svm_entry.o $(FONT_OBJ) $(DSDT_OBJ)

all: build/permafrost.elf build/BOOTX64.EFI build/nvpool

# A header that an earlier build knew and that is gone: what included it is compiled again.
%.h: ;

build/permafrost.elf: $(HV_OBJS) linker.ld
	$(Q)$(CC) $(LDFLAGS) $(HV_OBJS) -o $@
	@echo "built $@: $$(size -A $@ | awk '/^\.(text|rodata|data)/ {n += $$2} END {print n}') bytes"

build/hv/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -MMD -c $< -o $@

build/hv/%.o: %.asm build/gen/offsets.inc hv/switch.inc
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -Werror $< -o $@

build/gen/offsets.inc: hv/offsets.c hv/virt.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -S $< -o - | sed -n 's/.*"@\([A-Z_]*\) \([0-9]*\)@".*/%define \1 \2/p' > $@

include guest/admin/nvpool/nvpool.mk
include tests/check.mk
include tests/unit.mk
include tests/machine.mk
include boot/install.mk
include tests/bench.mk
include tests/fuzz.mk

clean:
	$(Q)rm -rf build/hv build/hosted build/unit build/heavy build/gen build/efi build/guest build/tool build/bench build/fuzz build/drivers build/nvpool build/tool-tests build/*.elf build/*.iso build/*.img build/BOOTX64.EFI*

-include $(wildcard $(HV_OBJS:.o=.d))
