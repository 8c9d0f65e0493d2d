/* A VM's memory by guest-physical address; the contract is in gmem.h. */
#include "guest/gmem.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

static int add(struct gmem *mem, gpa_t gpa, uint64_t size, uint8_t *host, bool read_only)
{
        size_t at = 0;

        if (size == 0 || gpa.v > UINT64_MAX - size)
                return -EINVAL;
        while (at < mem->count && mem->extent[at].gpa.v < gpa.v)
                at++;
        if (at > 0 && gpa.v - mem->extent[at - 1].gpa.v < mem->extent[at - 1].size)
                return -EINVAL;
        if (at < mem->count && mem->extent[at].gpa.v - gpa.v < size)
                return -EINVAL;
        if (mem->count == GMEM_EXTENTS_MAX)
                return -ENOSPC;
        memmove(&mem->extent[at + 1], &mem->extent[at], (mem->count - at) * sizeof mem->extent[0]);
        mem->extent[at] = (struct gmem_extent){gpa, size, host, read_only};
        mem->count++;
        return 0;
}

int gmem_add(struct gmem *mem, gpa_t gpa, uint64_t size, void *host)
{
        return add(mem, gpa, size, host, false);
}

int gmem_add_read_only(struct gmem *mem, gpa_t gpa, uint64_t size, const void *host)
{
        return add(mem, gpa, size, (uint8_t *)(uintptr_t)host, true);
}

/* The extent that gpa lies in, or NULL. */
static inline const struct gmem_extent *extent_at(const struct gmem *mem, uint64_t gpa)
{
        for (size_t i = 0; i < mem->count; i++)
                if (gpa - mem->extent[i].gpa.v < mem->extent[i].size)
                        return &mem->extent[i];
        return NULL;
}

/*
 * The host pointer to gpa and in *room the bytes to the end of its extent; NULL and 0 if there is
 * none, or none that may be written.
 */
static uint8_t *extent_ptr(const struct gmem *mem, uint64_t gpa, bool write, uint64_t *room)
{
        const struct gmem_extent *e = extent_at(mem, gpa);

        if (!e || (write && e->read_only)) {
                *room = 0;
                return NULL;
        }
        *room = e->size - (gpa - e->gpa.v);
        return e->host + (gpa - e->gpa.v);
}

void *gmem_ptr(const struct gmem *mem, gpa_t gpa, uint64_t len)
{
        uint64_t room, next_room;
        uint8_t *host = extent_ptr(mem, gpa.v, true, &room);

        while (host && room < len) {
                if (extent_ptr(mem, gpa.v + room, true, &next_room) != host + room)
                        return NULL;
                room += next_room;
        }
        return host;
}

/* Whether every byte is in the VM's memory: checked before the first one is touched. */
static bool covers(const struct gmem *mem, uint64_t gpa, bool write, uint64_t len)
{
        uint64_t room;

        for (; len > 0; gpa += room, len -= room) {
                if (!extent_ptr(mem, gpa, write, &room))
                        return false;
                if (room >= len)
                        break;
        }
        return true;
}

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_ZERO };

static int for_each_extent(const struct gmem *mem, gpa_t gpa, enum access access, uint8_t *to,
                           const uint8_t *from, uint64_t len)
{
        bool write = access != ACCESS_READ;

        if (!covers(mem, gpa.v, write, len))
                return -EFAULT;
        for (uint64_t done = 0, n; done < len; done += n) {
                uint8_t *host = extent_ptr(mem, gpa.v + done, write, &n);

                n = n < len - done ? n : len - done;
                if (access == ACCESS_READ)
                        memcpy(to + done, host, n);
                else if (access == ACCESS_WRITE)
                        memcpy(host, from + done, n);
                else
                        memset(host, 0, n);
        }
        return 0;
}

int gmem_read(const struct gmem *mem, gpa_t gpa, void *dst, uint64_t len)
{
        return for_each_extent(mem, gpa, ACCESS_READ, dst, NULL, len);
}

int gmem_read_word(const struct gmem *mem, gpa_t gpa, uint64_t *out)
{
        const struct gmem_extent *e = extent_at(mem, gpa.v);
        uint64_t offset;

        if (!e || !is_aligned(gpa.v, sizeof *out))
                return -EFAULT;
        offset = gpa.v - e->gpa.v;
        if (e->size - offset < sizeof *out)
                return -EFAULT;
        *out = *(const uint64_t *)(e->host + offset);
        return 0;
}

int gmem_write(const struct gmem *mem, gpa_t gpa, const void *src, uint64_t len)
{
        return for_each_extent(mem, gpa, ACCESS_WRITE, NULL, src, len);
}

int gmem_zero(const struct gmem *mem, gpa_t gpa, uint64_t len)
{
        return for_each_extent(mem, gpa, ACCESS_ZERO, NULL, NULL, len);
}
