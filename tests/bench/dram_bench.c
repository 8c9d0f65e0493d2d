/*
 * The DRAM allocator (mm/dram/dram.c) and a textbook buddy under the same work: `dram_bench
 * ROUNDS`.
 *
 * A line a phase: "SIDE/ROW-THREADS OPERATIONS NANOSECONDS". Under callgrind each phase also ends
 * in a dump labelled SIDE/ROW-THREADS; with the functions of the allocators as --toggle-collect it
 * holds what they execute, without the loops around them. Of the managed memory nothing is touched.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include "hv/lib/printk.h"
#include "mm/dram/dram.h"
#include "tests/bench/buddy.h"

#define MANAGED      (8 * GiB)
#define HALF         (MANAGED / PAGE_4K / 2)
#define PAIRS        200000u
#define CHURNS       500000u
#define THREADS      2u
#define METADATA_MAX (72 * MiB) /* the buddy's for 8 GiB is 64 MiB, ours for 1 TiB 33 MiB */

static void die(const char *why)
{
        fprintf(stderr, "dram_bench: %s\n", why);
        exit(1);
}

/* What mm/dram/dram.c has to say is that a free was refused. */
void printk(enum log_level level, const char *fmt, ...)
{
        (void)level;
        die(fmt);
}

/* ---- The two sides. ---- */

static struct dram dram;
static struct buddy buddy;
static void *metadata; /* mapped and touched, as the hypervisor's memory is when it starts */

static void *metadata_ptr(hpa_t hpa)
{
        (void)hpa; /* dram_start asks once, for the place of its metadata */
        return metadata;
}

static void dram_begin(uint64_t bytes)
{
        dram_init(&dram, metadata_ptr);
        if (dram_add_range(&dram, HPA(GiB), bytes) || dram_start(&dram))
                die("dram_start failed");
}

static inline uint64_t dram_take(unsigned order)
{
        hpa_t block;

        if (dram_alloc(&dram, order, &block))
                die("dram_alloc failed");
        return block.v;
}

static inline void dram_give(uint64_t block, unsigned order)
{
        if (dram_free(&dram, HPA(block), order))
                die("dram_free failed");
}

/* Single frames to hold until no 2 MiB of the heap are partly used. */
static size_t dram_odd_frames(void)
{
        return dram_free_bytes(&dram) % PAGE_2M / PAGE_4K;
}

static uint64_t dram_metadata(void)
{
        struct dram_stats stats;

        dram_get_stats(&dram, &stats);
        return stats.metadata_bytes;
}

static void buddy_begin(uint64_t bytes)
{
        buddy_start(&buddy, metadata, bytes / PAGE_4K);
}

static inline uint64_t buddy_take(unsigned order)
{
        uint64_t frame = buddy_alloc(&buddy, order);

        if (frame == BUDDY_NONE)
                die("buddy_alloc failed");
        return frame * PAGE_4K;
}

static inline void buddy_give(uint64_t block, unsigned order)
{
        buddy_free(&buddy, block / PAGE_4K, order);
}

static size_t buddy_odd_frames(void)
{
        return 0;
}

static uint64_t buddy_metadata(void)
{
        return buddy.frames * sizeof(struct buddy_frame);
}

/* ---- The work of one thread, on its share of the blocks held. ---- */

struct share {
        uint64_t *held;
        size_t count;
        size_t operations;
        uint64_t seed;
};

typedef uint64_t (*take_fn)(unsigned order);
typedef void (*give_fn)(uint64_t block, unsigned order);

static bool contended;
static bool lock_word;

static inline void lock(void)
{
        if (contended)
                while (__atomic_exchange_n(&lock_word, true, __ATOMIC_ACQUIRE))
                        __builtin_ia32_pause();
}

static inline void unlock(void)
{
        if (contended)
                __atomic_store_n(&lock_word, false, __ATOMIC_RELEASE);
}

/* take and give are constants wherever the work is inlined: the calls are direct. */
#define WORK static inline __attribute__((always_inline))

WORK uint64_t locked_take(take_fn take, unsigned order)
{
        uint64_t block;

        lock();
        block = take(order);
        unlock();
        return block;
}

