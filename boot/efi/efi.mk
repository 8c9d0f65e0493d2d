# The UEFI start without GRUB: build/BOOTX64.EFI, and the disk image for a USB stick.

EFI_DIR := /usr/include/efi
# Files that need boot services; the others of the folder are in the image or know nothing of either.
EFI_ONLY := boot/efi/efi_main.c boot/efi/efi_io.c boot/efi/efi_platform.c
EFI_TEST := tests/firmware/pmem_efi.c
EFI_ONLY_H := boot/efi/efi_io.h boot/efi/efi_platform.h
# What only the loader uses of the code without boot services: not in the image, but in the hosted tests.
EFI_PURE := boot/efi/efi_config.c boot/efi/efi_screen.c boot/efi/elf_load.c
EFI_HEADERS := -isystem $(EFI_DIR) -isystem $(EFI_DIR)/x86_64 -DGNU_EFI_USE_MS_ABI -fshort-wchar
EFI_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fpic -mno-red-zone -mgeneral-regs-only -maccumulate-outgoing-args \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none \
	-fvisibility=hidden $(EFI_HEADERS) -I. -Wall -Wextra -Wshadow -Wconversion -Wundef -Werror
EFI_SECTIONS := $(foreach s,.text .sdata .data .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc,-j $(s))

# An EFI application of objects by GNU-EFI's start code, relocation and linker script.
define efi_link
$(Q)ld -nostdlib -znocombreloc -zdefs -shared -Bsymbolic -T /usr/lib/elf_x86_64_efi.lds /usr/lib/crt0-efi-x86_64.o \
	$(filter %.o,$^) /usr/lib/libgnuefi.a -o $@.so
$(Q)objcopy $(EFI_SECTIONS) --target efi-app-x86_64 $@.so $@
endef

build/efi/%.o: %.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -c $< -o $@

EFI_OBJS := $(patsubst %.c,build/efi/%.o,$(EFI_ONLY) $(EFI_PURE) hv/lib/format.c hv/lib/string.c)

build/BOOTX64.EFI: $(EFI_OBJS)
	$(efi_link)

-include $(wildcard $(EFI_OBJS:.o=.d))

# For dd to a USB stick: it starts the demonstration's Linux guest.
IMAGE_FILES := build/BOOTX64.EFI=EFI/BOOT/BOOTX64.EFI boot/efi/permafrost.cfg=permafrost.cfg \
	build/permafrost.elf=boot/permafrost.elf build/linux/vmlinuz=boot/vmlinuz build/initrd.img=boot/initrd.img

build/permafrost.img: boot/efi/mkimage.sh $(foreach f,$(IMAGE_FILES),$(firstword $(subst =, ,$f))) | deps
	$(Q)boot/efi/mkimage.sh $@ $(IMAGE_FILES)
	@echo "built $@: $$(($$(stat -c %s $@) >> 20)) MiB, $$(du -m $@ | cut -f1) MiB of them used"

.PHONY: image
image: build/permafrost.img

# Test firmware: tells persistent memory in its map, and starts another application.
build/pmem.efi: $(EFI_TEST:%.c=build/efi/%.o)
	$(efi_link)
