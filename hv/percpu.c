/* The physical CPUs; contract in percpu.h. */
#include "hv/percpu.h"

#include "hv/cpu.h"

struct cpu cpus[CPUS_MAX];
unsigned cpu_count;

static struct cpu_stacks boot_cpu_stacks;
static struct cpu_stacks *other_stacks; /* from CPU 1 on */
static unsigned other_count;

struct cpu_stacks *percpu_stacks(unsigned index)
{
        return index ? &other_stacks[index - 1] : &boot_cpu_stacks;
}

void percpu_give_stacks(struct cpu_stacks *stacks, unsigned count)
{
        other_stacks = stacks;
        other_count = count;
}

unsigned percpu_room(void)
{
        return 1 + other_count;
}

void percpu_init(unsigned index)
{
        struct cpu *cpu = &cpus[index];

        cpu->self = cpu;
        cpu->index = index;
        cpu_wrmsr(MSR_GS_BASE, (uint64_t)cpu);
}
