/*
 * The hypervisor's own page tables: everything at its physical address, the image's sections with
 * the protection they need and no more (W^X), all other memory without execution, and nothing at
 * the guard page under the stack. They are built before the DRAM allocator starts, in RAM that the
 * entry code has mapped, so that whatever the allocator hands out can be reached.
 */
#pragma once

#include "boot/machine.h"
#include "hv/lib/limits.h"

/*
 * Leave the page at this address, one of the image, unmapped: what runs over a stack faults there.
 * Before host_map_init; the page under the boot stack is known. Too many is a panic.
 */
void host_map_guard(const void *page);

/*
 * Build the tables from the memory map and switch to them; m->tables_start and tables_size are the
 * RAM that they take. -ENOMEM: no RAM above 1 MiB and below 4 GiB for them; logged.
 */
must_check int host_map_init(struct machine *m);

/*
 * Look through all pages of the tables that this CPU uses, and check that it enforces what they say
 * (host_check.h). Logs one line; a breach is a broken invariant: it is told, and the machine stops.
 * A CPU without NX cannot enforce them: nothing is checked, and virt_init refuses it.
 */
void host_map_check(void);
