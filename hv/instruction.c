/* A guest's instruction; contract in instruction.h. */
#include "hv/instruction.h"

size_t instruction_fetch_narrow(const struct instruction_place *place, paging_guest_read_fn read,
                                void *ctx, uint8_t *code, size_t want)
{
        uint64_t gva = (uint32_t)(place->base + place->rip);
        size_t below, n;

        if (place->rip > place->limit)
                return 0;
        want = min(want, place->limit - place->rip + 1);
        below = min(want, 4 * GiB - gva); /* linear addresses wrap there */
        n = paging_guest_read(&place->regs, gva, read, ctx, code, below);
        if (n == below)
                n += paging_guest_read(&place->regs, 0, read, ctx, code + n, want - n);
        return n;
}

static bool take_legacy(uint8_t byte, struct instruction_prefixes *p)
{
        if ((byte & 0xe7) == 0x26) /* 26h, 2Eh, 36h, 3Eh */
                p->segment = byte >> 3 & 3;
        else if ((byte & 0xfe) == 0x64)
                p->segment = (uint8_t)(SEG_FS + (byte & 1));
        else if (byte == 0x66)
                p->operand_16 = true;
        else if (byte == 0x67)
                p->address_other = true;
        else if (byte == 0xf0)
                p->lock = true;
        else if ((byte & 0xfe) == 0xf2)
                p->rep = true;
        else
                return false;
        return true;
}

size_t instruction_take_prefixes(const uint8_t *code, size_t n, bool wide,
                                 struct instruction_prefixes *out)
{
        size_t at = 0;

        for (; at < n; at++) {
                bool rex = wide && (code[at] & 0xf0) == 0x40;

                if (!rex && !take_legacy(code[at], out))
                        break;
                out->rex = rex ? code[at] : 0;
        }
        return at;
}
