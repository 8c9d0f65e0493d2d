/* What is done at each exit of a guest. */
#pragma once

#include "guest/vm/vcpu.h"

/* Those that are answered without leaving the run. */
extern const struct vcpu_fast exits_fast;

/* All others: answered, or the guest gets an exception, or its VM ends. */
void exits_handle(struct vm_vcpu *v, const struct vm_exit *exit);

/* The VM ends by what this vCPU did; why, and the vCPU's state, are logged. */
void vcpu_crash(struct vm_vcpu *v, const char *why);
