/* Filling the loader's memory map in struct boot_info, whose table cannot hold any number of
 * entries. */
#pragma once

#include "boot/boot_info.h"

/*
 * Add an entry; one that touches it and means the same grows by it. When the table is full, the
 * smallest entry of RAM is left out. If there is none, an entry that offers NVRAM is left out, and
 * one that reserves memory joins the last one, with all that lies between: whatever was reserved
 * stays so. info->map_left counts what happened.
 */
void boot_map_add(struct boot_info *info, const struct boot_map_entry *entry);
