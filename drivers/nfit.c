/* The NFIT; contract in nfit.h. Fields are read by offset: no layout or alignment is assumed. */
#include "drivers/nfit.h"

#include "drivers/acpi.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define NFIT_STRUCTURES  40u /* behind the table's header and 4 reserved bytes */
#define STRUCTURE_HEADER 4u  /* type, length */
#define ADDRESS_LIMIT    (1ull << 52)
#define REFUSALS_LOGGED  8u /* a broken table may hold thousands */

enum nfit_type {
        TYPE_RANGE = 0,
        TYPE_MAPPING = 1,
        TYPE_HINTS = 6,
        TYPE_CAPABILITIES = 7,
        TYPES,
};

/* What a structure of a kind has at least, 5.2.25.2 to 5.2.25.10; the others are not read. */
static const uint8_t least_length[TYPES] = {
    [TYPE_RANGE] = 56,
    [TYPE_MAPPING] = 48,
    [TYPE_HINTS] = 16,
    [TYPE_CAPABILITIES] = 16,
};

#define RANGE_INDEX 4
#define RANGE_GUID  16
#define RANGE_START 32
#define RANGE_SIZE  40

#define MAPPING_HANDLE 4
#define MAPPING_RANGE  12
#define MAPPING_STATE  44

#define HINTS_HANDLE 4
#define HINTS_COUNT  8
#define HINTS_FIRST  16

#define CAPABILITIES_HIGHEST 4
#define CAPABILITIES_BITS    8
#define CAPABILITY_CACHES    0x1u
#define CAPABILITY_MEMORY    0x2u
/* 66f0d379-b4f3-4074-ac43-0d3318b78cdb, byte-addressable persistent memory, as it is stored. */
static const uint8_t guid_persistent[16] = {0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40,
                                            0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb};

/* Of a structure, bytes. */
static uint64_t length_of(const uint8_t *s)
{
        return acpi_read_le(s + 2, 2);
}

static void refuse(struct nfit *nfit, uint64_t at, const char *why)
{
        if (nfit->refused++ < REFUSALS_LOGGED)
                printk(LOG_WARN, "nfit: 0x%lx %s: passed over", at, why);
}

/* Why a range cannot be used; what it contradicts is in doubt as well. NULL: it can. */
static const char *fault_of(struct nfit *nfit, const struct nfit_range *new)
{
        const char *fault = NULL;

        if (!new->size)
                return "is a range of size 0";
        if (new->start >= ADDRESS_LIMIT || new->size > ADDRESS_LIMIT - new->start)
                return "is a range that passes the end of all addresses";
        for (size_t i = 0; i < nfit->ranges; i++) {
                struct nfit_range *r = &nfit->range[i];
                bool overlaps =
                    new->start - r->start < r->size || r->start - new->start < new->size;

                if (r->index != new->index && !overlaps)
                        continue;
                r->doubtful = true;
                fault = overlaps ? "is a range that overlaps another"
                                 : "is a range with the number of another";
        }
        if (fault)
                return fault;
        return nfit->ranges == NFIT_RANGES_MAX ? "is one range too many" : NULL;
}

static void read_range(struct nfit *nfit, const uint8_t *s)
{
        struct nfit_range new = {
            .start = acpi_read_le(s + RANGE_START, 8),
            .size = acpi_read_le(s + RANGE_SIZE, 8),
            .index = (uint16_t)acpi_read_le(s + RANGE_INDEX, 2),
        };
        const char *fault;

        if (memcmp(s + RANGE_GUID, guid_persistent, sizeof guid_persistent) != 0)
                return;
        fault = fault_of(nfit, &new);
        if (fault) {
                refuse(nfit, new.start, fault);
                nfit->incomplete = true;
        } else {
                nfit->range[nfit->ranges++] = new;
        }
}

static struct nfit_nvdimm *find_nvdimm(struct nfit *nfit, uint32_t handle)
{
        for (size_t i = 0; i < nfit->nvdimms; i++)
                if (nfit->nvdimm[i].handle == handle)
                        return &nfit->nvdimm[i];
        return NULL;
}

static struct nfit_range *find_range(struct nfit *nfit, const uint8_t *mapping)
{
        uint64_t index = acpi_read_le(mapping + MAPPING_RANGE, 2);

        for (size_t i = 0; i < nfit->ranges; i++)
                if (nfit->range[i].index == index)
                        return &nfit->range[i];
        return NULL;
}

/* The NVDIMMs that back persistent ranges. */
static void read_nvdimm(struct nfit *nfit, const uint8_t *s)
{
        uint32_t handle = (uint32_t)acpi_read_le(s + MAPPING_HANDLE, 4);

        if (!find_range(nfit, s) || find_nvdimm(nfit, handle))
                return;
        if (nfit->nvdimms == NFIT_NVDIMMS_MAX)
                refuse(nfit, handle, "is the handle of one NVDIMM too many");
        else
                nfit->nvdimm[nfit->nvdimms++] = (struct nfit_nvdimm){.handle = handle};
}

/* The state flags are the device's, 5.2.25.3: firmware may set them in any of its mappings, such as
 * that of its control region. */
static void read_state(struct nfit *nfit, const uint8_t *s)
{
        struct nfit_nvdimm *nvdimm =
            find_nvdimm(nfit, (uint32_t)acpi_read_le(s + MAPPING_HANDLE, 4));

        if (nvdimm)
                nvdimm->state |= (uint16_t)acpi_read_le(s + MAPPING_STATE, 2);
}

