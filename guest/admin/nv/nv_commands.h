/*
 * The `nv` verbs: the NVRAM pool's administration, for the monitor, run= and the off-line tool.
 * host of a table that holds them is a struct nv_host.
 */
#pragma once

#include "guest/text/command.h"
#include "mm/pool/pool.h"

struct nv_host {
        struct pool *pool;
        uint64_t (*entropy)(void);
        /* Bytes that regions of an owner may hold together, 0: no limit; may be NULL. */
        uint64_t (*quota)(void *ctx, const char *owner);
        void *ctx;
};

extern const struct command nv_commands[];
extern const size_t nv_command_count;
