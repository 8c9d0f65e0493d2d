/* The persistent-memory primitives as they run on the machine: stores, and flush hints at fences.
 */
#include "mm/pool/pm.h"

#include <string.h>

#include "tests/unit/unit.h"

static uint64_t memory[64] __attribute__((aligned(64)));

static void test_stores(void)
{
        uint64_t from[16];

        for (size_t i = 0; i < ARRAY_LEN(from); i++)
                from[i] = i * 0x0101010101010101ull;
        memset(memory, 0xff, sizeof memory);
        pm_init();
        pm_store(memory, from, 24);
        CHECK(!memcmp(memory, from, 24) && memory[3] == UINT64_MAX);
        pm_publish(&memory[3], 7);
        CHECK_EQ(memory[3], 7);
        pm_copy(&memory[8], from, 128);
        CHECK(!memcmp(&memory[8], from, 128) && memory[24] == UINT64_MAX);
        pm_zero(&memory[8], 64);
        CHECK(memory[8] == 0 && memory[15] == 0 && memory[7] == UINT64_MAX &&
              memory[16] == from[8]);
        pm_flush(memory, sizeof memory);
        pm_fence();
        CHECK(pm_flush_name()[0] == 'c');
}

/* One hint of each NVDIMM is written at each fence, and none that was not told or is no more. */
static void test_flush_hints(void)
{
        uint64_t hints[PM_HINTS_MAX + 1] = {0};
        volatile uint64_t *where[PM_HINTS_MAX + 1];

        for (size_t i = 0; i < ARRAY_LEN(hints); i++)
                where[i] = &hints[i];
        pm_set_flush_hints(where, 2);
        CHECK_EQ(hints[0], 0);
        pm_flush(memory, 64);
        CHECK_EQ(hints[0], 0);
        pm_fence();
        CHECK(hints[0] == 1 && hints[1] == 1 && hints[2] == 0);
        memset(hints, 0, sizeof hints);
        pm_set_flush_hints(where, ARRAY_LEN(where));
        pm_fence();
        CHECK(hints[PM_HINTS_MAX - 1] == 1 && hints[PM_HINTS_MAX] == 0);
        memset(hints, 0, sizeof hints);
        pm_set_flush_hints(NULL, 0);
        pm_fence();
        CHECK_EQ(hints[0], 0);
}

int main(void)
{
        RUN(test_stores);
        RUN(test_flush_hints);
        return unit_done();
}
