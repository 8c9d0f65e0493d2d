/* The timer interrupt of a CPU; contract in alarm.h. */
#include "hv/trap/alarm.h"

#include "drivers/lapic.h"
#include "hv/percpu.h"
#include "hv/trap/trap.h"

/* What the timer is set to, and whether it has come. */
static struct {
        uint64_t armed;
        volatile bool fired;
} of_cpu[CPUS_MAX];

static void fire(void)
{
        of_cpu[this_cpu()->index].fired = true;
        lapic_eoi();
}

void alarm_init(void)
{
        trap_set_irq(TRAP_VECTOR_TIMER, fire);
        lapic_timer_init(TRAP_VECTOR_TIMER);
        of_cpu[this_cpu()->index].armed = UINT64_MAX;
}

void alarm_set(uint64_t tsc)
{
        unsigned i = this_cpu()->index;

        if (tsc == of_cpu[i].armed && !of_cpu[i].fired)
                return;
        of_cpu[i].fired = false;
        of_cpu[i].armed = tsc;
        lapic_timer_set(tsc);
}
