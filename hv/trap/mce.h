/*
 * Machine checks of the machine. An uncorrected error of NVRAM that the CPU confines to its
 * address, or that memory itself has found before anybody used it, is queued for the boot CPU,
 * which puts its granules on the pool's bad list; other memory is reported. Any other error that
 * was used stops the machine with the contents of the bank that tells of it; those that were
 * corrected, or not used, are counted.
 */
#pragma once

#include "hv/trap/mce_decode.h"
#include "mm/memmap.h"

/* Which memory is NVRAM; kept by reference, not changed any more. Once, before mce_init_cpu. */
void mce_set_memory(const struct memmap *map);

/*
 * Let machine checks come on this CPU, with all its banks switched on and emptied; what they held
 * is logged. Before virt->cpu_enable: a VMCS takes its host CR4 from the CPU. Without CPUID's MCE
 * and MCA nothing happens. The first CPU logs one line.
 */
void mce_init_cpu(void);

/*
 * A machine check has come: as an exception, or with in_guest as a guest's exit. Returns when this
 * CPU can go on; the guest may not run before mce_take was asked and it was told. May be called in
 * any context; logs only on the way to a panic.
 */
void mce_handle(bool in_guest);

/*
 * What raises no exception is looked for: on each CPU every so many ticks of the TSC, whenever it
 * calls mce_poll, which returns the TSC of its next look, UINT64_MAX where there is none. Without
 * mce_poll_every there is none.
 */
void mce_poll_every(uint64_t ticks);
uint64_t mce_poll(uint64_t now);

/* An NMI has come that nobody expects: in any context. The first is logged; how many there were. */
void mce_count_nmi(void);
uint32_t mce_nmis(void);

extern uint32_t mce_news, mce_damage;

/* Whether there is anything to take or to tell: one load. */
static inline bool mce_any(void)
{
        return __atomic_load_n(&mce_news, __ATOMIC_RELAXED) != 0;
}

/*
 * Whether there is something to take: guests may not run before they were told of it. What was
 * corrected, or is only counted, keeps nobody waiting.
 */
static inline bool mce_is_damaged(void)
{
        return __atomic_load_n(&mce_damage, __ATOMIC_RELAXED) != 0;
}

/*
 * Take the next piece of bad NVRAM; false: there is none (more). Also logs what could not be logged
 * when it came: errors that were corrected, damage elsewhere, an unexpected NMI. From an ordinary
 * context, by one CPU at a time.
 */
bool mce_take(struct mce_place *place);
