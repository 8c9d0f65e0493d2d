/* The run loop: enters a VM until it ends, and decides what happens at every exit. */
#pragma once

#include "guest/vm.h"

/* Run a VM that vm_create has built. Returns how it ended; a crash has been reported. */
enum vm_end vm_run(struct vm *vm);

/* Log how many exits of each kind there were, and the page sizes that map the VM. */
void vm_print_stats(const struct vm *vm);

/* The end in words, for the log. */
const char *vm_end_text(enum vm_end end);
