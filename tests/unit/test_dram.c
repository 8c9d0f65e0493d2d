/*
 * The DRAM allocator against a plain map of frames: what it hands out is managed, aligned, free and
 * its own; what it refuses is not there; what comes back wrongly is found.
 */
#include "mm/dram/dram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/unit.h"

#define SPACE  (6 * GiB)
#define FRAMES (SPACE / PAGE_4K)

enum { NOT_THERE, FREE, HEAD, INSIDE };

static char *ram; /* the machine's memory; pages appear when touched */
static uint8_t model[FRAMES];
static uint8_t head_order[FRAMES];
static struct dram dram;

struct block {
        uint64_t frame;
        unsigned order;
};

#define BLOCKS_MAX FRAMES
static struct block held[BLOCKS_MAX];
static size_t held_count;

static void *to_ptr(hpa_t hpa)
{
        return ram + hpa.v;
}

static uint64_t *stamp(uint64_t frame)
{
        return (uint64_t *)(ram + frame * PAGE_4K + frame % 511 * 8);
}

static void fresh(void)
{
        if (ram)
                munmap(ram, SPACE);
        ram = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
        if (ram == MAP_FAILED)
                abort();
        memset(model, NOT_THERE, sizeof model);
        held_count = 0;
        dram_init(&dram, to_ptr);
}

static void add(uint64_t start, uint64_t size)
{
        uint64_t first = (start + PAGE_4K - 1) / PAGE_4K, end = (start + size) / PAGE_4K;

        CHECK_EQ(dram_add_range(&dram, HPA(start), size), 0);
        for (uint64_t f = first ? first : 1; f < end; f++)
                model[f] = FREE;
}

static void reserve(uint64_t start, uint64_t size)
{
        CHECK_EQ(dram_reserve(&dram, HPA(start), size), 0);
        for (uint64_t f = start / PAGE_4K; f < (start + size + PAGE_4K - 1) / PAGE_4K; f++)
                model[f] = NOT_THERE;
}

static uint64_t count_model(uint8_t what)
{
        uint64_t n = 0;

        for (uint64_t f = 0; f < FRAMES; f++)
                n += model[f] == what;
        return n;
}

/* Start, then learn from one pass of single frames which ones the metadata took. */
static void start(void)
{
        uint64_t expected = count_model(FREE), got = 0;
        struct dram_stats stats;
        hpa_t hpa;

        CHECK_EQ(dram_start(&dram), 0);
        CHECK_EQ(dram_start(&dram), -EBUSY);
        CHECK_EQ(dram_add_range(&dram, HPA(5 * GiB), MiB), -EBUSY);
        CHECK_EQ(dram_reserve(&dram, HPA(5 * GiB), MiB), -EBUSY);
        dram_get_stats(&dram, &stats);
        CHECK_EQ(stats.total_bytes + stats.metadata_bytes, expected * PAGE_4K);
        CHECK_EQ(stats.free_bytes, stats.total_bytes);
        while (!dram_alloc(&dram, 0, &hpa)) {
                CHECK(hpa.v < SPACE && hpa.v % PAGE_4K == 0);
                CHECK_EQ(model[hpa.v / PAGE_4K], FREE);
                model[hpa.v / PAGE_4K] = HEAD;
                got++;
        }
        CHECK_EQ(got * PAGE_4K, stats.total_bytes);
        CHECK_EQ(dram_free_bytes(&dram), 0);
        for (uint64_t f = 0; f < FRAMES; f++) {
                if (model[f] == HEAD)
                        CHECK_EQ(dram_free(&dram, HPA(f * PAGE_4K), 0), 0);
                model[f] = model[f] == HEAD ? FREE : NOT_THERE;
        }
        CHECK_EQ(dram_free_bytes(&dram), stats.total_bytes);
}

static bool model_has_room(unsigned order)
{
        uint64_t size = 1ull << order;

        for (uint64_t f = 0; f < FRAMES; f += size) {
                uint64_t n = 0;

                while (n < size && model[f + n] == FREE)
                        n++;
                if (n == size)
                        return true;
        }
        return false;
}

