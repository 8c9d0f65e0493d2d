/*
 * Descriptor tables of a CPU and the hypervisor's own traps. A fault in the hypervisor is a broken
 * invariant: it prints the machine state and stops. Interrupts go to the handler registered for
 * their vector.
 */
#pragma once

#include "hv/lib/types.h"
#include "hv/regs.h"

#define TRAP_SELECTOR_CODE 0x08
#define TRAP_SELECTOR_DATA 0x10
#define TRAP_SELECTOR_TSS  0x18

#define TRAP_VECTOR_TIMER    0x42 /* of the local APIC: taken, and no more */
#define TRAP_VECTOR_KICK     0x43 /* from another CPU: the same */
#define TRAP_VECTOR_SPURIOUS 0xff

struct trap_frame {
        uint64_t reg[REG_COUNT]; /* but RSP, which stands below */
        uint64_t vector, error;
        uint64_t rip, cs, rflags, rsp, ss;
};

/* Where a CPU's tables stand, for the VMCS host state. */
struct trap_tables {
        uint64_t gdt_base, idt_base, tss_base;
};

typedef void (*trap_irq_fn)(void);

/* Load GDT, IDT and TSS of this CPU, behind percpu_init. Faults are reported from here on. */
void trap_init(void);

/* Of the CPU this runs on. */
struct trap_tables trap_tables(void);

/*
 * Call fn with interrupts off whenever vector (32 to 254) arrives; fn acknowledges its source and
 * the local APIC. Vectors without one are only acknowledged.
 */
void trap_set_irq(uint8_t vector, trap_irq_fn fn);

/*
 * Call fn in the NMI handler, with this CPU marked as kicked: the run of a guest that begins, or
 * has begun, is to return at once. For backends whose NMIs do not do that by themselves.
 */
void trap_set_end_run(void (*fn)(void));

/* Run the handler of an interrupt that was taken from a VM exit (acknowledged by the CPU). */
void trap_dispatch_irq(uint8_t vector);

/*
 * Rest with interrupts on until one came, then switch them off again. One that comes between STI
 * and HLT ends the rest as well: an NMI may, and what its handler sends to this CPU then comes
 * before HLT (SDM vol. 2, STI); and below another hypervisor the shadow of STI may be lost.
 */
void trap_wait_interrupt(void);

/* Called by the assembly stubs. */
void trap_handle(struct trap_frame *frame);
