/*
 * What is done on this CPU about its weaknesses, by the plan of mitigate_plan.h. Guests are not
 * offered the MSRs for it: IA32_SPEC_CTRL keeps the hypervisor's value while they run.
 */
#pragma once

#include "hv/safety/mitigate_plan.h"

#define MITIGATE_AT_ENTRY  (1u << 0)
#define MITIGATE_AT_SWITCH (1u << 1)

/* What is to be called; changes once, at the start. */
extern uint32_t mitigate_flags;

/* What SVM's world switch writes to IA32_PRED_CMD after each exit; 0: it does not. */
extern uint32_t mitigate_exit;

/*
 * The first call, by the CPU that boots, decides for all, and logs one line; each CPU applies it to
 * itself. After the command line is known, before virt->cpu_enable.
 */
void mitigate_init_cpu(bool off);

/* What was decided; all rows are of the machine. */
const struct mitigate_plan *mitigate_current(void);

/* The work of the two below. */
void mitigate_do_switch(void);
void mitigate_do_entry(void);

/* A vCPU of another VM than the one before is about to run on this CPU. */
static inline void mitigate_switch(void)
{
        if (mitigate_flags & MITIGATE_AT_SWITCH)
                mitigate_do_switch();
}

/*
 * The guest is about to be entered, after anything but a fast exit. Those read and write what
 * belongs to the same vCPU, so that there is nothing of others to be seen behind them.
 */
static inline void mitigate_entry(void)
{
        if (mitigate_flags & MITIGATE_AT_ENTRY)
                mitigate_do_entry();
}
