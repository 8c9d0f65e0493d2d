/*
 * The monitor's own verbs. The target of the tables that hold them is a struct monitor_target.
 *
 *     without a group   map mem cpu stats log poweroff reboot
 *     vm                list start stop reset pause resume log type net console
 */
#pragma once

#include "guest/config/config.h"
#include "guest/life/vms.h"
#include "guest/text/command.h"
#include "mm/dram/dram.h"
#include "mm/memmap.h"
#include "mm/pool/pool.h"

/* What the verbs show and change: the caller's, for as long as they can be called. */
struct monitor_target {
        const struct memmap *map;
        const struct dram *dram;
        struct pool *pool; /* NULL: this machine has no usable NVRAM */
        struct vms *vms;
        void (*end)(enum config_exit how); /* power-off or reset of the machine: does not return */
};

extern const struct command monitor_commands[];
extern const size_t monitor_command_count;

extern const struct command vm_commands[];
extern const size_t vm_command_count;
