/* NVDIMMs in the memory map; contract in nvdimms.h. */
#include "boot/nvdimms.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"

static unsigned count_hints(const struct nfit *nfit)
{
        unsigned hints = 0;

        for (size_t i = 0; i < nfit->nvdimms; i++)
                hints += nfit->nvdimm[i].hints;
        return hints;
}

void nvdimms_find(const struct acpi_tables *tables, struct nfit *nfit)
{
        const struct acpi_header *table;
        int err = acpi_find_table(tables, "NFIT", 0, &table);

        *nfit = (struct nfit){0};
        if (err) {
                /* a table that was not read may tell of an NVDIMM that forgets */
                nfit->incomplete = err != -ENOENT || tables->out_of_reach || tables->left;
                if (err != -ENOENT)
                        printk(LOG_ERROR, "nfit: the table cannot be used (error %d)", -err);
                return;
        }
        if (nfit_parse(table, table->length, nfit))
                return;
        printk(LOG_NOTICE, "nfit: %zu ranges of persistent memory, %zu NVDIMMs, %u flush hints",
               nfit->ranges, nfit->nvdimms, count_hints(nfit));
}

static enum mem_kind kind_of(const struct nfit_range *r)
{
        if (r->state & NFIT_NOT_MAPPED)
                return MEM_UNUSABLE;
        return r->doubtful || r->state & NFIT_NOT_DURABLE ? MEM_NVRAM_UNARMED : MEM_NVRAM;
}

static void tell_state(const struct nfit_range *r)
{
        char why[64];

        if (r->state & NFIT_NOT_MAPPED) {
                printk(LOG_WARN, "nvram: 0x%lx: the firmware has not mapped the NVDIMM: not used",
                       r->start);
        } else if (r->state & NFIT_NOT_DURABLE) {
                nfit_format_state(why, sizeof why, r->state);
                printk(LOG_WARN,
                       "nvram: 0x%lx: the NVDIMM is %s: it does not keep its contents (volatile)",
                       r->start, why);
        } else if (r->doubtful) {
                printk(
                    LOG_WARN,
                    "nvram: 0x%lx: the NFIT contradicts itself: the NVDIMM's state is not known, "
                    "and it is taken for not armed (volatile)",
                    r->start);
        }
        if (r->state & NFIT_HEALTH_EVENT)
                printk(LOG_WARN, "nvram: 0x%lx: the NVDIMM reports a health event", r->start);
}

/* Where the NFIT cannot be relied on, what the firmware's map calls persistent may forget. */
static void disarm_unknown(const struct nfit *nfit, struct memmap *map)
{
        uint64_t bytes = nfit->incomplete ? memmap_disarm(map) : 0;

        if (bytes)
                printk(LOG_WARN,
                       "nvram: the NFIT does not tell the state of all NVDIMMs: 0x%lx bytes that "
                       "the memory map calls persistent are taken for not armed (volatile), but "
                       "for the NVDIMMs that are known",
                       bytes);
}

void nvdimms_add(const struct nfit *nfit, struct memmap *map)
{
        disarm_unknown(nfit, map);
        for (size_t i = 0; i < nfit->ranges; i++) {
                const struct nfit_range *r = &nfit->range[i];
                struct mem_source source = {.origin = MEM_FROM_NFIT, .type = (uint32_t)i};
                int err = memmap_add(map, r->start, r->size, kind_of(r), source);
                uint64_t taken =
                    memmap_bytes(map, r->start, r->size, MEM_NVRAM_UNARMED + 1, MEM_UNUSABLE);

                tell_state(r);
                if (err)
                        printk(LOG_WARN, "nvram: 0x%lx + 0x%lx of the NFIT is not usable (%d)",
                               r->start, r->size, -err);
                else if (taken && !(r->state & NFIT_NOT_MAPPED))
                        printk(LOG_WARN,
                               "nvram: 0x%lx: 0x%lx bytes of the NVDIMM are reserved by the memory "
                               "map: not used",
                               r->start, taken);
        }
}

size_t nvdimms_hints(const struct nfit *nfit, const struct memmap *map,
                     hpa_t hints[NFIT_NVDIMMS_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < nfit->nvdimms; i++) {
                hpa_t hint = nfit->nvdimm[i].hint;

                if (!hint.v)
                        continue;
                if (hint.v >= map->limit || memmap_bytes(map, align_down(hint.v, PAGE_4K), PAGE_4K,
                                                         MEM_RAM, MEM_NVRAM_UNARMED))
                        printk(LOG_WARN, "nvram: flush hint 0x%lx lies in memory: not used",
                               hint.v);
                else
                        hints[n++] = hint;
        }
        return n;
}
