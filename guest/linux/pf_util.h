/* Shared by the persistence tests in the guest: making stores durable, seeded bytes, checksums,
 * verdict lines. */
#ifndef PF_UTIL_H
#define PF_UTIL_H

#include <stddef.h>
#include <stdint.h>

/* Ends the program with "PF-TEST: NAME FAIL ..." and status 1. */
__attribute__((noreturn, format(printf, 2, 3))) void pf_fail(const char *name, const char *fmt,
                                                             ...);

/* Prints one "PF-ACK: NAME ..." line: what it names is durable from here on. The text is handed to
 * the kernel before the call returns. */
__attribute__((format(printf, 2, 3))) void pf_ack(const char *name, const char *fmt, ...);

/* Writes back the cache lines of [p, p+n) with the best instruction there is and waits for it (SDM
 * vol. 1, 12.1). */
void pf_persist(const void *p, size_t n);

/* The next of a sequence of numbers that is determined by its state (splitmix64). */
uint64_t pf_random(uint64_t *state);

/* Fills n bytes (a multiple of 8) with the bytes that (seed, stream) determine. */
void pf_fill(void *p, size_t n, uint64_t seed, uint64_t stream);

/* 64 bits over n bytes (a multiple of 8), in the manner of FNV-1a with words for bytes. */
uint64_t pf_checksum(const void *p, size_t n);

#endif
