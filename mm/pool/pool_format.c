/* The pool's two-copy objects on media: judge, mend and update; format and protocol in the header.
 */
#include "mm/pool/pool_format.h"

#include "hv/lib/string.h"
#include "mm/pool/crc32c.h"
#include "mm/pool/pm.h"

#define BODY offsetof(struct pool_head, magic)

enum copy_state { COPY_BLANK, COPY_GOOD, COPY_BAD, COPY_FOREIGN };

static uint64_t word_of(const struct pool_head *head)
{
        return (uint64_t)head->crc << 32 | head->seq;
}

static uint32_t body_crc(const struct pool_head *head)
{
        return crc32c(0, &head->magic, head->length - BODY);
}

static enum copy_state judge(const struct pool_head *head, const struct pool_expect *expect)
{
        if (!word_of(head))
                return COPY_BLANK;
        if (head->magic != expect->magic || head->length < sizeof *head ||
            head->length > expect->size || head->length % 8 || head->crc != body_crc(head) ||
            head->seq != head->seq_covered)
                return COPY_BAD;
        if (head->version != POOL_VERSION)
                return COPY_FOREIGN;
        if (expect->index != POOL_ANY_INDEX && head->index != expect->index)
                return COPY_BAD;
        if (expect->pool && memcmp(&head->pool, expect->pool, sizeof head->pool))
                return COPY_BAD;
        return COPY_GOOD;
}

/* Objects are whole words at aligned places: a step each, where memcmp takes one for each byte. */
static bool are_equal(const struct pool_head *a, const struct pool_head *b, uint32_t length)
{
        const uint64_t *x = (const uint64_t *)a;
        const uint64_t *y = (const uint64_t *)b;

        for (uint32_t i = 0; i < length / 8; i++)
                if (x[i] != y[i])
                        return false;
        return true;
}

enum pool_pair_state pool_pair_load(struct pool_pair pair, const struct pool_expect *expect,
                                    const struct pool_head **current)
{
        enum copy_state a = pair.a_bad ? COPY_BAD : judge(pair.a, expect);
        enum copy_state b;

        *current = pair.a;
        /* What equals an intact copy is intact: most pairs cost one checksum. */
        if (a == COPY_GOOD && !pair.b_bad && are_equal(pair.a, pair.b, pair.a->length))
                return PAIR_GOOD;
        b = pair.b_bad ? COPY_BAD : judge(pair.b, expect);
        *current = NULL;
        if (a == COPY_FOREIGN || b == COPY_FOREIGN)
                return PAIR_FOREIGN;
        if (a != COPY_GOOD && b != COPY_GOOD)
                return a == COPY_BLANK && b == COPY_BLANK ? PAIR_BLANK : PAIR_DAMAGED;
        *current = pair.a;
        if (a != COPY_GOOD || (b == COPY_GOOD && (int32_t)(pair.b->seq - pair.a->seq) > 0))
                *current = pair.b;
        return PAIR_HALF;
}

static void write_copy(struct pool_head *to, const struct pool_head *from)
{
        pm_store(&to->magic, &from->magic, from->length - BODY);
        pm_flush(&to->magic, from->length - BODY);
        pm_fence();
        pm_publish((uint64_t *)to, word_of(from));
        pm_flush(to, BODY);
        pm_fence();
}

void pool_pair_mend(struct pool_pair pair, const struct pool_head *current)
{
        write_copy(current == pair.a ? pair.b : pair.a, current);
}

static void seal(struct pool_head *object, uint32_t seq)
{
        object->seq = seq ? seq : 1;
        object->seq_covered = object->seq;
        object->crc = body_crc(object);
}

void pool_pair_store(struct pool_pair pair, struct pool_head *object)
{
        seal(object, pair.a->seq + 1);
        write_copy(pair.b, object);
        write_copy(pair.a, object);
}

void pool_pair_init(struct pool_pair pair, struct pool_head *object)
{
        seal(object, 1);
        pm_store(pair.a, object, object->length);
        pm_store(pair.b, object, object->length);
        pm_flush(pair.a, object->length);
        pm_flush(pair.b, object->length);
}

void pool_pair_create(struct pool_pair pair, struct pool_head *object)
{
        seal(object, 1);
        pm_store(pair.b, object, object->length);
        pm_flush(pair.b, object->length);
        write_copy(pair.a, object);
}

uint32_t pool_metadata_granules(uint64_t granules)
{
        uint64_t n = granules / POOL_GRANULES_A_METADATA + 1;

        return n < POOL_METADATA_MAX ? (uint32_t)n : POOL_METADATA_MAX;
}

uint32_t pool_slot_count(uint32_t metadata)
{
        return (uint32_t)((metadata * POOL_GRANULE - POOL_CATALOGUE) / 2 / POOL_SLOT_SIZE);
}
