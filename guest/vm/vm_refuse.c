/* The line for a VM that is not started; contract in vm_refuse.h. */
#include "guest/vm/vm_refuse.h"

#include <stdarg.h>

#include "guest/load/linux_boot.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"

void vm_refuse(const struct vm_config *config, const char *fmt, ...)
{
        char text[LINUX_WHY_SIZE + WORD_NAME_SIZE];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(text, sizeof text, fmt, ap);
        va_end(ap);
        printk(LOG_ERROR, "module %u: vm %s: %s; not started", config->module, config->name, text);
}
