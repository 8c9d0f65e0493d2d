/*
 * Every limit that a machine, a configuration or a VM can reach, and which of them depend on which.
 * Reaching one is told with what is left out, and ends nothing. What a format or a CPU lays down
 * (the bytes of an instruction, the records of a pool's catalogue) stands where it is used.
 */
#pragma once

#include "hv/lib/types.h"

/* The machine */
#define CPUS_MAX           256u  /* that are used; the MADT's others are counted */
#define ACPI_CPUS_MAX      1024u /* that the MADT may tell; some do not start */
#define ACPI_IOAPICS_MAX   64u
#define ACPI_OVERRIDES_MAX 32u
#define ACPI_TABLES_MAX    256u /* those beyond are not looked at: machines have some dozens */
#define HV_GUARDS_MAX      (1 + 3 * CPUS_MAX) /* guard pages: the boot stack's, three a CPU */

/* Its memory: the map that the loader tells, the map of all sources, and the stretches of RAM in
 * use */
#define BOOT_MODULES_MAX   640u
#define BOOT_MAP_MAX       1280u
#define MEMMAP_ENTRIES_MAX 1280u
#define DRAM_RANGES_MAX    512u

/* Its NVRAM */
#define NFIT_RANGES_MAX      64u
#define NFIT_NVDIMMS_MAX     256u             /* several may lie behind a range */
#define PM_HINTS_MAX         NFIT_NVDIMMS_MAX /* flush hints, one an NVDIMM */
#define POOL_RANGES_MAX      64u              /* members of a pool */
#define POOL_BAD_RECORDS_MAX 16u              /* of POOL_EXTENTS_MAX bad stretches each */
#define REGION_EXTENTS_MAX   95u

/* The configuration */
#define CONFIG_VMS_MAX     320u
#define CONFIG_VCPUS_MAX   16u /* of a VM */
#define CONFIG_REGIONS_MAX 8u  /* of a VM */
#define CONFIG_DISKS_MAX   8u  /* of a VM */
#define CONFIG_NETS_MAX    8u  /* of a VM: ports of switches */
#define SWITCHES_MAX       16u
#define SWITCH_PORTS_MAX   64u
#define CONFIG_SIZE_MAX    (1 * TiB) /* of a VM's memory, and of a region */
#define CONFIG_NVRAM_MAX   8u        /* nvram= of the hypervisor */
#define CONFIG_RUN_MAX     16u       /* lines of run= */
#define CONFIG_BAD_MAX     64u       /* addresses of nvram-bad=, -use=, -skip= and -format= each */
#define CONFIG_ERRORS_MAX  32u       /* mistakes that are told; the others are counted */

_Static_assert(CPUS_MAX % 64 == 0, "sets of CPUs are whole words");
_Static_assert(ACPI_CPUS_MAX >= CPUS_MAX, "every CPU that is used stands in the MADT");
_Static_assert(MEMMAP_ENTRIES_MAX >= 2 * DRAM_RANGES_MAX,
               "the memory map holds what parts the stretches of RAM");
_Static_assert(BOOT_MAP_MAX >= MEMMAP_ENTRIES_MAX, "the loader's map is no tighter");
_Static_assert(BOOT_MODULES_MAX >= 2 * CONFIG_VMS_MAX, "each VM has a kernel and an initrd");
_Static_assert(CONFIG_BAD_MAX >= POOL_RANGES_MAX, "all ranges of the pool can be named");
_Static_assert(NFIT_RANGES_MAX >= POOL_RANGES_MAX, "a pool's ranges can all be NVDIMMs'");
_Static_assert(PM_HINTS_MAX >= NFIT_NVDIMMS_MAX, "each NVDIMM is flushed");
_Static_assert(CONFIG_VCPUS_MAX <= 254, "a guest's APIC IDs have 8 bits, and 255 is everybody");
