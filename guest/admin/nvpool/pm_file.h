/* Persistent memory for the off-line tool: mapped files and devices; the calls of mm/pool/pm.h are
 * in pm_file.c. */
#pragma once

#include "hv/lib/types.h"

/*
 * Keep track of a mapping of a file or device whose stores are to become durable. Stores elsewhere
 * (into private mappings) are not made durable.
 */
void pm_file_add(void *base, uint64_t size);