static void read_mapping(struct nfit *nfit, const uint8_t *s)
{
        const struct nfit_nvdimm *nvdimm =
            find_nvdimm(nfit, (uint32_t)acpi_read_le(s + MAPPING_HANDLE, 4));
        struct nfit_range *r = find_range(nfit, s);

        if (!r)
                return;
        r->mapped++;
        r->state |= (uint16_t)acpi_read_le(s + MAPPING_STATE, 2);
        if (nvdimm)
                r->state |= nvdimm->state;
        if (!nvdimm || (nvdimm->undrained && nfit->domain < NFIT_DOMAIN_ADR))
                r->doubtful = true;
}

static void read_hints(struct nfit *nfit, const uint8_t *s)
{
        struct nfit_nvdimm *nvdimm = find_nvdimm(nfit, (uint32_t)acpi_read_le(s + HINTS_HANDLE, 4));
        uint64_t count = acpi_read_le(s + HINTS_COUNT, 2);
        uint64_t hint;

        if (!nvdimm || !count)
                return;
        if (count > (length_of(s) - HINTS_FIRST) / 8) {
                refuse(nfit, nvdimm->handle, "is an NVDIMM with more flush hints than told");
                nvdimm->undrained = true;
                return;
        }
        hint = acpi_read_le(s + HINTS_FIRST, 8);
        if (!hint || hint >= ADDRESS_LIMIT || !is_aligned(hint, 8)) {
                refuse(nfit, hint, "is no address of a flush hint");
                nvdimm->undrained = true;
                return;
        }
        nvdimm->hints += (unsigned)count;
        if (!nvdimm->hint.v)
                nvdimm->hint = HPA(hint);
}

/* A capability counts only up to the highest bit that the table says is valid, 5.2.25.10. */
static void read_capabilities(struct nfit *nfit, const uint8_t *s)
{
        unsigned highest = s[CAPABILITIES_HIGHEST];
        uint32_t bits = (uint32_t)acpi_read_le(s + CAPABILITIES_BITS, 4);

        if (highest < 31)
                bits &= (2u << highest) - 1;
        if (bits & CAPABILITY_CACHES)
                nfit->domain = NFIT_DOMAIN_EADR;
        else if (bits & CAPABILITY_MEMORY)
                nfit->domain = NFIT_DOMAIN_ADR;
        else
                nfit->domain = highest ? NFIT_DOMAIN_NONE : NFIT_DOMAIN_UNKNOWN;
}

typedef void (*read_fn)(struct nfit *nfit, const uint8_t *s);

/* Call read for every structure of a type; the chain has been checked. */
static void each(struct nfit *nfit, const uint8_t *table, size_t len, uint64_t type, read_fn read)
{
        for (size_t at = NFIT_STRUCTURES; at < len;) {
                if (acpi_read_le(table + at, 2) == type)
                        read(nfit, table + at);
                at += length_of(table + at);
        }
}

/* Whether the structures fill the table, each long enough for its type. */
static bool is_chain(const uint8_t *table, size_t len, size_t *at)
{
        *at = NFIT_STRUCTURES;
        while (*at < len) {
                uint64_t type, length;

                if (len - *at < STRUCTURE_HEADER)
                        return false;
                type = acpi_read_le(table + *at, 2);
                length = length_of(table + *at);
                if (length < STRUCTURE_HEADER || length > len - *at ||
                    (type < TYPES && length < least_length[type]))
                        return false;
                *at += length;
        }
        return true;
}

int nfit_parse(const void *table, size_t len, struct nfit *nfit)
{
        size_t at = 0;

        *nfit = (struct nfit){.incomplete = true};
        if (len < NFIT_STRUCTURES || !is_chain(table, len, &at)) {
                printk(LOG_ERROR,
                       "nfit: the structure at 0x%zx has a bad length: the table is not used", at);
                return -EBADMSG;
        }
        nfit->incomplete = false;
        /* in this order, as each refers to the one before */
        each(nfit, table, len, TYPE_RANGE, read_range);
        each(nfit, table, len, TYPE_MAPPING, read_nvdimm);
        each(nfit, table, len, TYPE_MAPPING, read_state);
        each(nfit, table, len, TYPE_HINTS, read_hints);
        each(nfit, table, len, TYPE_CAPABILITIES, read_capabilities);
        each(nfit, table, len, TYPE_MAPPING, read_mapping);
        for (size_t i = 0; i < nfit->ranges; i++)
                nfit->range[i].doubtful |= !nfit->range[i].mapped;
        if (nfit->refused > REFUSALS_LOGGED)
                printk(LOG_WARN, "nfit: %u more passed over", nfit->refused - REFUSALS_LOGGED);
        return 0;
}

const char *nfit_domain_word(enum nfit_domain domain)
{
        static const char *const word[] = {"unknown", "none", "adr", "eadr"};

        return word[domain];
}

const char *nfit_domain_text(enum nfit_domain domain)
{
        static const char *const text[] = {
            "not told by the firmware",
            "none (neither ADR nor eADR is declared)",
            "ADR (memory controller)",
            "eADR (CPU caches)",
        };

        return text[domain];
}

int nfit_format_state(char *buf, size_t size, unsigned state)
{
        static const struct {
                unsigned bit;
                const char *text;
        } names[] = {{NFIT_NOT_ARMED, "not armed"},
                     {NFIT_SAVE_FAILED, "save failed"},
                     {NFIT_RESTORE_FAILED, "restore failed"},
                     {NFIT_FLUSH_FAILED, "flush failed"}};
        size_t len = 0;

        if (size)
                buf[0] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                size_t room = len < size ? size - len : 0;

                if (state & names[i].bit)
                        len += (size_t)format_text(room ? buf + len : NULL, room, "%s%s",
                                                   len ? ", " : "", names[i].text);
        }
        return (int)len;
}
