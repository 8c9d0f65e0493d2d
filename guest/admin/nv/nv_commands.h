/*
 * The `nv` verbs: the NVRAM pool's administration, for the monitor, run= and the off-line tool.
 * The target of a table that holds them is a struct nv_target.
 */
#pragma once

#include "guest/config/config.h"
#include "guest/text/command.h"
#include "mm/pool/pool.h"

struct nv_target {
        struct pool *pool;
        uint64_t (*entropy)(void);
        const struct config *config; /* whose nvram-max= hold; NULL: there are no limits */
};

/* Log what is in the mounted pool: the totals, warnings, and its regions at LOG_INFO. */
void nv_log(struct pool *pool);

extern const struct command nv_commands[];
extern const size_t nv_command_count;
