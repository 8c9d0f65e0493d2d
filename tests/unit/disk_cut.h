/*
 * Power cuts inside writes to a region as a disk (mm/pool/pool_disk.h): in each crash image that
 * the rules allow, after it was mounted, every sector is the old one or the new one as a whole, all
 * others are what they were, and no lane holds anything.
 */
#pragma once

#include "tests/unit/pool_cut.h"

/* Writes, to be made one after the other, on a region in two pieces. */
extern const size_t cut_disk_count;

/*
 * Cut the i-th write, as cut_run does, and another one of the same sectors behind it, without which
 * the end of the first would not count; same_lane: it goes through the same lane. In *orders, if it
 * is not NULL, the flushes and fences since pm_model_skip up to the end of the first.
 */
struct cut_result cut_run_disk(size_t i, bool same_lane, unsigned int power, uint64_t seed,
                               uint64_t nest_each, uint64_t *orders);
