/*
 * When a vCPU rests, what wakes it, and how one is found that nothing can wake or that does nothing
 * any more. For the CPU that runs it.
 */
#pragma once

#include "guest/vm/vcpu.h"

/*
 * Take in what was posted: INIT, start-up, NMI, interrupts. Whether the vCPU goes on. The VM ends
 * as halted when this one was the last that anything but another vCPU could wake.
 */
bool vcpu_is_awake(struct vm_vcpu *v);

/* The look of watchdog= at TSC now, which may bring the next one forward (v->look_at). */
void vcpu_watch(struct vm_vcpu *v, uint64_t now);
