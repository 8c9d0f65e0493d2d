/* The registers that only a change of vCPUs switches; contract in lent_state.h. SDM vol. 1 13. */
#include "hv/lent_state.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define CPUID_1_ECX_XSAVE   (1u << 26)
#define CPUID_XSAVE_LEAF    0xdu
#define XCR0_X87            1ull
#define XCR0_LENT           0xe7ull /* x87, SSE, AVX, AVX-512: what cpuid.c offers */
#define FXSAVE_CONTROL_WORD 0
#define FXSAVE_MXCSR        24
#define FPU_CONTROL_RESET   0x37fu
#define MXCSR_RESET         0x1f80u
#define XSTATE_BV           512

/* Of this machine, as the first CPU has them; another is used only if it has the same. */
static bool is_known;
static uint64_t xcr0_all; /* 0: no XSAVE */
static bool has_tsc_aux;

static const uint32_t own_msrs[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS_BASE};

int lent_state_enable(void)
{
        bool tsc_aux = cpu_cpuid(0x80000001, 0).edx & CPUID_X1_EDX_RDTSCP;
        uint64_t xcr0 = 0;

        cpu_write_cr4(cpu_read_cr4() | CR4_OSFXSR);
        __asm__ volatile("clts");
        if (cpu_cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) {
                cpu_write_cr4(cpu_read_cr4() | CR4_OSXSAVE);
                xcr0 = cpu_cpuid(CPUID_XSAVE_LEAF, 0).eax & XCR0_LENT;
        }
        if (is_known && (xcr0 != xcr0_all || tsc_aux != has_tsc_aux)) {
                printk(LOG_ERROR,
                       "virt: XCR0 may be 0x%lx here and 0x%lx on the first CPU, "
                       "RDTSCP is %u and %u",
                       xcr0, xcr0_all, tsc_aux, has_tsc_aux);
                return -ENODEV;
        }
        is_known = true;
        xcr0_all = xcr0;
        has_tsc_aux = tsc_aux;
        return 0;
}

void lent_state_reset(struct lent_state *s)
{
        uint16_t control = FPU_CONTROL_RESET;
        uint32_t mxcsr = MXCSR_RESET;
        uint64_t parts = 3; /* of x87 and SSE the area holds values, the rest is initial */

        memset(s, 0, sizeof *s);
        memcpy(s->vectors + FXSAVE_CONTROL_WORD, &control, sizeof control);
        memcpy(s->vectors + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
        memcpy(s->vectors + XSTATE_BV, &parts, sizeof parts);
        s->xcr0 = XCR0_X87;
        s->dr6 = DR6_RESET;
}

/* With all of XCR0, so that what the guest left in a part it switched off is its own as well. */
static void save_vectors(struct lent_state *s)
{
        if (!xcr0_all) {
                __asm__ volatile("fxsave64 %0" : "=m"(s->vectors));
                return;
        }
        s->xcr0 = cpu_xgetbv(0);
        cpu_xsetbv(0, xcr0_all);
        __asm__ volatile("xsave64 %0" : "+m"(s->vectors) : "a"(~0u), "d"(~0u));
}

static void load_vectors(const struct lent_state *s)
{
        if (!xcr0_all) {
                __asm__ volatile("fxrstor64 %0" : : "m"(s->vectors));
                return;
        }
        cpu_xsetbv(0, xcr0_all);
        __asm__ volatile("xrstor64 %0" : : "m"(s->vectors), "a"(~0u), "d"(~0u));
        cpu_xsetbv(0, s->xcr0);
}

void lent_state_save(struct lent_state *s)
{
        save_vectors(s);
        __asm__ volatile("mov %%dr0, %0" : "=r"(s->dr[0]));
        __asm__ volatile("mov %%dr1, %0" : "=r"(s->dr[1]));
        __asm__ volatile("mov %%dr2, %0" : "=r"(s->dr[2]));
        __asm__ volatile("mov %%dr3, %0" : "=r"(s->dr[3]));
        if (has_tsc_aux)
                s->tsc_aux = cpu_rdmsr(MSR_TSC_AUX);
}

void lent_state_load(const struct lent_state *s)
{
        load_vectors(s);
        __asm__ volatile("mov %0, %%dr0" : : "r"(s->dr[0]));
        __asm__ volatile("mov %0, %%dr1" : : "r"(s->dr[1]));
        __asm__ volatile("mov %0, %%dr2" : : "r"(s->dr[2]));
        __asm__ volatile("mov %0, %%dr3" : : "r"(s->dr[3]));
        if (has_tsc_aux)
                cpu_wrmsr(MSR_TSC_AUX, s->tsc_aux);
}

void lent_set_xcr0(struct vcpu *vcpu, uint64_t value)
{
        (void)vcpu;
        cpu_xsetbv(0, value);
}

void lent_msrs_save(struct lent_state *s)
{
        s->cr2 = cpu_read_cr2();
        __asm__ volatile("mov %%dr6, %0" : "=r"(s->dr6));
        for (size_t i = 0; i < ARRAY_LEN(own_msrs); i++)
                s->msr[i] = cpu_rdmsr(own_msrs[i]);
}

void lent_msrs_load(const struct lent_state *s)
{
        cpu_write_cr2(s->cr2);
        __asm__ volatile("mov %0, %%dr6" : : "r"(s->dr6));
        for (size_t i = 0; i < ARRAY_LEN(own_msrs); i++)
                cpu_wrmsr(own_msrs[i], s->msr[i]);
}
