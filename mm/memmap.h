/*
 * The physical memory map: what firmware, boot loader and command line say about every address,
 * merged into one sorted table without overlaps.
 *
 * Entries may come in any order, overlap, be empty or wrap. Where two overlap the kind that stands
 * later in enum mem_kind wins; of the same kind the entry that was there first keeps its source.
 * So NVRAM never becomes DRAM, and what is reserved or bad over NVRAM is not used as NVRAM. Of two
 * kinds of NVRAM the one that the NFIT tells wins: its ranges, one an NVDIMM or a set of them, part
 * what E820 or EFI tells as one.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

/* From the weakest to the strongest. */
enum mem_kind {
        MEM_HOLE,            /* nobody said anything: never in the table */
        MEM_RAM,             /* usable DRAM */
        MEM_LOADER,          /* RAM with the boot loader's information */
        MEM_MODULE,          /* RAM with a boot module */
        MEM_HYPERVISOR,      /* RAM with the hypervisor's image */
        MEM_NVRAM_SIMULATED, /* RAM told to play NVRAM: loses its contents with the power */
        MEM_NVRAM_VENDOR,    /* E820 type 90 of the thesis' firmware */
        MEM_NVRAM_LEGACY,    /* E820 type 12 */
        MEM_NVRAM,           /* E820 type 7, ACPI persistent memory */
        MEM_NVRAM_UNARMED,   /* NVDIMM that its firmware says does not keep its contents */
        MEM_ACPI_RECLAIM,    /* ACPI tables */
        MEM_ACPI_NVS,        /* the firmware's across sleep */
        MEM_RESERVED,        /* devices, firmware, unknown types */
        MEM_UNUSABLE,        /* reported bad */
        MEM_KINDS
};

/* E820 type numbers, ACPI 6.5 table 15.4; unknown ones are reserved. */
enum e820_type {
        E820_RAM = 1,
        E820_RESERVED = 2,
        E820_ACPI_RECLAIM = 3,
        E820_ACPI_NVS = 4,
        E820_UNUSABLE = 5,
        E820_PERSISTENT = 7,
        E820_PERSISTENT_LEGACY = 12,
        E820_PERSISTENT_VENDOR = 90, /* of the thesis' firmware */
};

enum mem_origin {
        MEM_FROM_E820,    /* type is the E820 type number */
        MEM_FROM_EFI,     /* type is the EFI memory type number */
        MEM_FROM_LOADER,  /* where the boot loader put something; type unused */
        MEM_FROM_CMDLINE, /* nvram= on the command line; type unused */
        MEM_FROM_NFIT,    /* type is the range's place in the table: neighbours are not joined */
};

struct mem_source {
        enum mem_origin origin;
        uint32_t type;
};

struct mem_range {
        uint64_t start; /* bytes, any alignment */
        uint64_t size;  /* bytes, > 0 */
        enum mem_kind kind;
        struct mem_source source;
};

#define MEMMAP_LIMIT (1ull << 52) /* physical addresses end here, SDM vol. 3 4.1.4 */

/* range[0..count) is sorted, without overlaps, neighbours of the same kind and source joined. */
struct memmap {
        struct mem_range range[MEMMAP_ENTRIES_MAX];
        size_t count;
        uint64_t
            limit; /* no address from here on exists; may be lowered before anything is added */
        enum mem_kind lost;                                   /* see memmap_add, -ENOSPC */
        uint64_t lost_bytes;                                  /* of all that was left out */
        struct mem_range scratch[2 * MEMMAP_ENTRIES_MAX + 3]; /* private: the table being merged */
};

/* Start empty, with MEMMAP_LIMIT. */
void memmap_init(struct memmap *map);

/*
 * Add what source says of size bytes from start. Empty entries are ignored. An entry that wraps or
 * passes map->limit is cut there when it reserves; when it offers memory it is broken: -ERANGE, RAM
 * is not added, and NVRAM is reserved up to the limit, so that none of it is taken for RAM (with a
 * full table, as below, where nothing else tells than map->lost).
 * Where the table is full, ranges of the weakest kinds, the smallest first, are left out to keep
 * every stronger one: memory that could have been used may be missing (map->lost tells up to which
 * kind), nothing reserved ever is. -ENOSPC: a part of this entry may be among them.
 */
must_check int memmap_add(struct memmap *map, uint64_t start, uint64_t size, enum mem_kind kind,
                          struct mem_source source);

/*
 * Take all NVRAM that others than the NFIT have told of for not armed: the state of the NVDIMMs
 * behind it is not known. What the NFIT tells, before or after, stays. Returns how many bytes.
 */
uint64_t memmap_disarm(struct memmap *map);

/*
 * Take what the loader put somewhere (kind: MEM_LOADER, MEM_MODULE, MEM_HYPERVISOR) out of RAM.
 * -EBUSY: a part of it does not lie in RAM; what does was taken all the same.
 */
must_check int memmap_carve(struct memmap *map, uint64_t start, uint64_t size, enum mem_kind kind);

/*
 * The same for a boot module, with the rest of its last frame where that is RAM: hundreds of small
 * modules, each on frames of its own, make one range.
 */
must_check int memmap_carve_module(struct memmap *map, uint64_t start, uint64_t size);

/*
 * nvram=SIZE@ADDR: let this part of RAM play NVRAM. Call after everything else was added.
 * -EINVAL: empty or not wholly RAM; -EBUSY: something the loader put there is in the way. Then
 * nothing is changed.
 */
must_check int memmap_add_simulated(struct memmap *map, uint64_t start, uint64_t size);

/* What an E820 type number means. */
enum mem_kind memmap_kind_of_e820(uint32_t type);

/* Whether the pool may use it: any of the MEM_NVRAM_* kinds. */
bool memmap_is_nvram(enum mem_kind kind);

/* The entry an address lies in; NULL for a hole. Valid until the next change. */
const struct mem_range *memmap_find(const struct memmap *map, uint64_t addr);

/* How many of size bytes from start lie in entries of the kinds from weakest to strongest. */
uint64_t memmap_bytes(const struct memmap *map, uint64_t start, uint64_t size,
                      enum mem_kind weakest, enum mem_kind strongest);

/* Sum of the sizes of all entries of a kind, in bytes. */
uint64_t memmap_total(const struct memmap *map, enum mem_kind kind);

/* The kind in words, for tables. */
const char *memmap_kind_name(enum mem_kind kind);

/* The source in words, such as "E820 type 90". Returns the length, as format_text. */
int memmap_format_source(char *buf, size_t size, const struct mem_source *source);

/* A number of bytes for people: "640 KiB", "1.5 GiB" (one decimal, cut off). As format_text. */
int memmap_format_size(char *buf, size_t size, uint64_t bytes);
