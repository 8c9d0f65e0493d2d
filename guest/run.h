/* The run loop: runs a vCPU on a CPU, and decides what happens at every exit. */
#pragma once

#include "guest/vm.h"

/* Why a vCPU leaves its CPU. */
enum vcpu_leave {
        VCPU_READY,   /* another one's turn; it would go on */
        VCPU_BLOCKED, /* until something is posted to it, or its local APIC's timer expires */
        VCPU_STOPPED  /* vm_stands; a crash has been reported */
};

/* Run a vCPU that is loaded on this CPU, number cpu, until it has to leave it. */
enum vcpu_leave vcpu_run(struct vm_vcpu *v, unsigned cpu);

/* Of all its vCPUs together. */
uint64_t vm_exits(const struct vm *vm, enum vm_exit_kind kind);
uint64_t vm_interrupts(const struct vm *vm);

/* Log how many exits of each kind there were, and the page sizes that map the VM. */
void vm_print_stats(const struct vm *vm);

/* A kind of exits in a word. */
const char *vm_exit_name(enum vm_exit_kind kind);

/* The end in words, for the log. */
const char *vm_end_text(enum vm_end end);
