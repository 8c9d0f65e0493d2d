/* Starting the machine's other CPUs (SDM vol. 3 8.4). */
#pragma once

#include "boot/machine.h"

/*
 * Before the hypervisor's own page tables: take a page of RAM below 1 MiB for the code with which a
 * CPU starts. Without one, smp_start starts none, and says so.
 */
void smp_take_page(struct machine *m);

/*
 * Start every CPU of the MADT, as many as have stacks, with the virtualization extension on; each
 * then calls work, which does not return. What cannot be reached, does not answer, or has not what
 * the boot CPU has, is reported and left out.
 */
void smp_start(struct machine *m, void (*work)(void));
