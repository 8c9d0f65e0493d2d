/* Guest memory by guest-physical address: the extent list, lookups, copies over extent borders. */
#include "guest/mem/gmem.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define SIZE 256u

static void test_add_refuses_overlap(void)
{
        static uint8_t ram[SIZE];
        struct gmem mem = {.count = 0};

        CHECK_EQ(gmem_add(&mem, GPA(0x1000), 0x100, ram), 0);
        CHECK_EQ(gmem_add(&mem, GPA(0x1000), 0, ram), -EINVAL);
        CHECK_EQ(gmem_add(&mem, GPA(0x10ff), 1, ram), -EINVAL);
        CHECK_EQ(gmem_add(&mem, GPA(0xfff), 2, ram), -EINVAL);
        CHECK_EQ(gmem_add(&mem, GPA(0x800), 0x2000, ram), -EINVAL);
        CHECK_EQ(gmem_add(&mem, GPA(UINT64_MAX - 1), 4, ram), -EINVAL);
        CHECK_EQ(gmem_add(&mem, GPA(0x1100), 0x10, ram), 0);
        CHECK_EQ(gmem_add(&mem, GPA(0xff0), 0x10, ram), 0);
        CHECK_EQ(mem.count, 3);
        CHECK_EQ(mem.first[0].gpa.v, 0xff0);
        CHECK_EQ(mem.first[2].gpa.v, 0x1100);
}

/* Without memory to grow in. */
static void test_add_stops_when_full(void)
{
        static uint8_t ram[2 * GMEM_FIRST];
        struct gmem mem = {.count = 0};

        for (unsigned i = 0; i < GMEM_FIRST; i++)
                CHECK_EQ(gmem_add(&mem, GPA(2 * i), 1, ram + i), 0);
        CHECK_EQ(gmem_add(&mem, GPA(2 * GMEM_FIRST), 1, ram), -ENOMEM);
        CHECK_EQ(mem.count, GMEM_FIRST);
}

static void *to_ptr(hpa_t hpa)
{
        return (void *)hpa.v;
}

/* Thousands of extents, in any order of coming: each byte is found where it is, and no other. */
static void test_grows(void)
{
        enum { EXTENTS = 3000, LEN = 16, PITCH = 24 };
        static uint8_t ram[EXTENTS * LEN];
        static uint8_t memory[4 * MiB] __attribute__((aligned(2 * MiB)));
        static struct dram dram;
        struct gmem mem;
        uint64_t whole;

        dram_init(&dram, to_ptr);
        CHECK_EQ(dram_add_range(&dram, HPA((uint64_t)memory), sizeof memory), 0);
        CHECK_EQ(dram_start(&dram), 0);
        whole = dram_free_bytes(&dram);
        gmem_init(&mem, &dram);
        for (unsigned i = 0; i < EXTENTS; i++) {
                unsigned k = i * 7 % EXTENTS; /* 7 and 3000 have no divisor in common */

                CHECK_EQ(gmem_add(&mem, GPA(k * PITCH), LEN, ram + k * LEN), 0);
        }
        CHECK_EQ(mem.count, EXTENTS);
        CHECK_EQ(gmem_add(&mem, GPA(5 * PITCH + LEN - 1), 2, ram), -EINVAL);
        for (unsigned k = 0; k < EXTENTS; k++) {
                CHECK(gmem_ptr(&mem, GPA(k * PITCH), LEN) == ram + k * LEN);
                CHECK(gmem_ptr(&mem, GPA(k * PITCH + LEN - 1), 1) == ram + k * LEN + LEN - 1);
                CHECK(gmem_ptr(&mem, GPA(k * PITCH + LEN), 1) == NULL);
        }
        (void)dram_fail_after(&dram, 1);
        while (!gmem_add(&mem, GPA(MiB + mem.count * PITCH), 1, ram))
                ;
        CHECK(mem.count > EXTENTS && mem.count < 2 * EXTENTS);
        gmem_destroy(&mem);
        CHECK_EQ(mem.count, 0);
        CHECK_EQ(dram_free_bytes(&dram), whole);
}

/* What goes on for the hypervisor too is one extent, but never over a change of rights. */
static void test_joins(void)
{
        static uint8_t ram[4 * SIZE];
        struct gmem mem = {.count = 0};

        for (unsigned i = 0; i < 3; i++)
                CHECK_EQ(gmem_add(&mem, GPA(i * SIZE), SIZE, ram + i * SIZE), 0);
        CHECK_EQ(mem.count, 1);
        CHECK(gmem_ptr(&mem, GPA(0), 3 * SIZE) == ram);
        CHECK_EQ(gmem_add_read_only(&mem, GPA(3 * SIZE), SIZE, ram + 3 * SIZE), 0);
        CHECK_EQ(mem.count, 2);
        CHECK(gmem_ptr(&mem, GPA(3 * SIZE), 1) == NULL);
}

