/*
 * Persistent-memory primitives for files and devices under Linux; contract in mm/pool/pm.h.
 *
 * A store is made durable on both ways there are: its cache lines are flushed, for memory that is
 * NVRAM itself, and the pages are written back by msync, for files and block devices behind the
 * page cache. What was flushed is remembered a mapping; the fence writes it back. A write-back that
 * fails ends the program on the spot, which the pool takes as a power cut.
 */
#include "guest/admin/nvpool/nvpool.h"

#include <emmintrin.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/pool/pm.h"
#include "mm/pool/pool.h"

#define LINE 64u

struct mapping {
        uintptr_t base, size;
        uintptr_t dirty, dirty_end; /* the span to write back; empty: none */
};

static struct mapping mappings[POOL_RANGES_MAX];
static size_t mapping_count;

void pm_file_add(void *base, uint64_t size)
{
        mappings[mapping_count++] = (struct mapping){.base = (uintptr_t)base, .size = size};
}

static void remember(uintptr_t from, uintptr_t to)
{
        for (size_t i = 0; i < mapping_count; i++) {
                struct mapping *m = &mappings[i];

                if (from - m->base >= m->size)
                        continue;
                if (m->dirty == m->dirty_end) {
                        m->dirty = from;
                        m->dirty_end = to;
                }
                m->dirty = from < m->dirty ? from : m->dirty;
                m->dirty_end = to > m->dirty_end ? to : m->dirty_end;
        }
}

void pm_init(void)
{
}

const char *pm_flush_name(void)
{
        return "clflush and msync";
}

void pm_store(void *dst, const void *src, uint64_t len)
{
        volatile uint64_t *to = dst;
        const uint64_t *from = src;

        for (uint64_t i = 0; i < len / 8; i++)
                to[i] = from[i];
}

void pm_publish(uint64_t *dst, uint64_t value)
{
        *(volatile uint64_t *)dst = value;
}

void pm_flush(const void *addr, uint64_t len)
{
        const char *end = (const char *)addr + len;

        for (const char *p = (const char *)addr - ((uintptr_t)addr % LINE); p < end; p += LINE)
                _mm_clflush(p);
        remember((uintptr_t)addr, (uintptr_t)end);
}

/* Devices without a page cache need no write-back and answer EINVAL. */
static void write_back(struct mapping *m)
{
        uintptr_t from = align_down(m->dirty, PAGE_4K);

        if (msync((char *)m->base + (from - m->base), m->dirty_end - from, MS_SYNC) &&
            errno != EINVAL) {
                fprintf(stderr, "nvpool: the image cannot be written: %s\n", strerror(errno));
                exit(1);
        }
        m->dirty = m->dirty_end = 0;
}

void pm_fence(void)
{
        _mm_sfence();
        for (size_t i = 0; i < mapping_count; i++)
                if (mappings[i].dirty != mappings[i].dirty_end)
                        write_back(&mappings[i]);
}

static int is_zero(const uint64_t *word, uint64_t words)
{
        while (words && !*word) {
                word++;
                words--;
        }
        return !words;
}

/*
 * What is there already is not written again, so that the holes of a sparse image stay holes; but
 * it is flushed, as a program that was killed may have stored it.
 */
void pm_zero(void *dst, uint64_t len)
{
        char *at = dst;

        for (uint64_t piece, left = len; left; at += piece, left -= piece) {
                piece = left < PAGE_4K ? left : PAGE_4K;
                if (!is_zero((const uint64_t *)at, piece / 8))
                        memset(at, 0, piece);
        }
        pm_flush(dst, len);
}

void pm_copy(void *dst, const void *src, uint64_t len)
{
        const char *from = src;
        char *to = dst;

        for (uint64_t piece, left = len; left; to += piece, from += piece, left -= piece) {
                piece = left < PAGE_4K ? left : PAGE_4K;
                if (memcmp(to, from, piece) != 0)
                        memcpy(to, from, piece);
        }
        pm_flush(dst, len);
}
