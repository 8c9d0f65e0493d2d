/* Persistent memory with a cache that forgets: pm.h for hosted tests; contract in pm_model.h. */
#include "tests/unit/pm_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mm/pool/pm.h"
#include "tests/unit/unit.h"

#define LINE      64u
#define MAX_DEPTH 2
#define CHUNK     (512 * KiB) /* a long non-temporal store is lost or kept in such pieces */

/* One store in doubt: a word, or a piece of a non-temporal zero (line all zero) or copy. */
struct doubt {
        uint64_t offset, len;
        uint64_t line[LINE / 8];
        bool flushed;
};

struct pm_recording {
        uint8_t *base, *media;
        uint64_t size;
        unsigned int power;
        uint64_t random;
        pm_crash_fn crash;
        void *ctx;
        struct doubt *doubt;
        size_t count, room;
        uint64_t images;
        bool trying; /* its images are being tried: orders given now are recovery's */
};

struct undo {
        uint8_t *at;
        uint64_t len;
        uint8_t *old;
};

static struct pm_recording *recordings[MAX_DEPTH];
static size_t depth;
static struct undo *undo;
static size_t undo_count, undo_room;
static bool in_image;
static uint64_t orders, skipped;
static const void *sites[PM_SITES_MAX];
static size_t site_count;
static const void *skipped_site;

/* A longer array; tests have no use for going on without memory. */
static void *grow(void *array, size_t bytes)
{
        void *longer = realloc(array, bytes);

        assert(longer);
        return longer;
}

static void keep_old(uint8_t *at, uint64_t len)
{
        if (undo_count == undo_room) {
                undo_room = undo_room * 2 + 64;
                undo = grow(undo, undo_room * sizeof *undo);
        }
        undo[undo_count] = (struct undo){at, len, malloc(len)};
        memcpy(undo[undo_count++].old, at, len);
}

static void write_bytes(uint8_t *at, const void *src, uint64_t len, bool undoable)
{
        if (!memcmp(at, src, len))
                return;
        if (undoable)
                keep_old(at, len);
        memcpy(at, src, len);
}

static void roll_back(size_t mark)
{
        while (undo_count > mark) {
                struct undo *u = &undo[--undo_count];

                memcpy(u->at, u->old, u->len);
                free(u->old);
        }
}

static struct pm_recording *recording_of(const void *p)
{
        for (size_t i = depth; i-- > 0;)
                if ((const uint8_t *)p >= recordings[i]->base &&
                    (const uint8_t *)p < recordings[i]->base + recordings[i]->size)
                        return recordings[i];
        return NULL;
}

/* A store of what is durable there already, with nothing in doubt in between, can do nothing. */
static bool is_idle(const struct pm_recording *r, uint64_t offset, const void *src, uint64_t len)
{
        if (memcmp(r->media + offset, src, len) != 0)
                return false;
        for (size_t i = r->count; i-- > 0;)
                if (r->doubt[i].offset < offset + len &&
                    offset < r->doubt[i].offset + r->doubt[i].len)
                        return false;
        return true;
}

static void add_doubt(struct pm_recording *r, const uint8_t *at, const void *src, uint64_t len,
                      bool flushed)
{
        if (is_idle(r, (uint64_t)(at - r->base), src, len))
                return;
        if (r->count == r->room) {
                r->room = r->room * 2 + 64;
                r->doubt = grow(r->doubt, r->room * sizeof *r->doubt);
        }
        r->doubt[r->count] =
            (struct doubt){.offset = (uint64_t)(at - r->base), .len = len, .flushed = flushed};
        memcpy(r->doubt[r->count++].line, src, len);
}

static void land(const struct pm_recording *r, const struct doubt *d, bool undoable)
{
        write_bytes(r->media + d->offset, d->line, d->len, undoable);
}

/* Group the stores: each its own unit, or by cache line. Returns the number of units. */
static size_t group(const struct pm_recording *r, bool by_line, size_t *unit)
{
        size_t units = 0;

        for (size_t i = 0; i < r->count; i++) {
                size_t j = by_line ? 0 : i;

                while (j < i && r->doubt[j].offset / LINE != r->doubt[i].offset / LINE)
                        j++;
                unit[i] = j < i ? unit[j] : units++;
        }
        return units;
}

static void try_image(struct pm_recording *r, const size_t *unit, const bool *kept)
{
        size_t mark = undo_count;
        bool nested = in_image;

        in_image = true;
        for (size_t i = 0; i < r->count; i++)
                if (kept[unit[i]])
                        land(r, &r->doubt[i], true);
        r->images++;
        r->crash(r->ctx, r->media);
        roll_back(mark);
        in_image = nested;
}

static void try_images(struct pm_recording *r, bool by_line)
{
        size_t *unit = calloc(r->count + 1, sizeof *unit);
        bool *kept = calloc(r->count + 1, sizeof *kept);
        size_t units = group(r, by_line, unit);
        bool all = units <= r->power;
        uint64_t rounds = 1ull << (all ? units : r->power);

        r->trying = true;
        for (uint64_t round = 0; round < rounds; round++) {
                /* Samples differ in density, so that nearly none and nearly all come up too. */
                uint64_t odds = unit_random(&r->random) % 9;

                for (size_t u = 0; u < units; u++)
                        kept[u] = all ? round >> u & 1 : unit_random(&r->random) % 8 < odds;
                try_image(r, unit, kept);
        }
        r->trying = false;
        free(unit);
        free(kept);
}