static void test_ptr_wants_adjacent_memory(void)
{
        uint8_t a[160], *b = a + 80;
        struct gmem mem = {.count = 0};

        CHECK_EQ(gmem_add(&mem, GPA(0), 32, a), 0);
        CHECK_EQ(gmem_add(&mem, GPA(32), 32, a + 32), 0);
        CHECK_EQ(gmem_add(&mem, GPA(64), 64, b), 0);
        CHECK(gmem_ptr(&mem, GPA(0), 64) == a);
        CHECK(gmem_ptr(&mem, GPA(40), 24) == a + 40);
        CHECK(gmem_ptr(&mem, GPA(40), 25) == NULL);
        CHECK(gmem_ptr(&mem, GPA(64), 64) == b);
        CHECK(gmem_ptr(&mem, GPA(64), 65) == NULL);
        CHECK(gmem_ptr(&mem, GPA(128), 1) == NULL);
        CHECK(gmem_ptr(&mem, GPA(UINT64_MAX), 2) == NULL);
        CHECK(gmem_ptr(&mem, GPA(0), UINT64_MAX) == NULL);
}

/* Read, by copies and words, over the border to other memory; never written, nor pointed to. */
static void test_read_only(void)
{
        uint64_t ram[4] = {1, 2, 3, 4}, out[4] = {0};
        struct gmem mem = {.count = 0};

        CHECK_EQ(gmem_add(&mem, GPA(0), 16, ram), 0);
        CHECK_EQ(gmem_add_read_only(&mem, GPA(16), 16, ram + 2), 0);
        CHECK_EQ(gmem_add_read_only(&mem, GPA(24), 16, ram), -EINVAL);
        CHECK_EQ(gmem_read(&mem, GPA(0), out, 32), 0);
        CHECK_EQ(out[3], 4);
        CHECK_EQ(gmem_read_word(&mem, GPA(24), out), 0);
        CHECK_EQ(out[0], 4);
        CHECK(gmem_ptr(&mem, GPA(0), 16) == ram);
        CHECK(gmem_ptr(&mem, GPA(0), 17) == NULL);
        CHECK(gmem_ptr(&mem, GPA(16), 1) == NULL);
        CHECK_EQ(gmem_write(&mem, GPA(8), out, 16), -EFAULT);
        CHECK_EQ(ram[1], 2);
        CHECK_EQ(ram[2], 3);
}

static void test_word(void)
{
        uint64_t ram[3] = {1, 2, 3}, out = 77;
        struct gmem mem = {.count = 0};

        CHECK_EQ(gmem_add(&mem, GPA(0x1000), 20, ram), 0);
        CHECK_EQ(gmem_read_word(&mem, GPA(0x1008), &out), 0);
        CHECK_EQ(out, 2);
        CHECK_EQ(gmem_read_word(&mem, GPA(0x1004), &out), -EFAULT);
        CHECK_EQ(gmem_read_word(&mem, GPA(0x1010), &out), -EFAULT); /* ends within */
        CHECK_EQ(gmem_read_word(&mem, GPA(0xff8), &out), -EFAULT);
        CHECK_EQ(gmem_read_word(&mem, GPA(UINT64_MAX - 7), &out), -EFAULT);
        CHECK_EQ(out, 2);
}

/* Random extents with holes against one byte of model for each guest address. */
static void test_copies_against_model(void)
{
        uint64_t seed = unit_seed();

        for (unsigned round = 0; round < 200; round++) {
                struct gmem mem = {.count = 0};
                uint8_t ram[SIZE], model[SIZE], buf[SIZE], out[SIZE];
                bool there[SIZE] = {false};
                unsigned ram_at = 0;

                for (unsigned at = 0; at < SIZE;) {
                        unsigned n = 1 + (unsigned)unit_random(&seed) % 40;

                        n = n < SIZE - at ? n : SIZE - at;
                        /* from the top down in ram, so that neighbours never join */
                        if (unit_random(&seed) % 4) {
                                ram_at += n;
                                CHECK_EQ(gmem_add(&mem, GPA(at), n, ram + SIZE - ram_at), 0);
                                memset(there + at, true, n);
                        }
                        at += n;
                }
                memset(ram, 0, sizeof ram);
                memset(model, 0, sizeof model);
                for (unsigned step = 0; step < 100; step++) {
                        uint64_t at = unit_random(&seed) % SIZE, n = unit_random(&seed) % SIZE;
                        bool inside = at + n <= SIZE;

                        for (uint64_t i = at; inside && i < at + n; i++)
                                inside = there[i];
                        for (unsigned i = 0; i < n; i++)
                                buf[i] = (uint8_t)unit_random(&seed);
                        CHECK_EQ(gmem_write(&mem, GPA(at), buf, n), inside ? 0 : -EFAULT);
                        if (inside)
                                memcpy(model + at, buf, n);
                        CHECK_EQ(gmem_read(&mem, GPA(at), out, n), inside ? 0 : -EFAULT);
                        CHECK(!inside || memcmp(out, model + at, n) == 0);
                        for (unsigned i = 0; i < SIZE; i++)
                                if (there[i])
                                        CHECK_EQ(*(uint8_t *)gmem_ptr(&mem, GPA(i), 1), model[i]);
                }
        }
}

int main(void)
{
        RUN(test_add_refuses_overlap);
        RUN(test_add_stops_when_full);
        RUN(test_grows);
        RUN(test_joins);
        RUN(test_ptr_wants_adjacent_memory);
        RUN(test_read_only);
        RUN(test_word);
        RUN(test_copies_against_model);
        return unit_done();
}
