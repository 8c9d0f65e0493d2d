/* A VM's counters and its end, for the log and the monitor. */
#pragma once

#include "guest/vm/vm.h"

/* Of all its vCPUs together. */
uint64_t vm_exits(const struct vm *vm, enum vm_exit_kind kind);
uint64_t vm_interrupts(const struct vm *vm);

/* Log how many exits of each kind there were, and the page sizes that map the VM. */
void vm_print_stats(const struct vm *vm);

/* A kind of exits in a word. */
const char *vm_exit_name(enum vm_exit_kind kind);

/* The end in words, for the log. */
const char *vm_end_text(enum vm_end end);