static void take(unsigned order)
{
        uint64_t size = 1ull << order;
        hpa_t hpa = HPA(0);
        uint64_t frame;

        if (dram_alloc(&dram, order, &hpa)) {
                CHECK(!model_has_room(order));
                return;
        }
        frame = hpa.v / PAGE_4K;
        CHECK(hpa.v % (PAGE_4K << order) == 0 && frame + size <= FRAMES);
        for (uint64_t i = 0; i < size; i++) {
                if (model[frame + i] != FREE)
                        CHECK_EQ(model[frame + i], FREE);
                model[frame + i] = i ? INSIDE : HEAD;
        }
        head_order[frame] = (uint8_t)order;
        *stamp(frame) = *stamp(frame + size - 1) = frame;
        held[held_count++] = (struct block){frame, order};
}

static void give(size_t i)
{
        struct block b = held[i];
        uint64_t size = 1ull << b.order;

        CHECK_EQ(*stamp(b.frame + size - 1), b.frame);
        CHECK_EQ(dram_free(&dram, HPA(b.frame * PAGE_4K), b.order), 0);
        memset(&model[b.frame], FREE, size);
        held[i] = held[--held_count];
}

/* A free that the contract promises to find. */
static void give_wrongly(uint64_t *seed)
{
        uint64_t frame = unit_random(seed) % FRAMES;
        unsigned order = (unsigned)(unit_random(seed) % (DRAM_ORDERS + 2));
        uint64_t before = dram_free_bytes(&dram);

        /* Often a small block beside one that is held, where chunks are partly used. */
        if (held_count && unit_random(seed) % 2) {
                frame = held[unit_random(seed) % held_count].frame ^ unit_random(seed) % 16;
                order = (unsigned)(unit_random(seed) % 3);
        }
        if (unit_random(seed) % 2 && order < DRAM_ORDERS)
                frame &= ~((1ull << order) - 1);
        if (order < DRAM_ORDERS && model[frame] == HEAD) {
                unsigned is = head_order[frame];

                if (is == order || (is < DRAM_ORDER_2M && order < DRAM_ORDER_2M))
                        return;
        } else if (order < DRAM_ORDER_2M && model[frame] == INSIDE) {
                uint64_t head = frame;

                while (model[head] == INSIDE)
                        head--;
                if (head_order[head] < DRAM_ORDER_2M)
                        return;
        }
        CHECK_EQ(dram_free(&dram, HPA(frame * PAGE_4K), order), -EINVAL);
        CHECK_EQ(dram_free_bytes(&dram), before);
}

static void check_counters(void)
{
        uint64_t used[DRAM_ORDERS] = {0}, free_2m = 0, free_1g = 0, run = 0;
        struct dram_stats stats;

        for (size_t i = 0; i < held_count; i++)
                used[held[i].order]++;
        for (uint64_t f = 0; f < FRAMES; f++) {
                run = f % 512 ? run : 0;
                run += model[f] == FREE;
                free_2m += f % 512 == 511 && run == 512;
        }
        for (uint64_t f = 0; f < FRAMES; f += 512 * 512) {
                run = 0;
                while (run < 512 * 512 && model[f + run] == FREE)
                        run++;
                free_1g += run == 512 * 512;
        }
        dram_get_stats(&dram, &stats);
        CHECK(!memcmp(used, stats.used_blocks, sizeof used));
        CHECK_EQ(stats.free_bytes, count_model(FREE) * PAGE_4K);
        CHECK_EQ(stats.free_2m, free_2m);
        CHECK_EQ(stats.free_1g, free_1g);
}

static void churn(uint64_t *seed, int steps, unsigned orders)
{
        for (int i = 0; i < steps; i++) {
                uint64_t dice = unit_random(seed) % 16;

                /* Mostly small orders; long phases of growing and of shrinking. */
                if (dice == 0)
                        give_wrongly(seed);
                else if (dice < (i / 2000 % 2 ? 6 : 11))
                        take((unsigned)(unit_random(seed) % (1 + unit_random(seed) % orders)));
                else if (held_count)
                        give(unit_random(seed) % held_count);
        }
        check_counters();
        while (held_count)
                give(held_count - 1);
        check_counters();
}

static void test_odd_machine(void)
{
        uint64_t seed = unit_seed();

        fresh();
        add(0, 0x9fc00);
        add(MiB + 0x123, 300 * MiB + 17);
        add(302 * MiB, 200 * MiB);
        add(700 * MiB - PAGE_4K, 3 * PAGE_4K);
        add(GiB + 4 * MiB, 3 * GiB + 5 * PAGE_4K);
        add(5 * GiB - 64 * KiB, 64 * KiB);
        reserve(0x8000, PAGE_4K);
        reserve(2 * MiB, 512 * KiB + 1);
        reserve(GiB, 5 * MiB);
        reserve(690 * MiB, 50 * MiB);
        add(800 * MiB, 12 * KiB);
        start();
        for (int round = 0; round < 3; round++)
                churn(&seed, 20000, 11 + 4 * (unsigned)round);
}

