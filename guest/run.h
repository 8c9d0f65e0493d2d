/* The run loop: enters a VM until it ends, and decides what happens at every exit. */
#pragma once

#include "guest/vm.h"

/*
 * Run a VM that vm_create has built. Returns how it ended; a crash has been reported. VM_PAUSED: it
 * has not, and the next call goes on where it was; the guest's clock went on as well.
 */
enum vm_end vm_run(struct vm *vm);

/* Log how many exits of each kind there were, and the page sizes that map the VM. */
void vm_print_stats(const struct vm *vm);

/* A kind of exits in a word. */
const char *vm_exit_name(enum vm_exit_kind kind);

/* The end in words, for the log. */
const char *vm_end_text(enum vm_end end);
