/*
 * The paravirtual clock that KVM publishes (Linux Documentation/virt/kvm/x86/msr.rst, cpuid.rst):
 * the guest names a page of its memory, we tell it there how to turn its TSC into nanoseconds.
 *
 * The TSC runs at one constant rate, so what is written at registration holds for the VM's life and
 * nothing has to be updated later; and all vCPUs are told the same, so that the clock is one over
 * all of them. Times are values of the guest's TSC.
 */
#pragma once

#include "guest/mem/gmem.h"
#include "hv/lib/types.h"

#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u

/* A VM's clock. It does not change, so its vCPUs share it without a lock. */
struct kvmclock {
        uint64_t base_tsc;
        uint64_t wall_sec;
        uint32_t mul;
        int8_t shift;
};

/* What a vCPU has registered; all zero after its reset. */
struct kvmclock_vcpu {
        uint64_t system_time_msr;
        uint64_t wall_clock_msr;
};

/*
 * system time 0 is at guest TSC base_tsc, when the wall clock showed wall_sec seconds since 1970.
 * -EINVAL: tsc_khz is 0.
 */
must_check int kvmclock_init(struct kvmclock *k, uint32_t tsc_khz, uint64_t base_tsc,
                             uint64_t wall_sec);

/* Whether msr is one of this model's. */
static inline bool kvmclock_owns_msr(uint32_t msr)
{
        return msr == MSR_KVM_WALL_CLOCK_NEW || msr == MSR_KVM_SYSTEM_TIME_NEW;
}

/*
 * RDMSR and WRMSR. -EINVAL: inject #GP - not one of the MSRs, or the address is not 4-byte aligned
 * or the structure not wholly in the VM's memory. A refused write changes nothing.
 */
must_check int kvmclock_msr_read(const struct kvmclock_vcpu *v, uint32_t msr, uint64_t *value);
must_check int kvmclock_msr_write(struct kvmclock_vcpu *v, const struct kvmclock *k,
                                  const struct gmem *mem, uint32_t msr, uint64_t value);
