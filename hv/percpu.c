/* The physical CPUs; contract in percpu.h. */
#include "hv/percpu.h"

#include "hv/cpu.h"

struct cpu cpus[CPUS_MAX];
struct cpu_stacks cpu_stacks[CPUS_MAX];
unsigned cpu_count;

void percpu_init(unsigned index)
{
        struct cpu *cpu = &cpus[index];

        cpu->self = cpu;
        cpu->index = index;
        cpu_wrmsr(MSR_GS_BASE, (uint64_t)cpu);
}