static void test_random_machines(void)
{
        uint64_t seed = unit_seed();

        for (int round = 0; round < 6; round++) {
                uint64_t at = unit_random(&seed) % (round % 2 ? 2 * GiB : 4 * MiB);

                fresh();
                add(at, 8 * MiB);
                at += 8 * MiB;
                for (int i = 0; i < 20 && at < SPACE / 2; i++) {
                        uint64_t size = unit_random(&seed) % (1ull << (12 + i));

                        at += unit_random(&seed) % 3 * (unit_random(&seed) % (1ull << (12 + i)));
                        if (at + size > SPACE)
                                break;
                        add(at, size);
                        at += size;
                }
                start();
                churn(&seed, 6000, DRAM_ORDERS);
        }
}

/* Every byte of a full machine is handed out, in every order, and comes back whole. */
static void test_exhaust_every_order(void)
{
        fresh();
        add(0, 3 * GiB);
        start();
        for (unsigned order = 0; order < DRAM_ORDERS; order++) {
                hpa_t hpa;
                size_t n = 0;

                while (!dram_alloc(&dram, order, &hpa))
                        held[n++] = (struct block){hpa.v / PAGE_4K, order};
                CHECK_EQ(n > 0, true);
                CHECK(dram_free_bytes(&dram) < 4 * MiB + (PAGE_4K << order) + 512 * MiB ||
                      order == DRAM_ORDER_1G);
                while (n--)
                        CHECK_EQ(dram_free(&dram, HPA(held[n].frame * PAGE_4K), order), 0);
        }
        CHECK_EQ(dram_free_bytes(&dram), count_model(FREE) * PAGE_4K);
}

static void test_list_of_ranges(void)
{
        hpa_t hpa;

        fresh();
        CHECK_EQ(dram_alloc(&dram, 0, &hpa), -EINVAL);
        CHECK_EQ(dram_start(&dram), -ENOMEM);
        CHECK_EQ(dram_add_range(&dram, HPA(MiB), MiB), 0);
        CHECK_EQ(dram_add_range(&dram, HPA(MiB + PAGE_4K), PAGE_4K), -EINVAL);
        CHECK_EQ(dram_add_range(&dram, HPA(0), MiB + PAGE_4K), -EINVAL);
        CHECK_EQ(dram_add_range(&dram, HPA(2 * MiB - PAGE_4K), MiB), -EINVAL);
        CHECK_EQ(dram_add_range(&dram, HPA(MiB), UINT64_MAX), -EINVAL);
        CHECK_EQ(dram_reserve(&dram, HPA(MiB), UINT64_MAX), -EINVAL);
        CHECK_EQ(dram_add_range(&dram, HPA(5 * MiB + 1), PAGE_4K), 0);
        CHECK_EQ(dram.ranges, 1);
        CHECK_EQ(dram_add_range(&dram, HPA(0), MiB), 0);
        CHECK_EQ(dram_add_range(&dram, HPA(2 * MiB), MiB), 0);
        CHECK_EQ(dram.ranges, 1);
        CHECK_EQ(dram.range[0].first, 1);
        CHECK_EQ(dram_reserve(&dram, HPA(0), SPACE), 0);
        CHECK_EQ(dram.ranges, 0);
}

static void forget(uint64_t start, uint64_t size)
{
        memset(&model[start / PAGE_4K], NOT_THERE, size / PAGE_4K);
}

