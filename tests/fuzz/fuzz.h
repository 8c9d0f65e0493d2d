/*
 * What the fuzz targets share. A target is one function, LLVMFuzzerTestOneInput, linked with the
 * tree's hosted code, libFuzzer, ASan and UBSan. It gives the input to a parser and demands what
 * the parser's header promises, whatever the bytes are.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "hv/lib/types.h"

/* Demand cond: a broken promise is a finding, as a bad access is. */
#define DEMAND(cond)                                                                               \
        do {                                                                                       \
                if (!(cond))                                                                       \
                        fuzz_fail(__FILE__, __LINE__, #cond);                                      \
        } while (0)

_Noreturn void fuzz_fail(const char *file, int line, const char *what);

/* Lines of level LOG_WARN and above that were logged so far: a refusal must be told. */
extern unsigned long fuzz_complaints;

/* What is left of the input. At its end every number reads as zero. */
struct fuzz_input {
        const uint8_t *at;
        size_t left;
};

/* The next 1 to 8 bytes as a little-endian number. */
static inline uint64_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
        uint64_t v = 0;

        if (bytes > in->left)
                bytes = in->left;
        memcpy(&v, in->at, bytes);
        in->at += bytes;
        in->left -= bytes;
        return v;
}

/* Memory, or the end: a target has no use for going on without. */
void *fuzz_alloc(size_t size);

/*
 * The next bytes, up to size of them, in a block of just that length, so that ASan sees each access
 * outside of it; the caller frees it. *got is the length.
 */
uint8_t *fuzz_block(struct fuzz_input *in, size_t size, size_t *got);

/* The same with a terminating zero behind them, which is not counted. */
char *fuzz_string(struct fuzz_input *in, size_t size);

/* Make the bytes of table sum up to 0, as ACPI wants it, by the one at checksum. */
void fuzz_fix_sum(uint8_t *table, size_t size, size_t checksum);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
