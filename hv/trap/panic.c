/* The end of the road: a broken invariant of the hypervisor itself. Contract in hv/lib/printk.h. */
#include <stdarg.h>

#include "drivers/lapic.h"
#include "hv/cpu.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/percpu.h"

static volatile bool stopping;

bool panic_has_begun(void)
{
        return stopping;
}

/* Have every other CPU stop for good, if it still takes NMIs. */
static void stop_others(void)
{
        stopping = true;
        for (unsigned i = 0; i < cpu_count; i++)
                if (&cpus[i] != this_cpu())
                        lapic_send_nmi(cpus[i].apic_id);
}

void panic(const char *fmt, ...)
{
        char text[200];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(text, sizeof text, fmt, ap);
        va_end(ap);
        stop_others();
        log_break_lock();
        printk(LOG_ERROR, "panic: %s", text);
        cpu_stop();
}
