/* The MSRs of a vCPU that its CPU does not handle itself (which ones those are, the backend knows).
 */
#pragma once

#include "guest/vm/vcpu.h"

/* RDMSR and WRMSR at TSC now. -EINVAL: the guest gets #GP. */
must_check int msr_read(struct vm_vcpu *v, uint32_t msr, uint64_t *value, uint64_t now);
must_check int msr_write(struct vm_vcpu *v, uint32_t msr, uint64_t value, uint64_t now);
