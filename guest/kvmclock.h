/*
 * The paravirtual clock that KVM publishes (Linux Documentation/virt/kvm/x86/msr.rst, cpuid.rst):
 * the guest names a page of its memory, we tell it there how to turn its TSC into nanoseconds.
 *
 * The TSC runs at one constant rate, so what is written at registration holds for the VM's life and
 * nothing has to be updated later. Times are values of the guest's TSC.
 */
#pragma once

#include "guest/gmem.h"
#include "hv/lib/types.h"

#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u

/* CPUID of the KVM interface: signature in EBX, ECX, EDX of its base leaf, features in EAX of base
 * + 1. */
#define KVM_CPUID_SIGNATURE_EBX        0x4b4d564bu /* "KVMKVMKVM\0\0\0" */
#define KVM_CPUID_SIGNATURE_ECX        0x564b4d56u
#define KVM_CPUID_SIGNATURE_EDX        0x0000004du
#define KVM_FEATURE_NOP_IO_DELAY       (1u << 1)
#define KVM_FEATURE_CLOCKSOURCE2       (1u << 3)
#define KVM_FEATURE_CLOCKSOURCE_STABLE (1u << 24)

struct kvmclock {
        uint64_t system_time_msr;
        uint64_t wall_clock_msr;
        uint64_t base_tsc;
        uint64_t wall_sec;
        uint32_t mul;
        int8_t shift;
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
must_check int kvmclock_msr_read(const struct kvmclock *k, uint32_t msr, uint64_t *value);
must_check int kvmclock_msr_write(struct kvmclock *k, const struct gmem *mem, uint32_t msr,
                                  uint64_t value);

/* Nanoseconds of system time at guest TSC tsc, as the guest computes them. */
uint64_t kvmclock_ns(const struct kvmclock *k, uint64_t tsc);
