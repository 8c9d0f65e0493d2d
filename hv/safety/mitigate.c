/* Mitigations on this CPU; contract in mitigate.h. */
#include "hv/safety/mitigate.h"

#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/trap/trap.h"

#define CPUID_1_EDX_HTT   (1u << 28)
#define CPUID_7_EDX_CAPS  (1u << 29)
#define CPUID_X1_ECX_TOPO (1u << 22)

uint32_t mitigate_flags, mitigate_exit;

static struct mitigate_plan plan;

/* APM vol. 3 E.3.2: the extended part counts where the base is full. */
static unsigned family(void)
{
        uint32_t eax = cpu_leaf(1).eax;
        unsigned base = eax >> 8 & 0xf;

        return base == 0xf ? base + (eax >> 20 & 0xff) : base;
}

/* Whether a core may have several threads; yes where nothing tells. */
static bool has_threads(bool amd)
{
        if (!(cpu_leaf(1).edx & CPUID_1_EDX_HTT))
                return false;
        if (cpu_leaf(0xb).ebx & 0xffff)
                return (cpu_leaf(0xb).ebx & 0xffff) > 1;
        if (amd && cpu_leaf(0x80000001).ecx & CPUID_X1_ECX_TOPO)
                return cpu_leaf(0x8000001e).ebx >> 8 & 0xff;
        return true;
}

static struct mitigate_cpu this_one(void)
{
        struct mitigate_cpu cpu = {
            .amd = cpu_is_amd(),
            .family = family(),
            .l7_ebx = cpu_leaf(7).ebx,
            .l7_edx = cpu_leaf(7).edx,
            .l7_2_edx = cpu_leaf(7).eax >= 2 ? cpu_cpuid(7, 2).edx : 0,
            .x8_ebx = cpu_leaf(0x80000008).ebx,
            .x21_eax = cpu_leaf(0x80000021).eax,
            .x21_ecx = cpu_leaf(0x80000021).ecx,
        };

        cpu.threads = has_threads(cpu.amd);
        if (!cpu.amd && cpu.l7_edx & CPUID_7_EDX_CAPS)
                cpu.arch_caps = cpu_rdmsr(MSR_ARCH_CAPS);
        if (cpu.arch_caps & MITIGATE_CAPS_GDS_CTRL)
                cpu.mcu_opt = cpu_rdmsr(MSR_MCU_OPT);
        return cpu;
}

static void report(bool off)
{
        unsigned n[MITIGATE_MISSING + 1] = {0};

        for (unsigned i = 0; i < MITIGATE_COUNT; i++)
                n[plan.row[i].state]++;
        printk(LOG_NOTICE,
               "mitigate: %u weaknesses of CPUs: %u not here, %u mitigated, %u switched off%s, %u "
               "the CPU offers nothing for; the monitor's cpu tells which",
               MITIGATE_COUNT, n[MITIGATE_NOT_NEEDED], n[MITIGATE_ACTIVE], n[MITIGATE_OFF],
               off ? " (mitigations=off)" : "", n[MITIGATE_MISSING]);
}

void mitigate_init_cpu(bool off)
{
        static bool decided;
        struct mitigate_cpu cpu;

        if (!__atomic_exchange_n(&decided, true, __ATOMIC_RELAXED)) {
                cpu = this_one();
                mitigate_decide(&cpu, off, &plan);
                mitigate_flags = (plan.flush_l1d || plan.clear_buffers ? MITIGATE_AT_ENTRY : 0) |
                                 (plan.ibpb ? MITIGATE_AT_SWITCH : 0);
                mitigate_exit = plan.ibpb_exit ? PRED_CMD_IBPB : 0;
                report(off);
        }
        if (plan.spec_ctrl)
                cpu_wrmsr(MSR_SPEC_CTRL, plan.spec_ctrl);
        if (plan.auto_ibrs)
                cpu_wrmsr(MSR_EFER, cpu_rdmsr(MSR_EFER) | EFER_AUTO_IBRS);
        if (plan.reduce)
                cpu_wrmsr(MSR_BP_CFG, cpu_rdmsr(MSR_BP_CFG) | BP_CFG_REDUCE);
        if (plan.tsx_off)
                cpu_wrmsr(MSR_TSX_CTRL, cpu_rdmsr(MSR_TSX_CTRL) | TSX_CTRL_OFF);
        if (plan.gds_on)
                cpu_wrmsr(MSR_MCU_OPT, cpu_rdmsr(MSR_MCU_OPT) & ~MCU_OPT_GDS_OFF);
        if (plan.gds_off)
                cpu_wrmsr(MSR_MCU_OPT, cpu_rdmsr(MSR_MCU_OPT) | MCU_OPT_GDS_OFF);
}

const struct mitigate_plan *mitigate_current(void)
{
        return &plan;
}

void mitigate_do_switch(void)
{
        cpu_wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

/* VERW with a selector in memory, SDM vol. 3 "MD_CLEAR". */
void mitigate_do_entry(void)
{
        static const uint16_t data_selector = TRAP_SELECTOR_DATA;

        if (plan.flush_l1d)
                cpu_wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
        if (plan.clear_buffers)
                __asm__ volatile("verw %0" : : "m"(data_selector) : "cc", "memory");
}
