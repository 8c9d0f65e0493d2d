/* The table of the `nv` verbs; what they do is in nv_list.c, nv_change.c and nv_health.c. */
#include "guest/admin/nv/nv_commands.h"

#include "guest/admin/nv/nv_region.h"

#define REGION COMMAND_COMPLETE_REGION
#define VM     COMMAND_COMPLETE_VM

/* clang-format off */
const struct command nv_commands[] = {
        {"list", "", "the regions and the pool's totals; -v: with UUIDs",
         0, 0, false, 0, nv_list},
        {"show", "NAME", "all about one region",
         1, 1, false, REGION, nv_show},
        {"create", "NAME SIZE [OWNER]", "a new region, all zero, for a VM",
         2, 3, false, VM, nv_create},
        {"delete", "NAME", "delete a region and overwrite what it held",
         1, 1, true, REGION, nv_delete},
        {"grow", "NAME SIZE|+SIZE", "make a region larger; what is new reads as zero",
         2, 2, false, REGION, nv_grow},
        {"shrink", "NAME SIZE|-SIZE", "make a region smaller and overwrite what was behind",
         2, 2, true, REGION, nv_shrink},
        {"rename", "NAME NEW", "give a region another name",
         2, 2, false, REGION, nv_rename},
        {"clone", "NAME NEW [OWNER]", "copy a region to a new one, for the same owner",
         2, 3, false, REGION | VM, nv_clone},
        {"grant", "NAME VM ro|rw|none", "let a VM attach a region that it does not own",
         3, 3, false, REGION | VM, nv_grant},
        {"check", "[mend]", "judge all metadata; mend: from second copies; -v: read free space, too",
         0, 1, false, 0, nv_check},
        {"bad", "[ADDR]", "the bad granules; ADDR: take the one at this address out of use",
         0, 1, false, 0, nv_bad},
        {"scrub", "[wait]", "what is still to be overwritten; wait: overwrite it now",
         0, 1, false, 0, nv_scrub},
};
/* clang-format on */

const size_t nv_command_count = ARRAY_LEN(nv_commands);