/* RAM in more pieces than there is room for: the largest are used, the others are told. */
static void test_too_many_ranges(void)
{
        uint64_t left;

        fresh();
        for (uint64_t i = 0; i < DRAM_RANGES_MAX; i++)
                add((i + 2) * 4 * MiB, i == 7 ? PAGE_4K : MiB);
        CHECK_EQ(dram_left(&dram, &left), 0);
        add(3 * GiB, MiB - PAGE_4K); /* in place of the smallest */
        CHECK_EQ(dram_left(&dram, &left), 1);
        CHECK_EQ(left, PAGE_4K);
        forget(9 * 4 * MiB, PAGE_4K);
        add(4 * MiB, 2 * PAGE_4K); /* none is smaller */
        forget(4 * MiB, 2 * PAGE_4K);
        CHECK_EQ(dram_left(&dram, &left), 2);
        CHECK_EQ(left, 3 * PAGE_4K);
        add(9 * MiB, MiB); /* joins one, which makes it the largest */
        reserve(8 * MiB + 256 * KiB, PAGE_4K);
        forget(8 * MiB, 256 * KiB); /* the smaller half */
        CHECK_EQ(dram_left(&dram, &left), 3);
        CHECK_EQ(left, 3 * PAGE_4K + 256 * KiB);
        CHECK_EQ(dram.ranges, DRAM_RANGES_MAX);
        start();
}

/* Single frames break one 2 MiB block after the other; 2 MiB blocks break one 1 GiB block. */
static void test_large_blocks_stay_whole(void)
{
        struct dram_stats before, after;
        hpa_t hpa;

        fresh();
        add(0, 4 * GiB);
        start();
        dram_get_stats(&dram, &before);
        CHECK_EQ(before.free_1g, 3);
        for (int i = 0; i < 5000; i++)
                take(i % 3 == 0 ? 3 : 0);
        for (int i = 0; i < 400; i++)
                take(DRAM_ORDER_2M);
        dram_get_stats(&dram, &after);
        CHECK(before.free_2m - after.free_2m <= 400 + (1667 * 8 + 3333) / 512 + 2);
        CHECK_EQ(after.free_1g, 3);
        for (size_t i = 0; i < held_count; i += 2)
                give(i);
        dram_get_stats(&dram, &before);
        for (int i = 0; i < 1500; i++)
                take(0);
        dram_get_stats(&dram, &after);
        CHECK_EQ(after.free_2m, before.free_2m);
        CHECK_EQ(dram_alloc(&dram, DRAM_ORDER_1G, &hpa), 0);
        CHECK_EQ(hpa.v % GiB, 0);
        CHECK_EQ(dram_alloc(&dram, DRAM_ORDER_1G + 1, &hpa), -EINVAL);
}

/* 2 MiB blocks come from the area that the metadata has broken already. */
static void test_broken_area_first(void)
{
        struct dram_stats stats;

        fresh();
        add(GiB, 3 * GiB);
        start();
        for (int i = 0; i < 10; i++)
                take(DRAM_ORDER_2M);
        dram_get_stats(&dram, &stats);
        CHECK_EQ(stats.free_1g, 2);
}

/* Room for two frames is found in the last of 200 chunks that all have one. */
static void test_last_chunk_with_room(void)
{
        uint64_t at;
        hpa_t hpa;

        fresh();
        add(2 * MiB, 400 * MiB);
        start();
        while (!dram_alloc(&dram, 0, &hpa))
                CHECK_EQ(model[hpa.v / PAGE_4K], FREE);
        for (at = 4 * MiB; at < 400 * MiB; at += 2 * MiB)
                CHECK_EQ(dram_free(&dram, HPA(at), 0), 0);
        CHECK_EQ(dram_alloc(&dram, 1, &hpa), -ENOMEM);
        CHECK_EQ(dram_free(&dram, HPA(at - 2 * MiB + PAGE_4K), 0), 0);
        CHECK_EQ(dram_free(&dram, HPA(at - 2 * MiB + PAGE_4K), 0), -EINVAL);
        CHECK_EQ(dram_alloc(&dram, 1, &hpa), 0);
        CHECK_EQ(hpa.v, at - 2 * MiB);
}

/* The first chunk is partly there and does not lie at address 0. */
static void test_first_chunk_is_partial(void)
{
        fresh();
        add(2 * GiB + 3 * PAGE_4K, 64 * MiB);
        start();
}

static void test_unaligned_free(void)
{
        hpa_t hpa, large;

        fresh();
        add(MiB, 64 * MiB);
        start();
        CHECK_EQ(dram_alloc(&dram, 0, &hpa), 0);
        CHECK_EQ(dram_alloc(&dram, DRAM_ORDER_2M, &large), 0);
        for (unsigned bit = 0; bit < 12; bit++) {
                CHECK_EQ(dram_free(&dram, HPA(hpa.v | 1ull << bit), 0), -EINVAL);
                CHECK_EQ(dram_free(&dram, HPA(large.v | 1ull << bit), DRAM_ORDER_2M), -EINVAL);
        }
        CHECK_EQ(dram_free(&dram, HPA(hpa.v | 1ull << 63), 0), -EINVAL);
        CHECK_EQ(dram_free(&dram, hpa, 0), 0);
        CHECK_EQ(dram_free(&dram, large, DRAM_ORDER_2M), 0);
}

