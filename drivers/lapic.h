/*
 * This CPU's own local APIC (SDM vol. 3 chapter 10): x2APIC mode where the CPU has it, else xAPIC
 * through its page of MMIO. Calls act on the CPU they run on. (A guest's is guest/dev/vlapic.h.)
 */
#pragma once

#include "hv/lib/types.h"

/*
 * Enable the local APIC of this CPU with all its own interrupt sources masked; vector is the
 * spurious interrupt's (its low 4 bits should be ones). All CPUs take the mode the first caller
 * chose.
 */
void lapic_init(uint8_t vector);

/* Mask all entries of the local vector table. */
void lapic_mask_all(void);

/* Let the platform's NMIs, which are wired to LINT1 of each CPU, come to this one. */
void lapic_take_nmi(void);

/* APIC ID of this CPU. */
uint32_t lapic_id(void);

/* End of interrupt: needed after every interrupt but spurious ones and NMIs. */
void lapic_eoi(void);

/* Send a fixed interrupt to this CPU. */
void lapic_send_self(uint8_t vector);

/*
 * Send to the CPU with that APIC ID: a fixed interrupt, an NMI, and what starts it (SDM vol. 3
 * 8.4): INIT, then start-up at page * 4 KiB in real mode. From an NMI handler only where it
 * has interrupted no other call.
 */
void lapic_send(uint32_t apic_id, uint8_t vector);
void lapic_send_nmi(uint32_t apic_id);
void lapic_send_init(uint32_t apic_id);
void lapic_send_startup(uint32_t apic_id, uint8_t page);

/*
 * The timer for the hypervisor's own use: init (once a CPU is enough, more do no harm) makes it
 * raise vector, which must acknowledge it; set has it do so once, when the TSC has reached a value,
 * at once when that is past. It may come a little early: look at the TSC. UINT64_MAX: never.
 */
void lapic_timer_init(uint8_t vector);
void lapic_timer_set(uint64_t tsc);

/* Is the local APIC in x2APIC mode (registers are MSRs)? */
bool lapic_is_x2apic(void);
