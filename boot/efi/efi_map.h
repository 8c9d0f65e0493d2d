/* The EFI memory map (UEFI 2.10, 7.2.3) as entries of struct boot_info. */
#pragma once

#include "boot/boot_info.h"
#include "hv/lib/types.h"

/*
 * Replace info's map by what the size bytes at map say, in descriptors of descriptor_size bytes
 * each (it may be larger than what this version of UEFI defines, so it is told apart). Boot
 * services must have ended: what was theirs or a loader's counts as RAM. Type 14 is persistent
 * memory; memory that has a specific purpose, is not volatile, is the firmware's at run time or
 * cannot be cached with write-back is not RAM; unknown types are reserved. Entries are added as
 * boot_map.h tells.
 *
 * Descriptors without pages are passed over. One that offers memory and wraps or does not begin on
 * a page is passed over; one that reserves memory and wraps is cut. Both are logged.
 * -EINVAL: the sizes are impossible. Logged; the map is then unusable.
 */
must_check int efi_map_read(const void *map, uint64_t size, uint64_t descriptor_size,
                            struct boot_info *info);

/*
 * The start by our own EFI loader: copy what it handed over into *info and read its EFI memory map
 * into info->map. The strings stay where they are. -EINVAL: a loader of another build, or a map
 * with impossible sizes. Logged; *info then has empty strings and no module.
 */
must_check int efi_info_take(const struct boot_info *from, struct boot_info *info);
