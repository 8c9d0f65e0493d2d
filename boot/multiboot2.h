/* Multiboot2: reads the boot information structure (Multiboot2 specification 2.0, 3.6). */
#pragma once

#include "boot/boot_info.h"
#include "hv/lib/types.h"

#define MULTIBOOT2_LOADED_BY 0x36d76289u /* EAX at entry */

/*
 * Read the structure at mbi, of which limit bytes can be accessed, into *info. mbi must stay in
 * place while info's strings are used. Tags of unknown types are passed over. An EFI memory map
 * (tag 17) takes the place of the loader's own (tag 6). Modules beyond the table are counted in
 * modules_left, and entries of the map as boot_map.h tells.
 *
 * -EINVAL: the structure or a tag contradicts itself, a string has no end, or the end tag is
 * missing. Logged with the tag and its offset; *info is then unusable.
 */
must_check int multiboot2_parse(const void *mbi, uint64_t limit, struct boot_info *info);
