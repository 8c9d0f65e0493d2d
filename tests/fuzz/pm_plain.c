/* mm/pool/pm.h on memory that no power cut threatens: stores are stores. */
#include "mm/pool/pm.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

void pm_init(void)
{
}

const char *pm_flush_name(void)
{
        return "none";
}

void pm_set_flush_hints(volatile uint64_t *const *hints, size_t n)
{
        (void)hints;
        (void)n;
}

void pm_store(void *dst, const void *src, uint64_t len)
{
        DEMAND((uintptr_t)dst % 8 == 0 && len % 8 == 0);
        memcpy(dst, src, len);
}

void pm_write(void *dst, const void *src, uint64_t len)
{
        memcpy(dst, src, len);
}

void pm_publish(uint64_t *dst, uint64_t value)
{
        *dst = value;
}

void pm_flush(const void *addr, uint64_t len)
{
        (void)addr;
        (void)len;
}

void pm_fence(void)
{
}

void pm_zero(void *dst, uint64_t len)
{
        DEMAND((uintptr_t)dst % 8 == 0 && len % 64 == 0);
        memset(dst, 0, len);
}

void pm_copy(void *dst, const void *src, uint64_t len)
{
        DEMAND((uintptr_t)dst % 8 == 0 && len % 64 == 0);
        memcpy(dst, src, len);
}
