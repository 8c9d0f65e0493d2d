/*
 * Stack protector, SMEP, SMAP and UMIP; contract in harden.h. SDM vol. 3 4.6, 2.5.
 *
 * The hypervisor's tables have no user pages (mm/paging/paging_formats.c), nested tables are not
 * walked by its own accesses, and a guest's memory is read through supervisor addresses: nothing
 * ever needs RFLAGS.AC.
 */
#include "hv/safety/harden.h"

#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/random.h"

#define CPUID_1_ECX_RDRAND (1u << 30)
#define CPUID_7_EBX_SMEP   (1u << 7)
#define CPUID_7_EBX_SMAP   (1u << 20)
#define CPUID_7_ECX_UMIP   (1u << 2)

#define GOLDEN 0x9e3779b97f4a7c15ull

/* The compiler's names: see -mstack-protector-guard=global. */
extern uint64_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);

uint64_t __stack_chk_guard = GOLDEN;
static bool has_random;

/* The lowest byte is zero: a string that runs over cannot write what it would have to. */
__attribute__((no_stack_protector)) void harden_stacks(void)
{
        uint64_t random = cpu_rdtsc() * GOLDEN;
        uint64_t more = 0;

        has_random = cpu_cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND && random_generated(&more);
        __stack_chk_guard = (random ^ more) & ~0xffull;
}

void __stack_chk_fail(void)
{
        panic("the stack was overwritten, found at 0x%lx", (uint64_t)__builtin_return_address(0));
}

static uint64_t wanted_cr4(void)
{
        struct cpuid_regs r = cpu_leaf(7);

        return (r.ebx & CPUID_7_EBX_SMEP ? CR4_SMEP : 0) |
               (r.ebx & CPUID_7_EBX_SMAP ? CR4_SMAP : 0) |
               (r.ecx & CPUID_7_ECX_UMIP ? CR4_UMIP : 0);
}

void harden_cpu(void)
{
        static uint64_t first;
        static bool told;
        uint64_t cr4 = wanted_cr4();
        bool again = __atomic_exchange_n(&told, true, __ATOMIC_RELAXED);

        cpu_write_cr4(cpu_read_cr4() | cr4);
        if (again && cr4 == first)
                return;
        first = cr4;
        printk(LOG_INFO, "harden: stack protector by %s, SMEP %s, SMAP %s, UMIP %s",
               has_random ? "RDRAND" : "the TSC", cr4 & CR4_SMEP ? "on" : "no",
               cr4 & CR4_SMAP ? "on" : "no", cr4 & CR4_UMIP ? "on" : "no");
}
