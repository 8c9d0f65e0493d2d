/* The primitives' counts; contract in pm_count.h. The linker's --wrap puts these in front of
 * pm_native.c's. */
#include <stdint.h>

#include "tests/bench/pm_count.h"

/* The image's objects take the stack protector's secret from here (hv/safety/harden.c). */
extern uint64_t __stack_chk_guard;
uint64_t __stack_chk_guard = 0x9e3779b97f4a7c00;

#define LINE 64u

void __real_pm_flush(const void *addr, uint64_t len);
void __real_pm_fence(void);
void __real_pm_zero(void *dst, uint64_t len);
void __real_pm_copy(void *dst, const void *src, uint64_t len);
void __wrap_pm_flush(const void *addr, uint64_t len);
void __wrap_pm_fence(void);
void __wrap_pm_zero(void *dst, uint64_t len);
void __wrap_pm_copy(void *dst, const void *src, uint64_t len);

struct pm_count pm_count;

static uintptr_t first;
static uint64_t bytes;

static int is_there(const void *p)
{
        return (uintptr_t)p - first < bytes;
}

void pm_count_memory(const void *memory, uint64_t size)
{
        first = (uintptr_t)memory;
        bytes = size;
}

void __wrap_pm_flush(const void *addr, uint64_t len)
{
        uintptr_t begin = (uintptr_t)addr / LINE;
        uintptr_t end = ((uintptr_t)addr + len + LINE - 1) / LINE;

        pm_count.flushes++;
        pm_count.lines += end - begin;
        __real_pm_flush(addr, len);
}

void __wrap_pm_fence(void)
{
        pm_count.fences++;
        __real_pm_fence();
}

void __wrap_pm_zero(void *dst, uint64_t len)
{
        if (is_there(dst))
                __real_pm_zero(dst, len);
}

void __wrap_pm_copy(void *dst, const void *src, uint64_t len)
{
        if (is_there(dst) && is_there(src))
                __real_pm_copy(dst, src, len);
}
