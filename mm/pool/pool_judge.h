/*
 * What a range of NVRAM holds, told by reading it and nothing else: a pool's member, nothing at
 * all, or somebody else's data. For mounting, and for the off-line tool.
 */
#pragma once

#include "mm/pool/pool.h"

enum pool_content_kind {
        POOL_CONTENT_SMALL,      /* no room for metadata and a granule */
        POOL_CONTENT_BLANK,      /* nobody has put anything there */
        POOL_CONTENT_FORMATTING, /* a format that was cut: it has no contents */
        POOL_CONTENT_POOL,       /* an intact superblock */
        POOL_CONTENT_VERSION,    /* one of a format version that is not known here */
        POOL_CONTENT_DAMAGED,    /* a superblock of which both copies are damaged */
        POOL_CONTENT_FOREIGN,    /* somebody else's */
        POOL_CONTENT_UNREADABLE, /* no pool, and no place for one: its metadata would lie on bad
                                    memory */
};

struct pool_content {
        enum pool_content_kind kind;
        const struct pool_head *head; /* POOL: the superblock that counts; VERSION: one of them */
        const char *what;             /* FOREIGN: a phrase such as "an XFS file system"; NULL: data
                                         that nobody here knows */
        bool half;                    /* POOL: one copy of the superblock wants mending */
};

/*
 * The part of a range that a pool can use, as a member without a number; bad is kept as a pointer
 * and may be NULL. false: too small, and no granule of it is used.
 */
bool pool_judge_trim(struct pool_member *member, const struct pool_range *range,
                     const struct pool_bad *bad);

/*
 * What the range holds, told by its superblock alone: one without any that says something is BLANK
 * here. Then by its contents too: the whole of the metadata's place, pages of every data granule
 * (reading all of a large range would take minutes), and what other software marks its media with.
 * Memory that member->bad names is not read.
 */
struct pool_content pool_judge_header(const struct pool_member *member);
struct pool_content pool_judge_range(const struct pool_range *range,
                                     const struct pool_member *member);
