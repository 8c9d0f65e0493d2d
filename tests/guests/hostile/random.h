/* The hostile guest's random numbers: the same for the same seed, with a liking for edges. */
#pragma once

#include <stdint.h>

void random_seed(uint64_t seed);

uint64_t random_64(void);

/* 0 to n - 1. */
uint32_t random_below(uint32_t n);

/* Whether one of n cases is this one. */
static inline int random_one_in(uint32_t n)
{
        return random_below(n) == 0;
}

/* Edges, single bits, small and any numbers, and addresses of every kind. */
uint64_t random_value(void);

/* A guest-physical address anywhere; may be the guest's own. */
uint64_t random_address(void);

/* The same value, or another if something written there would hit the guest itself. */
uint64_t random_spare(uint64_t value);

/* RAM's end, told once. */
extern uint64_t random_ram_end;
