/*
 * What becomes of NVRAM that a machine check tells to be bad: its granules leave the pool's free
 * space for good, and the VM that has it mapped gets a machine check of its own.
 */
#pragma once

#include "guest/vm/vm.h"
#include "hv/trap/mce.h"

/*
 * Take the next piece of bad NVRAM from the queue and put it on the pool's bad list (pool NULL:
 * there is none); logged. false: there is none (more). On the CPU that owns the pool.
 */
bool damage_next(struct pool *pool, struct mce_place *place);

/* Note bad NVRAM in a VM that has it mapped, which is told before it runs next; logged. */
void damage_tell(struct vm *vm, const struct mce_place *place);

/*
 * Before a run of the first vCPU of a VM that has something waiting (mca_waits): raise the
 * machine check when the guest can take one as it can an interrupt, else ask to be called again.
 * -ENOTSUP: the guest has not switched machine checks and the bank on, and can only be ended.
 */
must_check int damage_offer(struct vm_vcpu *v);
