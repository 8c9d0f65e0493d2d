/* Why a VM is not started, told in the log. */
#pragma once

#include "guest/config/config.h"

/* Log one line that names the module and the VM, and says that it is not started. */
void vm_refuse(const struct vm_config *config, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
