/*
 * The catalogues at mount: judge every record and derive names, free space and the list of bad
 * granules from them; then mend, finish what a power cut interrupted, and repair. For pool_mount.c.
 */
#pragma once

#include "mm/pool/pool.h"

/* Note and log why the pool cannot be mounted; the fault's errno. */
int pool_fail(struct pool *pool, enum pool_fault fault, hpa_t at);

/*
 * Judge all records of formatted ranges; reads only. With lenient, what is damaged is passed over:
 * counted in pool->lost and marked in its slot.
 */
must_check int pool_catalogue_judge(struct pool *pool, bool lenient);

/* Rewrite the damaged or older copies of records. */
void pool_catalogue_mend(struct pool *pool);

/* Write the catalogue of a new range: all slots empty, but for one that has all its granules to be
 * scrubbed. Flushed, not fenced. */
void pool_catalogue_format(struct pool *pool, struct pool_member *member);

/* Give up what was being filled, and the lost records with all space that nothing claims. */
void pool_catalogue_finish(struct pool *pool);
