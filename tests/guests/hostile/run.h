/* Building one run of code after another: what the operations are written with. */
#pragma once

#include "tests/guests/hostile/machine.h"

/* The run that is being built; an operation may set any of it. */
extern struct run run;

/* Begin a run with random registers; code at a random place, now and then at the end of its pages.
 */
void begin(enum mode mode, unsigned cpl);

/* Append bytes of code, or one. */
void code(const uint8_t *bytes, size_t n);
void byte(unsigned value);
#define CODE(...) code((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Append a ModRM byte for the memory at DI, with this register in the other field; 16-bit code has
 * another one. */
void modrm_di(unsigned reg);

/* Where the next byte goes, as the code itself would name it. */
uint64_t here(void);

/* Let an interrupt end the run after a moment; for code that could take long. */
void watch(void);

/* End the code, to be run by again(). */
void finish(void);

/* End the code, and run it. Returns the vector that ended it. */
unsigned go(void);

/* Run what was ended, with the registers as they are now; as often as wanted. */
unsigned again(void);

/* Of the same code with other operands, which costs an emulator much less than other code. */
#define REPEATS 16u

/* How many runs there were: what the guest counts as operations. */
extern uint64_t runs;

/* A run that writes one register, which may be refused. */
void write_msr(uint32_t msr, uint64_t value);

/* A mode, mostly 64-bit; a level that fits it, mostly 0. */
enum mode pick_mode(void);
unsigned pick_level(enum mode mode);

/* Exceptions so far, by vector; VECTOR_UNKNOWN is the last. */
extern uint64_t endings[VECTOR_UNKNOWN + 1];
