/*
 * A unit test is a program: it calls RUN(test) for each of its tests and returns unit_done().
 * It prints "ok NAME" or "not ok NAME" a test; the exit status is 0 when all passed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int unit_failed_checks;

#define CHECK(cond)                                                                                \
        do {                                                                                       \
                if (!(cond)) {                                                                     \
                        printf("%s:%d: check failed: %s\n", __FILE__, __LINE__, #cond);            \
                        unit_failed_checks++;                                                      \
                }                                                                                  \
        } while (0)

#define CHECK_EQ(a, b)                                                                             \
        do {                                                                                       \
                long long unit_a = (long long)(a), unit_b = (long long)(b);                        \
                if (unit_a != unit_b) {                                                            \
                        printf("%s:%d: %s is %lld (0x%llx), expected %s = %lld (0x%llx)\n",        \
                               __FILE__, __LINE__, #a, unit_a, unit_a, #b, unit_b, unit_b);        \
                        unit_failed_checks++;                                                      \
                }                                                                                  \
        } while (0)

#define RUN(test) unit_run(#test, test)

void unit_run(const char *name, void (*test)(void));
int unit_done(void);

/*
 * The seed of a random test: $SEED when set, else from the clock; printed so that a failure can be
 * repeated. unit_random is a small deterministic generator on a caller-held state.
 */
uint64_t unit_seed(void);
uint64_t unit_random(uint64_t *state);

/* What was logged since the last clear (as much as there is room for), lines without ends. */
void unit_log_clear(void);
bool unit_log_has(const char *text);
