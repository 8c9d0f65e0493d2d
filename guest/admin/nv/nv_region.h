/*
 * The `nv` verbs, and what they share: the pool and its regions looked up with the reason printed
 * when that fails, words to sizes, and a region's facts as a row of a table.
 */
#pragma once

#include "guest/admin/nv/nv_commands.h"

/* A short text by value. */
struct nv_text {
        char text[40];
};

/* A size in the largest unit that divides it: "64 MiB"; a UUID in its usual form (RFC 9562). */
struct nv_text nv_size(uint64_t bytes);
struct nv_text nv_uuid(struct pool_uuid uuid);

/* A region as it was at one moment; outlives the region. */
struct nv_facts {
        char name[POOL_NAME_SIZE];
        char owner[POOL_NAME_SIZE];
        struct pool_uuid uuid;
        uint64_t size, generation;
        uint64_t dying; /* bytes still to be scrubbed */
        uint64_t bad;   /* granules */
        size_t extents, readers;
        bool writer, filling;
        bool is_volatile; /* its memory does not keep its contents */
};
struct nv_facts nv_facts(const struct pool *pool, const struct pool_region *region);

const char *nv_owner(const struct nv_facts *facts);       /* "-": nobody */
const char *nv_state(const struct nv_facts *facts);       /* "live", "filling" */
const char *nv_access_name(enum pool_access access);      /* "none", "ro", "rw" */
struct nv_text nv_attached(const struct nv_facts *facts); /* "rw", "2 ro", "-" */

/* A table of regions: begin, one row a region, out_table_end. -v and JSON have the UUID too, and
 * whether it is volatile. */
void nv_table_begin(const struct command_call *call);
void nv_table_row(const struct command_call *call, const struct nv_facts *facts);

/* In JSON a table of this one region, in text nothing. */
void nv_object(const struct command_call *call, const struct nv_facts *facts);

/* A line of how many bad granules a region holds, and what of that (a text behind it), and a table
 * of where in it they are. false: there are none, and nothing is printed. */
bool nv_bad_table(const struct command_call *call, const struct pool *pool,
                  const struct pool_region *region, const char *what);

/* The mounted pool, or NULL with the reason printed: then the verb ends with -ENODEV. */
struct pool *nv_pool(const struct command_call *call);

/* The pool and the region that the first argument names. -ENODEV, -ENOENT or -EBADMSG, with the
 * reason printed: there is none. */
must_check int nv_find(const struct command_call *call, struct pool **pool,
                       struct pool_region **region);

/* Random bits for a UUID. */
uint64_t nv_entropy(const struct command_call *call);

/* Read a size, a positive multiple of 2 MiB; -EINVAL with the reason printed. */
must_check int nv_parse_size(const struct command_call *call, const char *text, uint64_t *size);

/* Is it a name of a region or a VM? -EINVAL with the reason printed; kind is "region" or "VM". */
must_check int nv_check_name(const struct command_call *call, const char *kind, const char *name);

/* Would owner hold more than its quota with that many bytes more? -EPERM with the reason printed.
 */
must_check int nv_check_quota(const struct command_call *call, struct pool *pool, const char *owner,
                              uint64_t more);

/*
 * Print why an operation on a region failed: what errno values mean for each of them, see pool.h;
 * -ENOSPC: there is no room for that many bytes more. Returns err.
 */
int nv_failed(const struct command_call *call, const struct pool *pool,
              const struct pool_region *region, const char *name, uint64_t bytes, int err);

/* ---- the verbs, for the table in nv_commands.c; see struct command ---- */

/* nv_list.c: what is there */
int nv_list(const struct command_call *call);
int nv_show(const struct command_call *call);

/* nv_change.c: regions come, go and change */
int nv_create(const struct command_call *call);
int nv_delete(const struct command_call *call);
int nv_grow(const struct command_call *call);
int nv_shrink(const struct command_call *call);
int nv_rename(const struct command_call *call);
int nv_clone(const struct command_call *call);
int nv_grant(const struct command_call *call);

/* nv_health.c: damage, bad granules, what is still to be overwritten */
int nv_check(const struct command_call *call);
int nv_bad(const struct command_call *call);
int nv_scrub(const struct command_call *call);
