/* A VM's memory by guest-physical address; the contract is in gmem.h. */
#include "guest/mem/gmem.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

void gmem_init(struct gmem *mem, struct dram *dram)
{
        *mem = (struct gmem){.dram = dram};
}

void gmem_destroy(struct gmem *mem)
{
        if (mem->more && dram_free(mem->dram, HPA((uint64_t)mem->more), mem->more_order))
                panic("gmem: its list cannot be freed");
        *mem = (struct gmem){.dram = mem->dram};
}

static inline const struct gmem_extent *list_of(const struct gmem *mem)
{
        return mem->more ? mem->more : mem->first;
}

static size_t room_of(const struct gmem *mem)
{
        return mem->more ? (PAGE_4K << mem->more_order) / sizeof *mem->more : GMEM_FIRST;
}

/* Make room for one more extent. */
static int grow(struct gmem *mem)
{
        unsigned order = mem->more ? mem->more_order + 1 : 0;
        struct gmem_extent *more;
        hpa_t hpa;

        if (mem->count < room_of(mem))
                return 0;
        if (!mem->dram || dram_alloc(mem->dram, order, &hpa))
                return -ENOMEM;
        more = (struct gmem_extent *)hpa.v;
        memcpy(more, list_of(mem), mem->count * sizeof *more);
        if (mem->more && dram_free(mem->dram, HPA((uint64_t)mem->more), mem->more_order))
                panic("gmem: its list cannot be freed");
        mem->more = more;
        mem->more_order = order;
        return 0;
}

/* The number of extents that begin at or before gpa. */
static inline size_t begin_before(const struct gmem *mem, uint64_t gpa)
{
        const struct gmem_extent *list = list_of(mem);
        size_t low = 0, high = mem->count;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (list[middle].gpa.v <= gpa)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* Whether next goes on where extent ends, for the guest and for the hypervisor. */
static bool goes_on(const struct gmem_extent *extent, const struct gmem_extent *next)
{
        return extent->gpa.v + extent->size == next->gpa.v &&
               extent->ptr + extent->size == next->ptr && extent->read_only == next->read_only;
}

static int add(struct gmem *mem, gpa_t gpa, uint64_t size, uint8_t *ptr, bool read_only)
{
        const struct gmem_extent new = {gpa, size, ptr, read_only};
        size_t at = begin_before(mem, gpa.v);
        struct gmem_extent *next;
        int err;

        if (size == 0 || gpa.v > UINT64_MAX - size)
                return -EINVAL;
        if (at > 0 && gpa.v - list_of(mem)[at - 1].gpa.v < list_of(mem)[at - 1].size)
                return -EINVAL;
        if (at < mem->count && list_of(mem)[at].gpa.v - gpa.v < size)
                return -EINVAL;
        err = grow(mem);
        if (err)
                return err;
        next = (mem->more ? mem->more : mem->first) + at;
        if (at > 0 && goes_on(&next[-1], &new)) {
                next[-1].size += size;
                return 0;
        }
        memmove(&next[1], next, (mem->count - at) * sizeof *next);
        *next = new;
        mem->count++;
        return 0;
}

int gmem_add(struct gmem *mem, gpa_t gpa, uint64_t size, void *ptr)
{
        return add(mem, gpa, size, ptr, false);
}

int gmem_add_read_only(struct gmem *mem, gpa_t gpa, uint64_t size, const void *ptr)
{
        return add(mem, gpa, size, (uint8_t *)(uintptr_t)ptr, true);
}

/* The extent that gpa lies in, or NULL. */
static inline const struct gmem_extent *extent_at(const struct gmem *mem, uint64_t gpa)
{
        const struct gmem_extent *extent = list_of(mem);
        size_t n;

        if (gpa - extent->gpa.v < extent->size)
                return extent;
        n = begin_before(mem, gpa);
        if (!n)
                return NULL;
        extent += n - 1;
        return gpa - extent->gpa.v < extent->size ? extent : NULL;
}

uint8_t *gmem_piece(const struct gmem *mem, gpa_t gpa, bool write, uint64_t *room)
{
        const struct gmem_extent *e = extent_at(mem, gpa.v);

        if (!e || (write && e->read_only)) {
                *room = 0;
                return NULL;
        }
        *room = e->size - (gpa.v - e->gpa.v);
        return e->ptr + (gpa.v - e->gpa.v);
}

void *gmem_ptr(const struct gmem *mem, gpa_t gpa, uint64_t len)
{
        uint64_t room, next_room;
        uint8_t *ptr = gmem_piece(mem, gpa, true, &room);

        while (ptr && room < len) {
                if (gmem_piece(mem, GPA(gpa.v + room), true, &next_room) != ptr + room)
                        return NULL;
                room += next_room;
        }
        return ptr;
}

/* Whether every byte is in the VM's memory: checked before the first one is touched. */
static bool covers(const struct gmem *mem, uint64_t gpa, bool write, uint64_t len)
{
        uint64_t room;

        for (; len > 0; gpa += room, len -= room) {
                if (!gmem_piece(mem, GPA(gpa), write, &room))
                        return false;
                if (room >= len)
                        break;
        }
        return true;
}

/* Copy what stands there to `to`, or where that is NULL `from` to there. */
static int for_each_extent(const struct gmem *mem, gpa_t gpa, uint8_t *to, const uint8_t *from,
                           uint64_t len)
{
        if (!covers(mem, gpa.v, !to, len))
                return -EFAULT;
        for (uint64_t done = 0, n; done < len; done += n) {
                uint8_t *ptr = gmem_piece(mem, GPA(gpa.v + done), !to, &n);

                n = n < len - done ? n : len - done;
                if (to)
                        memcpy(to + done, ptr, n);
                else
                        memcpy(ptr, from + done, n);
        }
        return 0;
}

int gmem_read(const struct gmem *mem, gpa_t gpa, void *dst, uint64_t len)
{
        return for_each_extent(mem, gpa, dst, NULL, len);
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
        *out = *(const uint64_t *)(e->ptr + offset);
        return 0;
}

int gmem_write(const struct gmem *mem, gpa_t gpa, const void *src, uint64_t len)
{
        return for_each_extent(mem, gpa, NULL, src, len);
}
