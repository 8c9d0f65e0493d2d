/*
 * What a range of NVRAM holds; contract in pool_judge.h. Other software's marks are those that
 * Linux's libblkid and libnvdimm look for.
 */
#include "mm/pool/pool_judge.h"

#include "hv/lib/string.h"
#include "mm/pool/pool_index.h"

#define MARKS_SPAN (68 * KiB) /* what marks of others lie in, from where they begin */

/* Where a mark stands from the begin of a device, and whose it is. What holds other marks within
 * it comes first. */
static const struct {
        uint32_t at;
        uint32_t len;
        const char *bytes;
        const char *what;
} marks[] = {
    {0, 15, "NAMESPACE_INDEX", "a Linux namespace label area"},
    {4096, 15, "NVDIMM_PFN_INFO", "a Linux namespace in fsdax mode"},
    {4096, 15, "NVDIMM_DAX_INFO", "a Linux namespace in devdax mode"},
    {0, 14, "BTT_ARENA_INFO", "a Linux namespace in sector mode (BTT)"},
    {4096, 14, "BTT_ARENA_INFO", "a Linux namespace in sector mode (BTT)"},
    {512, 8, "EFI PART", "a GPT partition table"},
    {4096, 8, "EFI PART", "a GPT partition table"},
    {0, 6, "LUKS\xba\xbe", "a LUKS volume"},
    {512, 8, "LABELONE", "an LVM physical volume"},
    {4096, 4, "\xfc\x4e\x2b\xa9", "a member of a Linux RAID"},
    {0, 4, "XFSB", "an XFS file system"},
    {1080, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
    {65600, 8, "_BHRfS_M", "a btrfs file system"},
    {4086, 10, "SWAPSPACE2", "Linux swap space"},
    {510, 2, "\x55\xaa", "an MBR partition table or a boot sector"},
};

bool pool_judge_trim(struct pool_member *member, const struct pool_range *range,
                     const struct pool_bad *bad)
{
        uint64_t head = -range->hpa.v & (POOL_GRANULE - 1);
        uint64_t granules = range->size > head ? (range->size - head) / POOL_GRANULE : 0;

        if (granules > UINT32_MAX)
                granules = UINT32_MAX;
        *member = (struct pool_member){.hpa = HPA(range->hpa.v + head),
                                       .unarmed = range->unarmed,
                                       .bad = bad && bad->count ? bad : NULL};
        if (granules < 2)
                return false;
        member->base = (uint8_t *)range->base + head;
        member->granules = (uint32_t)granules;
        member->metadata = pool_metadata_granules(granules);
        member->slots = pool_slot_count(member->metadata);
        return true;
}

/* The mark of other software on what begins at base, of size bytes; NULL: none that is known. */
static const char *mark_at(const struct pool_bad *bad, const uint8_t *base, hpa_t hpa,
                           uint64_t size)
{
        for (size_t i = 0; i < ARRAY_LEN(marks); i++)
                if (marks[i].at + marks[i].len <= size &&
                    pool_may_read(bad, HPA(hpa.v + marks[i].at), marks[i].len) &&
                    !memcmp(base + marks[i].at, marks[i].bytes, marks[i].len))
                        return marks[i].what;
        return NULL;
}

static bool is_our_magic(struct pool_pair pair)
{
        return (!pair.a_bad && pair.a->magic == POOL_SUPERBLOCK_MAGIC) ||
               (!pair.b_bad && pair.b->magic == POOL_SUPERBLOCK_MAGIC);
}

struct pool_content pool_judge_header(const struct pool_member *member)
{
        const struct pool_expect expect = pool_expect_superblock(POOL_ANY_INDEX, NULL);
        struct pool_content content = {.kind = POOL_CONTENT_BLANK};
        struct pool_pair pair = pool_superblock_pair(member);
        const char *mark;

        if (!pair.a_bad && *(const uint64_t *)pair.a == POOL_FORMATTING) {
                content.kind = POOL_CONTENT_FORMATTING;
                return content;
        }
        switch (pool_pair_load(pair, &expect, &content.head)) {
        case PAIR_GOOD:
                content.kind = POOL_CONTENT_POOL;
                return content;
        case PAIR_FOREIGN:
                content.kind = POOL_CONTENT_VERSION;
                content.head =
                    !pair.a_bad && pair.a->magic == POOL_SUPERBLOCK_MAGIC ? pair.a : pair.b;
                return content;
        case PAIR_HALF:
                content.kind = POOL_CONTENT_POOL;
                content.half = true;
                break;
        case PAIR_DAMAGED:
                content.kind = is_our_magic(pair) ? POOL_CONTENT_DAMAGED : POOL_CONTENT_FOREIGN;
                break;
        case PAIR_BLANK:
                return content;
        }
        /* Somebody who has put his own mark over one copy wants it to stay. */
        mark = mark_at(member->bad, member->base, member->hpa, MARKS_SPAN);
        if (mark)
                content = (struct pool_content){.kind = POOL_CONTENT_FOREIGN, .what = mark};
        return content;
}

static bool is_zero(const struct pool_bad *bad, const uint8_t *p, hpa_t hpa, uint64_t len)
{
        if (!pool_may_read(bad, hpa, len))
                return true;
        for (const uint64_t *word = (const uint64_t *)p; word < (const uint64_t *)(p + len); word++)
                if (*word)
                        return false;
        return true;
}

/* The pages in which others begin: what is behind their own first blocks is found by those. */
static bool is_granule_blank(const struct pool_member *member, uint64_t granule)
{
        uint64_t at = granule * POOL_GRANULE;
        const uint8_t *base = member->base + at;

        if (!pool_may_read(member->bad, HPA(member->hpa.v + at), POOL_GRANULE))
                return true;
        return is_zero(member->bad, base, HPA(member->hpa.v + at), 2 * PAGE_4K) &&
               is_zero(member->bad, base + 64 * KiB, HPA(member->hpa.v + at + 64 * KiB), PAGE_4K);
}

/* Whether anything is there, and in *what whose it is, if its mark is known. */
static bool is_blank(const struct pool_range *range, const struct pool_member *member,
                     const char **what)
{
        uint64_t metadata = member->metadata * POOL_GRANULE;
        uint64_t last = member->granules * POOL_GRANULE - PAGE_4K;
        bool whole = pool_may_read(member->bad, HPA(member->hpa.v + last + PAGE_4K - POOL_GRANULE),
                                   POOL_GRANULE);

        /* Others begin where the range does, even if that is on no border of a granule. */
        *what = mark_at(member->bad, range->base, range->hpa, range->size);
        if (*what)
                return false;
        for (uint64_t at = 0; at < metadata; at += PAGE_4K)
                if (!is_zero(member->bad, member->base + at, HPA(member->hpa.v + at), PAGE_4K)) {
                        *what = mark_at(member->bad, member->base, member->hpa, metadata);
                        return false;
                }
        for (uint64_t g = member->metadata; g < member->granules; g++)
                if (!is_granule_blank(member, g)) {
                        uint64_t at = g * POOL_GRANULE;

                        *what = mark_at(member->bad, member->base + at, HPA(member->hpa.v + at),
                                        POOL_GRANULE);
                        return false;
                }
        /* and the end, where a partition table has its second copy */
        return !whole ||
               is_zero(member->bad, member->base + last, HPA(member->hpa.v + last), PAGE_4K);
}

struct pool_content pool_judge_range(const struct pool_range *range,
                                     const struct pool_member *member)
{
        struct pool_content content = pool_judge_header(member);
        const char *what = NULL;

        if (content.kind != POOL_CONTENT_BLANK &&
            (content.kind != POOL_CONTENT_FOREIGN || content.what))
                return content;
        if (!is_blank(range, member, &what))
                return (struct pool_content){.kind = POOL_CONTENT_FOREIGN, .what = what};
        content.kind = pool_may_read(member->bad, member->hpa, member->metadata * POOL_GRANULE)
                           ? POOL_CONTENT_BLANK
                           : POOL_CONTENT_UNREADABLE;
        return content;
}
