/*
 * Persistent-memory primitives: the only calls that write NVRAM on the hypervisor's own behalf.
 *
 * A store is durable once its cache line was flushed and a fence followed; until then any subset of
 * the 8-byte words stored may reach the media, in any order (SDM vol. 1 11.6.13, vol. 2 CLWB,
 * SFENCE). On the machine these are instructions (pm_native.c); hosted tests link a model that
 * knows which words a power cut could lose.
 *
 * dst is 8-byte aligned and len a multiple of 8 where nothing else is said. Nothing here can fail.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

/* Choose the flush instruction; before any other call here. */
void pm_init(void);

/* The flush instruction in use: "clwb", "clflushopt" or "clflush". */
const char *pm_flush_name(void);

/*
 * Flush hint addresses, one of each NVDIMM, mapped uncached (ACPI 6.4, 5.2.25.9): every pm_fence
 * from now on also writes to them, which drains the NVDIMMs' memory controllers. The list is
 * copied; those beyond PM_HINTS_MAX are left out. Without any, the platform drains them itself.
 */
void pm_set_flush_hints(volatile uint64_t *const *hints, size_t n);

/* Store len bytes; words are stored whole, their order is unspecified. Wants flush and fence. */
void pm_store(void *dst, const void *src, uint64_t len);

/*
 * Store len bytes, for which, and for dst, anything goes. In no order and in pieces of any size:
 * for bulk that nothing depends on before it is durable as a whole. Wants flush and fence.
 */
void pm_write(void *dst, const void *src, uint64_t len);

/* Store one word in a single 8-byte store: the commit point of an update. Wants flush and fence. */
void pm_publish(uint64_t *dst, uint64_t value);

/* Write back every cache line that [addr, addr + len) touches. Wants a fence. */
void pm_flush(const void *addr, uint64_t len);

/* Every store flushed before, and every non-temporal store, is durable when this returns. */
void pm_fence(void);

/* Zero with non-temporal stores, past the caches; len a multiple of 64. Wants a fence only. */
void pm_zero(void *dst, uint64_t len);

/*
 * Copy with non-temporal stores, past the caches; len a multiple of 64; dst and src do not overlap.
 * Wants a fence only.
 */
void pm_copy(void *dst, const void *src, uint64_t len);
