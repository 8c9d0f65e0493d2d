/* Clearing what the last guest left in the CPU; contract in lent_state.h. SDM vol. 1 13, vol.
 * 3 9.1. */
#include "hv/lent_state.h"

#include "hv/cpu.h"

#define CPUID_1_ECX_XSAVE   (1u << 26)
#define CPUID_X1_EDX_RDTSCP (1u << 27)
#define XCR0_X87            1ull
#define CPUID_XSAVE_LEAF    0xdu
#define DR6_RESET           0xffff0ff0ull
#define FXSAVE_CONTROL_WORD 0
#define FXSAVE_MXCSR        12
#define FPU_CONTROL_RESET   0x37f
#define MXCSR_RESET         0x1f80

/* An XSAVE area whose header says that every component is in its initial state. */
static uint16_t area[4096 / 2] __attribute__((aligned(64)));

static void reset_vectors(void)
{
        area[FXSAVE_CONTROL_WORD] = FPU_CONTROL_RESET;
        area[FXSAVE_MXCSR] = MXCSR_RESET;
        cpu_write_cr4(cpu_read_cr4() | CR4_OSFXSR);
        __asm__ volatile("clts");
        __asm__ volatile("fxrstor %0" : : "m"(area));
        if (cpu_cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) {
                struct cpuid_regs all = cpu_cpuid(CPUID_XSAVE_LEAF, 0);

                cpu_write_cr4(cpu_read_cr4() | CR4_OSXSAVE);
                cpu_xsetbv(0, (uint64_t)all.edx << 32 | all.eax);
                __asm__ volatile("xrstor64 %0" : : "m"(area), "a"(~0u), "d"(~0u));
                cpu_xsetbv(0, XCR0_X87);
        }
}

void lent_state_reset(void)
{
        static const uint32_t msrs[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK,
                                        MSR_KERNEL_GS_BASE};

        reset_vectors();
        for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
                cpu_wrmsr(msrs[i], 0);
        if (cpu_cpuid(0x80000001, 0).edx & CPUID_X1_EDX_RDTSCP)
                cpu_wrmsr(MSR_TSC_AUX, 0);
        cpu_write_cr2(0);
        __asm__ volatile("mov %0, %%dr0\n\t"
                         "mov %0, %%dr1\n\t"
                         "mov %0, %%dr2\n\t"
                         "mov %0, %%dr3\n\t"
                         "mov %1, %%dr6"
                         :
                         : "r"(0ull), "r"(DR6_RESET));
}
