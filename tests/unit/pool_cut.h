/*
 * Power cuts inside pool operations: a scene (a pool in some state), an operation on it, and every
 * crash image that the rules allow. Each image must mount, be wholly before or wholly after the
 * operation, and keep every promise of the pool.
 */
#pragma once

#include "tests/unit/pm_model.h"
#include "tests/unit/pool_world.h"

/* A pool's state before the operation; makes its world. */
struct cut_scene {
        const char *name;
        struct world (*make)(void);
        bool format; /* of a mount: forced */
};

/* An operation on a mounted pool. It may fail with -ENOSPC or find nothing to do. */
struct cut_op {
        const char *name;
        int (*run)(struct pool *pool);
};

extern const struct cut_scene cut_scenes[];
extern const size_t cut_scene_count;
extern const struct cut_op cut_ops[];
extern const size_t cut_op_count;

struct cut_result {
        uint64_t images, wrong;
};

/*
 * Run the operation with crash images of up to 2^power subsets at each fence. With nest_each,
 * recovery itself is cut in every n-th image.
 */
struct cut_result cut_run(const struct cut_scene *scene, const struct cut_op *op,
                          unsigned int power, uint64_t seed, uint64_t nest_each);

/* The same for mounting: a blank range, a forced format, damaged copies, what was interrupted. */
extern const struct cut_scene cut_mounts[];
extern const size_t cut_mount_count;
struct cut_result cut_run_mount(const struct cut_scene *scene, unsigned int power, uint64_t seed,
                                uint64_t nest_each);
