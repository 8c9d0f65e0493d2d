/* MSR policy: the devices' own MSRs, and the few that Linux touches without asking CPUID first. */
#include "guest/exec/msr.h"

#include "guest/vm/vm.h"
#include "hv/lib/errno.h"

/* MSRs from first to last: reads give value; writes are accepted when they do not change it. */
static const struct {
        uint32_t first, last;
        uint64_t value;
} constants[] = {
    {0x17, 0x17, 0},   /* IA32_PLATFORM_ID */
    {0x3a, 0x3a, 1},   /* IA32_FEATURE_CONTROL: locked, no VMX */
    {0x3b, 0x3b, 0},   /* IA32_TSC_ADJUST: the TSC is the machine's */
    {0x8b, 0x8b, 0},   /* IA32_BIOS_SIGN_ID: no microcode */
    {0x1d9, 0x1d9, 0}, /* IA32_DEBUGCTL */
    /* AMD's, APM vol. 2 appendix A */
    {0xc0010000, 0xc0010007, 0}, /* the performance counters, which CPUID cannot hide: off */
    {0xc0010010, 0xc0010010, 0}, /* SYSCFG */
    {0xc0010015, 0xc0010015, 0}, /* HWCR */
    {0xc0010055, 0xc0010055, 0}, /* interrupt pending message: no C1E */
    {0xc0011029, 0xc0011029, 2}, /* DE_CFG: LFENCE serializes */
};

/* What reads of an MSR give that has one value all the time; false: it is none of these. */
static bool constant_value(const struct vm *vm, uint32_t msr, uint64_t *value)
{
        if (msr == MSR_MISC_ENABLE) {
                *value = vm->cpuid.fast_strings;
                return true;
        }
        for (size_t i = 0; i < ARRAY_LEN(constants); i++)
                if (msr >= constants[i].first && msr <= constants[i].last) {
                        *value = constants[i].value;
                        return true;
                }
        return false;
}

int msr_read(struct vm_vcpu *v, uint32_t msr, uint64_t *value, uint64_t now)
{
        if (vlapic_owns_msr(msr))
                return vlapic_msr_read(&v->lapic, msr, value, now);
        if (kvmclock_owns_msr(msr))
                return kvmclock_msr_read(&v->clock, msr, value);
        if (pv_owns_msr(msr))
                return pv_msr_read(&v->pv, v->vm->cpuid.pv_features, msr, value);
        if (mca_owns_msr(msr)) {
                int err;

                spin_lock(&v->vm->devices);
                err = mca_msr_read(&v->vm->mca, msr, value);
                spin_unlock(&v->vm->devices);
                return err;
        }
        if (mtrr_owns_msr(msr)) {
                *value = mtrr_msr_read(&v->mtrr, msr);
                return 0;
        }
        return constant_value(v->vm, msr, value) ? 0 : -EINVAL;
}

int msr_write(struct vm_vcpu *v, uint32_t msr, uint64_t value, uint64_t now)
{
        uint64_t constant;

        if (vlapic_owns_msr(msr))
                return vlapic_msr_write(&v->lapic, msr, value, now);
        if (kvmclock_owns_msr(msr))
                return kvmclock_msr_write(&v->clock, &v->vm->clock, &v->vm->mem, msr, value);
        if (pv_owns_msr(msr))
                return pv_msr_write(&v->pv, v->vm->cpuid.pv_features, &v->vm->mem, msr, value);
        if (mca_owns_msr(msr)) {
                int err;

                spin_lock(&v->vm->devices);
                err = mca_msr_write(&v->vm->mca, msr, value);
                spin_unlock(&v->vm->devices);
                return err;
        }
        if (mtrr_owns_msr(msr))
                return mtrr_msr_write(&v->mtrr, msr, value);
        return constant_value(v->vm, msr, &constant) && constant == value ? 0 : -EINVAL;
}
