/*
 * What each physical CPU has for itself: its number, its stacks, and the marks that others set for
 * it. The GS base of a CPU points to its struct cpu whenever the hypervisor runs with interrupts or
 * NMIs possible; the code between a guest's exit and the return of virt->run may not use it.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

#define CPU_STACK_SIZE 16384u
#define CPU_IST_SIZE   8192u
#define CPU_GUARD_SIZE 4096u

struct vcpu;

struct cpu {
        struct cpu *self; /* at GS:0 */
        unsigned index;   /* of cpus[]; the one that booted is 0 */
        uint32_t apic_id;
        struct vcpu *loaded;   /* whose state the CPU holds, virt->load; NULL: nobody's */
        bool nmi_due;          /* an NMI was sent to it */
        volatile bool kicked;  /* by an NMI: the next run returns at once */
        volatile bool resting; /* in HLT, or about to be */
} __attribute__((aligned(64)));

/* A stack ends at a page that is not mapped. The boot CPU has its ordinary stack elsewhere. */
struct cpu_stacks {
        uint8_t ist_guard[CPU_GUARD_SIZE];
        uint8_t ist[CPU_IST_SIZE];
        uint8_t machine_guard[CPU_GUARD_SIZE];
        uint8_t machine[CPU_IST_SIZE]; /* of machine checks, which may come within an NMI */
        uint8_t guard[CPU_GUARD_SIZE];
        uint8_t stack[CPU_STACK_SIZE];
} __attribute__((aligned(4096)));

extern struct cpu cpus[CPUS_MAX];

/*
 * The stacks of the CPU with this number. Those of CPU 0 stand in the image; percpu_give_stacks
 * gives more, for the CPUs 1 to count, in memory that stays theirs. percpu_room tells how many CPUs
 * have stacks.
 */
struct cpu_stacks *percpu_stacks(unsigned index);
void percpu_give_stacks(struct cpu_stacks *stacks, unsigned count);
unsigned percpu_room(void);

/* How many of cpus are online; those that did not answer have no place there. */
extern unsigned cpu_count;

/* The CPU this runs on. */
static inline struct cpu *this_cpu(void)
{
        struct cpu *cpu;

        __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
        return cpu;
}

/* Give this CPU its struct cpu. */
void percpu_init(unsigned index);
