/*
 * Long work of CPU 0: building a VM, scrubbing, copying, checking, long tables on a slow line. Only
 * CPU 0 does such things, and while it does them it runs no vCPU and wakes none of those that sleep
 * on it. So each loop that may last calls work_step between two pieces of some milliseconds at
 * most, with no lock held and nothing half done that a guest's exit could look at.
 */
#pragma once

/*
 * What a step does; NULL: nothing, as in programs and before the CPUs are at work. There is one,
 * however many files include this.
 */
__attribute__((weak)) void (*work_hook)(void);

static inline void work_step(void)
{
        if (work_hook)
                work_hook();
}
