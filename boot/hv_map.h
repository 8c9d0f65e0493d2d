/*
 * The hypervisor's own page tables: everything at its physical address, the image's sections with
 * the protection they need and no more (W^X), all other memory without execution, and nothing at
 * the guard page under the stack. They are built before the DRAM allocator starts, in RAM that the
 * entry code has mapped, so that whatever the allocator hands out can be reached.
 */
#pragma once

#include "boot/machine.h"

/*
 * Build the tables from the memory map, and stacks for the CPUs of the MADT, and switch to the
 * tables; m->tables_start and tables_size are the RAM that both take. The pages below the stacks
 * are left out: what runs over one faults there. -ENOMEM: no RAM above 1 MiB and below 4 GiB for
 * them; logged.
 */
must_check int hv_map_init(struct machine *m);

/*
 * Look through all pages of the tables that this CPU uses, and check that it enforces what they say
 * (hv_check.h). Logs one line; a breach is a broken invariant: it is told, and the machine stops.
 * A CPU without NX cannot enforce them: nothing is checked, and virt_init refuses it.
 */
void hv_map_check(void);
