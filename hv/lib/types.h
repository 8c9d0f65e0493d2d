/* Base types of the whole tree: address types that cannot be mixed up, sizes and small helpers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Host-physical address: what the machine's buses see. The hypervisor runs with VA == HPA. */
typedef struct {
        uint64_t v;
} hpa_t;

/* Guest-physical address: what a VM believes to be physical; EPT/NPT turn it into an hpa_t. */
typedef struct {
        uint64_t v;
} gpa_t;

#define HPA(x) ((hpa_t){(x)})
#define GPA(x) ((gpa_t){(x)})

#define KiB     1024ul
#define MiB     (1024ul * KiB)
#define GiB     (1024ul * MiB)
#define TiB     (1024ul * GiB)
#define PAGE_4K (4ul * KiB)
#define PAGE_2M (2ul * MiB)
#define PAGE_1G (1ul * GiB)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* a must be a power of two; align_up may wrap, callers check ranges first. */
static inline uint64_t align_down(uint64_t x, uint64_t a)
{
        return x & ~(a - 1);
}

static inline uint64_t align_up(uint64_t x, uint64_t a)
{
        return (x + a - 1) & ~(a - 1);
}

static inline bool is_aligned(uint64_t x, uint64_t a)
{
        return (x & (a - 1)) == 0;
}

static inline uint64_t min(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static inline uint64_t max(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

/* The low bytes of a value, 1 to 8. */
static inline uint64_t low_bytes(uint64_t value, unsigned bytes)
{
        return bytes >= 8 ? value : value & ((1ull << 8 * bytes) - 1);
}

#define must_check __attribute__((warn_unused_result))
