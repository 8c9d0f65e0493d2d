/*
 * The hypervisor's own page tables: everything at its physical address, the image's sections with
 * the protection they need and no more (W^X), all other memory without execution, and nothing at
 * the guard page under the stack.
 */
#pragma once

#include "boot/machine.h"

/* Build the tables from the memory map and switch to them. -ENOMEM; logged. */
must_check int host_map_init(struct machine *m);