/* The 2 MiB block of a frame that comes back counts as free, and a large block can have it. */
static void test_warm_block(void)
{
        struct dram_stats before, after;
        hpa_t frame, large[64];
        size_t n = 0;

        fresh();
        add(2 * MiB, 64 * MiB);
        start();
        dram_get_stats(&dram, &before);
        do {
                CHECK_EQ(dram_alloc(&dram, 0, &frame), 0);
                dram_get_stats(&dram, &after);
        } while (after.free_2m == before.free_2m);
        CHECK_EQ(dram_free(&dram, frame, 0), 0);
        for (int i = 0; i < 3; i++) {
                CHECK_EQ(dram_alloc(&dram, 0, &frame), 0);
                dram_get_stats(&dram, &after);
                CHECK_EQ(after.free_2m, before.free_2m - 1);
                CHECK_EQ(dram_free(&dram, frame, 0), 0);
                dram_get_stats(&dram, &after);
                CHECK_EQ(after.free_2m, before.free_2m);
        }
        while (n < ARRAY_LEN(large) && !dram_alloc(&dram, DRAM_ORDER_2M, &large[n]))
                n++;
        CHECK_EQ(n, before.free_2m);
}

/* The n-th fails, of whatever order, once, and nothing is lost by it. */
static void test_fault(void)
{
        static const unsigned orders[] = {0, 0, DRAM_ORDER_2M, 0, 3, 0};
        enum { COUNT = sizeof orders / sizeof orders[0] };
        hpa_t hpa[COUNT];

        fresh();
        add(MiB, 64 * MiB);
        start();
        for (uint64_t n = 0; n <= COUNT + 1; n++) {
                uint64_t before = dram_free_bytes(&dram);

                CHECK_EQ(dram_fail_after(&dram, n), 0);
                for (unsigned i = 0; i < COUNT; i++) {
                        CHECK_EQ(dram_alloc(&dram, orders[i], &hpa[i]), i + 1 == n ? -ENOMEM : 0);
                        if (i + 1 == n)
                                CHECK_EQ(dram_alloc(&dram, orders[i], &hpa[i]), 0);
                }
                CHECK_EQ(dram_fail_after(&dram, 0), n > COUNT ? n - COUNT : 0);
                for (unsigned i = 0; i < COUNT; i++)
                        CHECK_EQ(dram_free(&dram, hpa[i], orders[i]), 0);
                CHECK_EQ(dram_free_bytes(&dram), before);
        }
}

static void test_zeroed(void)
{
        hpa_t hpa;
        char *p;

        fresh();
        add(MiB, 64 * MiB);
        start();
        for (unsigned order = 0; order < 11; order++) {
                CHECK_EQ(dram_alloc(&dram, order, &hpa), 0);
                memset(to_ptr(hpa), 0xa5, PAGE_4K << order);
                CHECK_EQ(dram_free(&dram, hpa, order), 0);
                CHECK_EQ(dram_alloc_zeroed(&dram, order, &hpa), 0);
                p = to_ptr(hpa);
                CHECK(!p[0] && !memcmp(p, p + 1, (PAGE_4K << order) - 1));
                CHECK_EQ(dram_free(&dram, hpa, order), 0);
        }
}

static void test_metadata_budget(void)
{
        struct dram_stats stats;

        fresh();
        add(0, 6 * GiB);
        start();
        dram_get_stats(&dram, &stats);
        CHECK(stats.metadata_bytes <= 6 * 34 * KiB);
}

int main(void)
{
        RUN(test_list_of_ranges);
        RUN(test_too_many_ranges);
        RUN(test_odd_machine);
        RUN(test_random_machines);
        RUN(test_exhaust_every_order);
        RUN(test_large_blocks_stay_whole);
        RUN(test_broken_area_first);
        RUN(test_last_chunk_with_room);
        RUN(test_first_chunk_is_partial);
        RUN(test_unaligned_free);
        RUN(test_warm_block);
        RUN(test_fault);
        RUN(test_zeroed);
        RUN(test_metadata_budget);
        return unit_done();
}
