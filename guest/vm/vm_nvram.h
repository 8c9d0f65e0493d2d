/*
 * A VM's NVRAM: the regions of its module line are found or created in the pool, attached, and
 * mapped, or opened as disks. For vm.c and run.c.
 */
#pragma once

#include "guest/vm/vm.h"

/*
 * Look at everything that can be refused before the first region is created: sizes, owners, grants,
 * quota, room. A negative errno value: the reason has been logged.
 */
must_check int vm_nvram_check(struct vm *vm);

/* Create what does not exist, attach all, and map it or open it as the disk of its device. On an
 * error the pool is as before. */
must_check int vm_nvram_attach(struct vm *vm);

/* The persistence domain as the kernel argument tells it: a word, "volatile" when any range of the
 * pool does not keep its contents. */
const char *vm_nvram_domain(const struct vm *vm);

/* Detach all. */
void vm_nvram_detach(struct vm *vm);

/* Whether an address lies in a region that the VM has read-only. */
bool vm_nvram_is_read_only(const struct vm *vm, gpa_t gpa);
