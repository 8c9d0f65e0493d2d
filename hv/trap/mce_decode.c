/* What machine checks mean; contract in mce_decode.h. */
#include "hv/trap/mce_decode.h"

#define MISC_ORDER(misc) ((unsigned)((misc)&0x3f))
#define MISC_MODE(misc)  ((unsigned)((misc) >> 6 & 7))
#define MODE_PHYSICAL    2u
#define LINE_ORDER       6u
#define ADDRESS_MASK     0x000fffffffffffffull

/* Whether ADDR is a physical address, and of how much. */
static bool has_place(const struct mce_machine *machine, const struct mce_bank *bank,
                      struct mce_place *place)
{
        unsigned order = LINE_ORDER;

        *place = (struct mce_place){0};
        if (!(bank->status & MC_ADDRV))
                return false;
        if (machine->address_modes) {
                if (!(bank->status & MC_MISCV) || MISC_MODE(bank->misc) != MODE_PHYSICAL)
                        return false;
                if (MISC_ORDER(bank->misc) > order)
                        order = MISC_ORDER(bank->misc);
        }
        if (machine->scalable && !(bank->status & MC_POISON))
                return false;
        if (order > MCE_PLACE_ORDER_MAX)
                return false;
        place->order = order;
        place->hpa = HPA(align_down(bank->addr & ADDRESS_MASK, 1ull << order));
        return true;
}

/* SDM vol. 3 table 16-6: no action required, and what was found with its exception switched off. */
static bool is_latent(const struct mce_machine *machine, uint64_t status)
{
        if (!(status & MC_UC))
                return machine->defers && status & MC_DEFER;
        if (!machine->recover || status & MC_PCC)
                return false;
        return !(status & MC_EN) || !(status & (MC_S | MC_AR));
}

enum mce_verdict mce_judge(const struct mce_machine *machine, const struct mce_bank *bank,
                           struct mce_place *place)
{
        uint64_t status = bank->status;

        if (!(status & MC_VAL))
                return MCE_EMPTY;
        if (is_latent(machine, status)) {
                has_place(machine, bank, place);
                return MCE_LATENT;
        }
        if (!(status & MC_UC))
                return MCE_CORRECTED;
        if (status & MC_PCC)
                return MCE_FATAL;
        if (!(status & MC_EN))
                return MCE_EMPTY; /* seen by chance, SDM vol. 3 16.10.4.1 */
        if (status & MC_OVER)
                return MCE_FATAL;
        return has_place(machine, bank, place) ? MCE_DATA : MCE_FATAL;
}

static struct mce_bank read_bank(const struct mce_ops *ops, unsigned number)
{
        struct mce_bank bank = {.number = number, .status = ops->read(MSR_MC_STATUS(number))};

        if (bank.status & MC_VAL && bank.status & MC_ADDRV)
                bank.addr = ops->read(MSR_MC_ADDR(number));
        if (bank.status & MC_VAL && bank.status & MC_MISCV)
                bank.misc = ops->read(MSR_MC_MISC(number));
        return bank;
}

static void settle_latent(const struct mce_ops *ops, const struct mce_place *place,
                          struct mce_result *result)
{
        if (place->order)
                ops->queue(place);
        else
                result->latent++;
}

/* Why the machine must stop for this bank; NULL: it need not. */
static const char *settle_bank(const struct mce_machine *machine, const struct mce_ops *ops,
                               const struct mce_bank *bank, bool in_guest,
                               struct mce_result *result)
{
        struct mce_place place;

        switch (mce_judge(machine, bank, &place)) {
        case MCE_EMPTY:
                return NULL;
        case MCE_CORRECTED:
                result->corrected++;
                return NULL;
        case MCE_LATENT:
                settle_latent(ops, &place, result);
                return NULL;
        case MCE_DATA:
                if (!ops->is_nvram(&place))
                        return "bad memory that is not NVRAM";
                if (!in_guest && machine->recover && bank->status & MC_AR)
                        return "the hypervisor itself needs bad NVRAM";
                ops->queue(&place);
                result->bad++;
                return NULL;
        default:
                return bank->status & MC_PCC ? "the CPU's state is corrupt"
                                             : "an error that nothing confines";
        }
}

static void clear(const struct mce_machine *machine, const struct mce_ops *ops)
{
        for (unsigned i = 0; i < machine->banks; i++)
                ops->write(MSR_MC_STATUS(i), 0);
        ops->write(MSR_MCG_STATUS, 0);
}

void mce_scan(const struct mce_machine *machine, const struct mce_ops *ops, bool in_guest,
              struct mce_result *result)
{
        *result = (struct mce_result){.mcg_status = ops->read(MSR_MCG_STATUS)};
        for (unsigned i = 0; i < machine->banks && !result->fatal; i++) {
                result->bank = read_bank(ops, i);
                result->fatal = settle_bank(machine, ops, &result->bank, in_guest, result);
        }
        if (result->fatal)
                return;
        result->bank = (struct mce_bank){0};
        if (!in_guest && !(result->mcg_status & MCG_RIPV))
                result->fatal = "the hypervisor cannot go on where it was";
        else if (!(result->mcg_status & MCG_RIPV) && !result->bad)
                result->fatal = "no bank tells why";
        else
                clear(machine, ops);
}

void mce_poll_banks(const struct mce_machine *machine, const struct mce_ops *ops,
                    struct mce_result *result)
{
        *result = (struct mce_result){0};
        for (unsigned i = 0; i < machine->banks; i++) {
                struct mce_bank bank = read_bank(ops, i);
                struct mce_place place;
                enum mce_verdict verdict = mce_judge(machine, &bank, &place);

                if (verdict == MCE_CORRECTED)
                        result->corrected++;
                else if (verdict == MCE_LATENT)
                        settle_latent(ops, &place, result);
                else
                        continue;
                ops->write(MSR_MC_STATUS(i), 0);
        }
}
