/* NVDIMMs as the ACPI NFIT tells them: into the memory map, and their flush hints for the pool. */
#pragma once

#include "drivers/acpi.h"
#include "drivers/nfit.h"
#include "mm/memmap.h"

/* Find and read the NFIT; logged. A machine without one, or with a bad one, has no NVDIMMs. */
void nvdimms_find(const struct acpi_tables *tables, struct nfit *nfit);

/*
 * Add the NVDIMMs' ranges to the map; what is not durable, or not used, is logged. Call after the
 * firmware's own map was added.
 */
void nvdimms_add(const struct nfit *nfit, struct memmap *map);

/*
 * Give one flush hint address of each NVDIMM (8-byte aligned, to be mapped uncached; at most
 * NFIT_NVDIMMS_MAX) and return how many. One that lies in memory is logged and left out.
 */
size_t nvdimms_hints(const struct nfit *nfit, const struct memmap *map,
                     hpa_t hints[NFIT_NVDIMMS_MAX]);
