/* Persistent-memory primitives as x86 instructions; contract in pm.h. Integer registers only. */
#include "mm/pool/pm.h"

#include "hv/cpu.h"

#define CPUID_1_EBX_LINE_SHIFT 8 /* bits 15:8, in units of 8 bytes */
#define CPUID_7_EBX_CLFLUSHOPT (1u << 23)
#define CPUID_7_EBX_CLWB       (1u << 24)

struct flush_method {
        const char *name;
        void (*lines)(const char *first, const char *end);
};

static uint64_t line_size = 64;

/* Every line from first up to end, four at a time as long as there are as many. */
#define FLUSH_LINES(instruction)                                                                   \
        static void instruction##_lines(const char *first, const char *end)                        \
        {                                                                                          \
                uint64_t step = line_size;                                                         \
                                                                                                   \
                for (; first + 3 * step < end; first += 4 * step)                                  \
                        __asm__ volatile(#instruction " (%0)\n\t" #instruction                     \
                                                      " (%0,%1)\n\t" #instruction                  \
                                                      " (%0,%1,2)\n\t" #instruction " (%0,%2)"     \
                                         :                                                         \
                                         : "r"(first), "r"(step), "r"(3 * step)                    \
                                         : "memory");                                              \
                for (; first < end; first += step)                                                 \
                        __asm__ volatile(#instruction " (%0)" : : "r"(first) : "memory");          \
        }

FLUSH_LINES(clwb)
FLUSH_LINES(clflushopt)
FLUSH_LINES(clflush)

static const struct flush_method clwb = {"clwb", clwb_lines};
static const struct flush_method clflushopt = {"clflushopt", clflushopt_lines};
static const struct flush_method clflush = {"clflush", clflush_lines};

static const struct flush_method *method = &clflush;
static volatile uint64_t *hint[PM_HINTS_MAX];
static size_t hint_count;

void pm_init(void)
{
        uint32_t line = (cpu_cpuid(1, 0).ebx >> CPUID_1_EBX_LINE_SHIFT & 0xff) * 8;
        uint32_t features = cpu_leaf(7).ebx;

        if (line)
                line_size = line;
        /* CLWB may keep the line in the cache; CLFLUSH also waits for each line in turn. */
        if (features & CPUID_7_EBX_CLWB)
                method = &clwb;
        else if (features & CPUID_7_EBX_CLFLUSHOPT)
                method = &clflushopt;
}

const char *pm_flush_name(void)
{
        return method->name;
}

void pm_set_flush_hints(volatile uint64_t *const *hints, size_t n)
{
        hint_count = n < PM_HINTS_MAX ? n : PM_HINTS_MAX;
        for (size_t i = 0; i < hint_count; i++)
                hint[i] = hints[i];
}

void pm_store(void *dst, const void *src, uint64_t len)
{
        volatile uint64_t *to = dst;
        const uint64_t *from = src;

        for (uint64_t i = 0; i < len / 8; i++)
                to[i] = from[i];
}

/* Through the caches: one instruction for all of it, that the CPU carries out by whole lines. */
void pm_write(void *dst, const void *src, uint64_t len)
{
        uint64_t words = len / 8, bytes = len % 8;

        __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
        if (bytes)
                __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(bytes) : : "memory");
}

void pm_publish(uint64_t *dst, uint64_t value)
{
        __asm__ volatile("movq %1, %0" : "=m"(*dst) : "r"(value) : "memory");
}

void pm_flush(const void *addr, uint64_t len)
{
        method->lines((const char *)addr - ((uintptr_t)addr & (line_size - 1)),
                      (const char *)addr + len);
}

/* What was flushed is at the memory controllers behind the first SFENCE; the hints drain them. */
void pm_fence(void)
{
        __asm__ volatile("sfence" : : : "memory");
        if (!hint_count)
                return;
        for (size_t i = 0; i < hint_count; i++)
                *hint[i] = 1;
        __asm__ volatile("sfence" : : : "memory");
}

void pm_zero(void *dst, uint64_t len)
{
        char *p = dst;

        for (char *end = p + len; p < end; p += 64)
                __asm__ volatile("movnti %1, 0(%0)\n\t"
                                 "movnti %1, 8(%0)\n\t"
                                 "movnti %1, 16(%0)\n\t"
                                 "movnti %1, 24(%0)\n\t"
                                 "movnti %1, 32(%0)\n\t"
                                 "movnti %1, 40(%0)\n\t"
                                 "movnti %1, 48(%0)\n\t"
                                 "movnti %1, 56(%0)"
                                 :
                                 : "r"(p), "r"(0ull)
                                 : "memory");
}

void pm_copy(void *dst, const void *src, uint64_t len)
{
        uint64_t *to = dst;
        const uint64_t *from = src;

        for (uint64_t i = 0; i < len / 8; i++)
                __asm__ volatile("movnti %1, %0" : "=m"(to[i]) : "r"(from[i]) : "memory");
}
