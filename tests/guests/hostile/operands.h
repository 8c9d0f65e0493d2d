/* Random operands of operations: ports, pointers, counts. */
#pragma once

#include "tests/guests/hostile/machine.h"

/* Ports that end the VM, which deadly.c has; of an access of that many bytes. */
bool keep_off(uint32_t port, unsigned size);
uint16_t pick_port(void);

/* An offset into the arena, mostly near the borders of its pages; a pointer to one, or to anywhere.
 */
unsigned pick_offset(void);
uint64_t pick_pointer(enum mode mode);

/* A value of CR0, mostly one that is allowed. */
uint64_t pick_cr0(bool paging);

/* Of a REP prefix. */
uint64_t pick_count(void);

/* Whether the run that is built comes back by its stack, which it must not lose then. */
bool stack_is_needed(void);
