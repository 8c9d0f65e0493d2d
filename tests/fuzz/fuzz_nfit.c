/*
 * The NFIT (drivers/nfit.c): the input is the whole table. What is read goes on into a memory map
 * (boot/nvdimms.c) with some RAM and some reserved addresses in it.
 */
#include "drivers/nfit.h"

#include "boot/nvdimms.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/e820.h"

#define ADDRESS_END (1ull << 52)

static void check_table(const struct nfit *nfit)
{
        char text[64];

        DEMAND(nfit->ranges <= NFIT_RANGES_MAX && nfit->nvdimms <= NFIT_NVDIMMS_MAX);
        for (size_t i = 0; i < nfit->ranges; i++) {
                const struct nfit_range *r = &nfit->range[i];

                DEMAND(r->size && r->start < ADDRESS_END && r->size <= ADDRESS_END - r->start);
                DEMAND(!r->state || r->mapped);
                DEMAND(nfit_format_state(text, sizeof text, r->state) < (int)sizeof text);
                for (const struct nfit_range *q = nfit->range; q < r; q++)
                        DEMAND(r->index != q->index &&
                               (r->start >= q->start + q->size || r->start + r->size <= q->start));
        }
        for (size_t i = 0; i < nfit->nvdimms; i++) {
                DEMAND(nfit->nvdimm[i].hint.v % 8 == 0 && nfit->nvdimm[i].hint.v < ADDRESS_END);
                DEMAND(!nfit->nvdimm[i].hint.v == !nfit->nvdimm[i].hints);
                for (size_t j = 0; j < i; j++)
                        DEMAND(nfit->nvdimm[i].handle != nfit->nvdimm[j].handle);
        }
        DEMAND(*nfit_domain_word(nfit->domain) && *nfit_domain_text(nfit->domain));
}

static void check_map(const struct nfit *nfit)
{
        static struct memmap map;
        hpa_t hint[NFIT_NVDIMMS_MAX];
        size_t hints;

        memmap_init(&map);
        map.limit = 1ull << 46;
        DEMAND(!memmap_add_e820(&map, 0, 2 * GiB, 1) && !memmap_add_e820(&map, GiB, MiB, 2) &&
               !memmap_add_e820(&map, 4 * GiB, 4 * GiB, 7));
        nvdimms_add(nfit, &map);
        for (size_t i = 0; i < nfit->ranges; i++) {
                const struct nfit_range *r = &nfit->range[i];

                /* the firmware's range is no RAM any more, and no NVRAM unless it keeps its
                 * contents */
                if (r->start >= map.limit || r->size > map.limit - r->start)
                        continue;
                DEMAND(!memmap_bytes(&map, r->start, r->size, MEM_RAM, MEM_HYPERVISOR));
                if (r->doubtful || r->state & (NFIT_NOT_DURABLE | NFIT_NOT_MAPPED))
                        DEMAND(!memmap_bytes(&map, r->start, r->size, MEM_NVRAM_VENDOR, MEM_NVRAM));
        }
        if (nfit->incomplete)
                for (size_t i = 0; i < map.count; i++)
                        DEMAND(map.range[i].kind != MEM_NVRAM ||
                               map.range[i].source.origin == MEM_FROM_NFIT);
        hints = nvdimms_hints(nfit, &map, hint);
        DEMAND(hints <= nfit->nvdimms);
        for (size_t i = 0; i < hints; i++)
                DEMAND(hint[i].v < map.limit &&
                       !memmap_bytes(&map, hint[i].v, 8, MEM_RAM, MEM_NVRAM_UNARMED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct nfit nfit;
        unsigned long told = fuzz_complaints;
        struct fuzz_input in = {data, size};
        size_t len;
        uint8_t *table = fuzz_block(&in, size, &len);
        int err = nfit_parse(table, len, &nfit);

        DEMAND(err == 0 || err == -EBADMSG);
        DEMAND((!err && !nfit.refused) || fuzz_complaints > told);
        if (err)
                DEMAND(!nfit.ranges && !nfit.nvdimms && nfit.domain == NFIT_DOMAIN_UNKNOWN);
        check_table(&nfit);
        if (!err)
                check_map(&nfit);
        free(table);
        return 0;
}
