/* The end of the road: a broken invariant of the hypervisor itself. Contract in hv/lib/printk.h. */
#include <stdarg.h>

#include "hv/cpu.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/trap/trap.h"

void panic(const char *fmt, ...)
{
        char text[200];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(text, sizeof text, fmt, ap);
        va_end(ap);
        trap_stop_others();
        log_break_lock();
        printk(LOG_ERROR, "panic: %s", text);
        cpu_stop();
}
