/* The start by our own EFI loader: takes the struct boot_info that it made. */
#pragma once

#include "boot/boot_info.h"

/*
 * Copy what the loader handed over into *info and read its EFI memory map into info->map. The
 * strings stay where they are. -EINVAL: a loader of another build, or a map with impossible sizes.
 * Logged; *info then has empty strings and no module.
 */
must_check int efi_info_take(const struct boot_info *from, struct boot_info *info);