struct pm_recording *pm_record(void *base, uint64_t size, unsigned int power, uint64_t seed,
                               pm_crash_fn crash, void *ctx)
{
        struct pm_recording *r = calloc(1, sizeof *r);

        assert(depth < MAX_DEPTH);
        *r = (struct pm_recording){.base = base,
                                   .size = size,
                                   .media = aligned_alloc(4096, size),
                                   .power = power,
                                   .random = seed,
                                   .crash = crash,
                                   .ctx = ctx};
        memcpy(r->media, base, size);
        recordings[depth++] = r;
        return r;
}

uint64_t pm_record_end(struct pm_recording *r)
{
        uint64_t images;

        try_images(r, true);
        try_images(r, false);
        images = r->images;
        assert(depth && recordings[depth - 1] == r);
        depth--;
        free(r->media);
        free(r->doubt);
        free(r);
        return images;
}

void pm_model_skip(uint64_t n)
{
        orders = 0;
        skipped = n;
}

uint64_t pm_model_orders(void)
{
        return orders;
}

size_t pm_model_sites(const void *const **out)
{
        *out = sites;
        return site_count;
}

void pm_model_skip_site(const void *site)
{
        skipped_site = site;
}

/* Only orders given for recorded memory outside of images count: those of the code under test. */
static bool is_skipped(const void *site)
{
        size_t i = 0;

        if (in_image)
                return false;
        while (i < site_count && sites[i] != site)
                i++;
        assert(i < PM_SITES_MAX);
        if (i == site_count)
                sites[site_count++] = site;
        return ++orders == skipped || site == skipped_site;
}

void pm_init(void)
{
}

const char *pm_flush_name(void)
{
        return "model";
}

void pm_set_flush_hints(volatile uint64_t *const *hints, size_t n)
{
        (void)hints;
        (void)n;
}

void pm_store(void *dst, const void *src, uint64_t len)
{
        for (uint64_t i = 0; i < len / 8; i++) {
                uint64_t value;

                memcpy(&value, (const uint8_t *)src + i * 8, 8);
                pm_publish((uint64_t *)dst + i, value);
        }
}

/* By words, what stands in the rest of the first and the last is stored again. */
void pm_write(void *dst, const void *src, uint64_t len)
{
        uint8_t *at = dst;
        const uint8_t *from = src;

        while (len) {
                uint64_t skip = (uintptr_t)at % 8, n = 8 - skip < len ? 8 - skip : len, value;

                memcpy(&value, at - skip, 8);
                memcpy((uint8_t *)&value + skip, from, n);
                pm_publish((uint64_t *)(at - skip), value);
                at += n;
                from += n;
                len -= n;
        }
}

void pm_publish(uint64_t *dst, uint64_t value)
{
        struct pm_recording *r = recording_of(dst);

        if (r)
                add_doubt(r, (uint8_t *)dst, &value, 8, false);
        write_bytes((uint8_t *)dst, &value, 8, in_image);
}

/* Non-temporal stores, a line at a time; a long one stands in its pieces' first lines. */
static void stream(uint8_t *at, const uint8_t *src, uint64_t len)
{
        static const uint8_t zero[LINE];
        struct pm_recording *r = recording_of(at);
        uint64_t step = r && len >= CHUNK ? CHUNK : LINE;

        for (uint64_t done = 0; done < len; done += step) {
                const uint8_t *line = src ? src + done : zero;

                if (r)
                        add_doubt(r, at + done, line, LINE, true);
                write_bytes(at + done, line, LINE, in_image);
        }
}

void pm_zero(void *dst, uint64_t len)
{
        stream(dst, NULL, len);
}

void pm_copy(void *dst, const void *src, uint64_t len)
{
        stream(dst, src, len);
}

void pm_flush(const void *addr, uint64_t len)
{
        struct pm_recording *r = recording_of(addr);
        uint64_t start, end;

        if (!r || is_skipped(__builtin_return_address(0)))
                return;
        start = align_down((uint64_t)((const uint8_t *)addr - r->base), LINE);
        end = align_up((uint64_t)((const uint8_t *)addr - r->base) + len, LINE);
        for (size_t i = 0; i < r->count; i++)
                if (r->doubt[i].offset >= start && r->doubt[i].offset < end)
                        r->doubt[i].flushed = true;
}

void pm_fence(void)
{
        struct pm_recording *r = depth ? recordings[depth - 1] : NULL;
        size_t kept = 0;

        if (!r || r->trying || is_skipped(__builtin_return_address(0)))
                return;
        try_images(r, true);
        try_images(r, false);
        for (size_t i = 0; i < r->count; i++)
                if (r->doubt[i].flushed)
                        land(r, &r->doubt[i], false);
                else
                        r->doubt[kept++] = r->doubt[i];
        r->count = kept;
}
