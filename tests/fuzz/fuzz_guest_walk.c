/*
 * Walks of a guest's own page tables (mm/paging/paging_guest.c): registers and an address, then
 * memory of the guest, at physical address 0 and, again and again, at every other one that the
 * upper flag bit lets exist: tables may point to themselves and anywhere.
 */
#include "hv/lib/errno.h"
#include "mm/paging/paging.h"
#include "tests/fuzz/fuzz.h"

#define CR0_PG    (1ull << 31)
#define READS_MAX 4u /* levels there are */

struct guest_memory {
        const uint8_t *bytes;
        size_t size;
        bool repeats;
        unsigned reads;
};

static int read_guest(void *ctx, gpa_t gpa, uint64_t *out)
{
        struct guest_memory *m = ctx;
        uint64_t words = m->size / 8, at = gpa.v / 8;

        DEMAND(gpa.v % 8 == 0 && ++m->reads <= READS_MAX);
        if (!words || (!m->repeats && at >= words))
                return -EIO;
        memcpy(out, m->bytes + at % words * 8, 8);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        struct paging_guest_regs regs = {
            .cr0 = fuzz_take(&in, 8),
            .cr3 = fuzz_take(&in, 8),
            .cr4 = fuzz_take(&in, 8),
            .efer = fuzz_take(&in, 8),
        };
        struct guest_memory m = {0};
        uint64_t gva = fuzz_take(&in, 8);
        gpa_t gpa = {~0ull};
        int err;

        m.repeats = fuzz_take(&in, 1) & 1;
        m.bytes = in.at;
        m.size = in.left;
        err = paging_guest_walk(&regs, gva, read_guest, &m, &gpa);
        DEMAND(err == 0 || err == -EFAULT || err == -ENOTSUP);
        if (!err)
                DEMAND((gpa.v & 0xfff) == (gva & 0xfff));
        if (!err && (regs.cr0 & CR0_PG))
                DEMAND(gpa.v < 1ull << 52);
        return 0;
}
