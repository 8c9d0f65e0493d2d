/*
 * Power cuts inside the two-copy update of one object: words alone decide, and leaving out any one
 * flush or fence is noticed.
 */
#include <string.h>

#include "mm/pool/pool_format.h"
#include "tests/unit/pm_model.h"
#include "tests/unit/unit.h"

/* Updates of one object in place, with nothing around it. */
struct updates {
        uint64_t acked, wrong;
};

#define PAIR_ROOM 104u /* small enough to try every subset of its words */

static bool is_update(const struct pool_head *head, uint64_t acked)
{
        uint64_t word[PAIR_ROOM / 8];

        memcpy(word, head, sizeof word);
        for (size_t i = 7; i < ARRAY_LEN(word); i++)
                if (word[i] != word[6])
                        return false;
        return word[6] == acked || word[6] == acked + 1;
}

/* Words alone must decide a power cut; the CRC may only ever confirm them. */
static void check_pair(void *ctx, void *image)
{
        struct updates *u = ctx;
        struct pool_expect expect = {.magic = POOL_RECORD_MAGIC, .size = PAIR_ROOM};
        uint8_t *a = image;
        struct pool_pair pair = {.a = (struct pool_head *)a,
                                 .b = (struct pool_head *)(a + PAIR_ROOM)};
        const struct pool_head *by_word = pair.b->seq > pair.a->seq ? pair.b : pair.a;
        const struct pool_head *current;
        enum pool_pair_state state = pool_pair_load(pair, &expect, &current);

        if (current != by_word || !is_update(by_word, u->acked)) {
                u->wrong++;
                return;
        }
        if (state == PAIR_HALF)
                pool_pair_mend(pair, current);
        if (pool_pair_load(pair, &expect, &current) != PAIR_GOOD || !is_update(current, u->acked))
                u->wrong++;
}

static uint64_t run_updates(struct updates *u, uint64_t count, unsigned int power, uint64_t skip)
{
        uint8_t *media = aligned_alloc(4096, 4096);
        struct pool_pair pair = {.a = (struct pool_head *)media,
                                 .b = (struct pool_head *)(media + PAIR_ROOM)};
        union {
                struct pool_head head;
                uint64_t word[PAIR_ROOM / 8];
        } object = {
            .head = {.magic = POOL_RECORD_MAGIC, .version = POOL_VERSION, .length = PAIR_ROOM}};
        struct pm_recording *r;
        uint64_t images;

        memset(media, 0, 4096);
        pool_pair_store(pair, &object.head);
        r = pm_record(media, 4096, power, 99, check_pair, u);
        pm_model_skip(skip);
        for (uint64_t n = 1; n <= count; n++) {
                for (size_t i = 6; i < ARRAY_LEN(object.word); i++)
                        object.word[i] = n;
                pool_pair_store(pair, &object.head);
                u->acked = n;
        }
        images = pm_record_end(r);
        free(media);
        return images;
}

static void test_update(void)
{
        struct updates u = {0};
        uint64_t images = run_updates(&u, 3, 16, 0);

        printf("# update: %llu crash images, %llu wrong\n", (unsigned long long)images,
               (unsigned long long)u.wrong);
        CHECK_EQ(u.wrong, 0);
        CHECK(images > 1000);
}

/* The third update is there so that what the second left in doubt can do harm. */
static void test_update_needs_every_order(void)
{
        uint64_t killed = 0;

        for (uint64_t skip = 1; skip <= 16; skip++) {
                struct updates u = {0};

                run_updates(&u, 3, 9, skip);
                CHECK_EQ(pm_model_orders(), 24);
                if (u.wrong)
                        killed++;
                else
                        printf("# order %llu left out unnoticed\n", (unsigned long long)skip);
        }
        printf("# %llu of 16 left-out flushes and fences noticed\n", (unsigned long long)killed);
        CHECK_EQ(killed, 16);
        pm_model_skip(0);
}

int main(void)
{
        RUN(test_update);
        RUN(test_update_needs_every_order);
        return unit_done();
}