WORK void locked_give(give_fn give, uint64_t block, unsigned order)
{
        lock();
        give(block, order);
        unlock();
}

static inline uint64_t draw(uint64_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static void shuffle(struct share *s)
{
        for (size_t i = s->count; i > 1; i--) {
                size_t j = draw(&s->seed) % i;
                uint64_t block = s->held[j];

                s->held[j] = s->held[i - 1];
                s->held[i - 1] = block;
        }
}

WORK void pairs(struct share *s, take_fn take, give_fn give, unsigned order)
{
        for (size_t i = 0; i < s->operations; i++)
                locked_give(give, locked_take(take, order), order);
}

WORK void bulk(struct share *s, take_fn take)
{
        for (size_t i = 0; i < s->count; i++)
                s->held[i] = locked_take(take, 0);
}

WORK void release(struct share *s, give_fn give)
{
        for (size_t i = 0; i < s->count; i++)
                locked_give(give, s->held[i], 0);
}

WORK void churn(struct share *s, take_fn take, give_fn give)
{
        for (size_t i = 0; i < s->operations; i++) {
                uint64_t *held = &s->held[draw(&s->seed) % s->count];

                locked_give(give, *held, 0);
                *held = locked_take(take, 0);
        }
}

struct side {
        const char *name;
        uint64_t begin_bytes; /* managed when the start is measured */
        void (*begin)(uint64_t bytes);
        size_t (*odd_frames)(void);
        uint64_t (*metadata)(void);
        void (*pair_4k)(struct share *s);
        void (*pair_2m)(struct share *s);
        void (*bulk)(struct share *s);
        void (*release)(struct share *s);
        void (*churn)(struct share *s);
};

#define SIDE(NAME, BEGIN_BYTES)                                                                    \
        static void NAME##_pair_4k(struct share *s)                                                \
        {                                                                                          \
                pairs(s, NAME##_take, NAME##_give, 0);                                             \
        }                                                                                          \
        static void NAME##_pair_2m(struct share *s)                                                \
        {                                                                                          \
                pairs(s, NAME##_take, NAME##_give, DRAM_ORDER_2M);                                 \
        }                                                                                          \
        static void NAME##_bulk(struct share *s)                                                   \
        {                                                                                          \
                bulk(s, NAME##_take);                                                              \
        }                                                                                          \
        static void NAME##_release(struct share *s)                                                \
        {                                                                                          \
                release(s, NAME##_give);                                                           \
        }                                                                                          \
        static void NAME##_churn(struct share *s)                                                  \
        {                                                                                          \
                churn(s, NAME##_take, NAME##_give);                                                \
        }                                                                                          \
        static const struct side NAME##_side = {                                                   \
            .name = #NAME,                                                                         \
            .begin_bytes = (BEGIN_BYTES),                                                          \
            .begin = NAME##_begin,                                                                 \
            .odd_frames = NAME##_odd_frames,                                                       \
            .metadata = NAME##_metadata,                                                           \
            .pair_4k = NAME##_pair_4k,                                                             \
            .pair_2m = NAME##_pair_2m,                                                             \
            .bulk = NAME##_bulk,                                                                   \
            .release = NAME##_release,                                                             \
            .churn = NAME##_churn,                                                                 \
        }

SIDE(dram, TiB);
SIDE(buddy, MANAGED);

/* ---- Phases. ---- */

static uint64_t held[2 * HALF];
static struct share shares[THREADS];
static const struct side *side;
static unsigned threads;

static uint64_t now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void phase_end(const char *row, uint64_t operations, uint64_t since)
{
        uint64_t ns = now() - since;
        char label[64];

        (void)snprintf(label, sizeof label, "%s/%s-%u", side->name, row, threads);
        CALLGRIND_DUMP_STATS_AT(label);
        printf("%s %lu %lu\n", label, operations, ns);
        fflush(stdout);
}

/* Hand count blocks from first and operations out to the threads, evenly. */
static void share_out(uint64_t *first, size_t count, size_t operations)
{
        for (unsigned t = 0; t < threads; t++) {
                shares[t].held = first + count / threads * t;
                shares[t].count = count / threads;
                shares[t].operations = operations / threads;
        }
}

struct start {
        void (*work)(struct share *s);
        struct share *share;
        pthread_barrier_t *barrier;
};

static void *run_thread(void *arg)
{
        const struct start *start = arg;

        pthread_barrier_wait(start->barrier);
        start->work(start->share);
        pthread_barrier_wait(start->barrier);
        return NULL;
}

static void phase_two(const char *row, uint64_t operations, void (*work)(struct share *s))
{
        struct start start[THREADS];
        pthread_barrier_t barrier;
        pthread_t thread[THREADS];
        uint64_t since;

        contended = true;
        pthread_barrier_init(&barrier, NULL, THREADS + 1);
        for (unsigned t = 0; t < THREADS; t++) {
                start[t] = (struct start){work, &shares[t], &barrier};
                if (pthread_create(&thread[t], NULL, run_thread, &start[t]))
                        die("no thread");
        }
        CALLGRIND_ZERO_STATS;
        since = now();
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        phase_end(row, operations, since);
        for (unsigned t = 0; t < THREADS; t++)
                pthread_join(thread[t], NULL);
        pthread_barrier_destroy(&barrier);
        contended = false;
}

static void phase(const char *row, uint64_t operations, void (*work)(struct share *s))
{
        uint64_t since;

        if (threads > 1) {
                phase_two(row, operations, work);
                return;
        }
        CALLGRIND_ZERO_STATS;
        since = now();
        work(&shares[0]);
        phase_end(row, operations, since);
}

/* Work without measuring it. */
static void prepare(uint64_t *first, size_t count, void (*work)(struct share *s))
{
        struct share all = {.held = first, .count = count};

        work(&all);
}

static void measure_begin(void)
{
        uint64_t since;

        CALLGRIND_ZERO_STATS;
        since = now();
        side->begin(side->begin_bytes);
        phase_end("start", side->begin_bytes / GiB, since);
}

/* From an empty heap through a half-full one of frames in a row to one of frames here and there. */
static void measure_work(void)
{
        side->begin(MANAGED);
        share_out(held, 0, PAIRS);
        phase("pair", PAIRS, side->pair_4k);
        phase("pair-2m", PAIRS, side->pair_2m);
        prepare(held, side->odd_frames(), side->bulk);
        phase("pair-whole", PAIRS, side->pair_4k);
        share_out(held, HALF, CHURNS);
        side->begin(MANAGED);
        phase("bulk", HALF, side->bulk);
        phase("churn", CHURNS, side->churn);
        for (unsigned t = 0; t < threads; t++)
                shuffle(&shares[t]);
        phase("random-free", HALF, side->release);
}

/* The half of a full heap is freed at random: holes everywhere. */
static void measure_scattered(void)
{
        size_t count = 2 * HALF - METADATA_MAX / PAGE_4K;
        struct share all = {.held = held, .count = count, .seed = 1};

        side->begin(MANAGED);
        prepare(held, count, side->bulk);
        shuffle(&all);
        prepare(held + HALF, count - HALF, side->release);
        share_out(held, HALF, CHURNS);
        phase("churn-holes", CHURNS, side->churn);
}

static void measure(const struct side *which, unsigned with_threads)
{
        side = which;
        threads = with_threads;
        for (unsigned t = 0; t < THREADS; t++)
                shares[t].seed = t + 1;
        if (threads == 1)
                measure_begin();
        measure_work();
        measure_scattered();
}

int main(int argc, char **argv)
{
        int rounds = argc > 1 ? atoi(argv[1]) : 1;

        metadata = mmap(NULL, METADATA_MAX, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (metadata == MAP_FAILED)
                die("no memory");
        memset(held, 0xff, sizeof held); /* touched before anything is timed */
        for (int i = 0; i < rounds; i++)
                for (unsigned t = 1; t <= THREADS; t++) {
                        measure(&dram_side, t);
                        measure(&buddy_side, t);
                }
        dram_begin(MANAGED);
        printf("dram/metadata %lu %lu\n", MANAGED / GiB, dram_metadata());
        printf("buddy/metadata %lu %lu\n", MANAGED / GiB, buddy_metadata());
        return 0;
}
