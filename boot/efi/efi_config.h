/*
 * permafrost.cfg of the EFI loader: the lines that a grub.cfg entry has.
 *
 *     # a comment
 *     menuentry "permafrost" {
 *         multiboot2 /boot/permafrost.elf console=com1 run="nv list; map"
 *         module2 --nounzip /boot/vmlinuz vm=db mem=256M -- quiet
 *         module2 --nounzip /boot/initrd.img initrd
 *     }
 *
 * Words are separated by blanks and quoted as in GRUB: 'as it stands', "with backslashes", and a
 * backslash for one character. They are handed over as GRUB 2 does: a word with blanks in it is put
 * in double quotes, and quotes and backslashes get a backslash. The first entry with a multiboot2
 * line is taken; nothing is ever unpacked, with or without --nounzip. Lines menuentry, set, insmod,
 * boot and } may be there and do nothing; variables and several commands in a line are GRUB's
 * alone.
 */
#pragma once

#include "boot/boot_info.h"
#include "hv/lib/types.h"

struct efi_file {
        const char *path; /* from the volume's root, begins with a slash */
        const char *args; /* "" when there are none */
};

struct efi_config {
        struct efi_file image;
        struct efi_file module[BOOT_MODULES_MAX];
        size_t module_count, modules_left; /* lines beyond BOOT_MODULES_MAX are left out */
        unsigned line; /* number of the line with the mistake, from 1; 0: it is about none */
};

/* Bytes of room that a file of that size needs. */
#define EFI_CONFIG_ROOM(size) (2 * (size) + 64)

/*
 * Read the size bytes of text into *out. Its strings are put into room, which must have
 * EFI_CONFIG_ROOM(size) bytes and outlive them. Returns NULL, or in words what is wrong, with
 * out->line.
 */
must_check const char *efi_config_parse(const char *text, size_t size, char *room,
                                        struct efi_config *out);
