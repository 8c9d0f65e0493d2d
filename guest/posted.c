/* Interrupts on their way to a vCPU; contract in posted.h. */
#include "guest/posted.h"

void posted_post(struct posted *p, const struct apic_message *m)
{
        uint32_t bit = 1u << m->vector % 32;

        switch (m->mode) {
        case APIC_FIXED:
        case APIC_LOWEST:
                __atomic_fetch_or(m->level ? &p->level[m->vector / 32] : &p->edge[m->vector / 32],
                                  bit, __ATOMIC_RELAXED);
                break;
        case APIC_NMI:
                __atomic_fetch_or(&p->events, POSTED_NMI, __ATOMIC_RELAXED);
                break;
        case APIC_INIT:
                __atomic_store_n(&p->events, POSTED_INIT, __ATOMIC_RELAXED);
                break;
        case APIC_STARTUP:
                __atomic_fetch_and(&p->events, ~0xffu, __ATOMIC_RELAXED);
                __atomic_fetch_or(&p->events, POSTED_STARTUP | m->vector, __ATOMIC_RELAXED);
                break;
        default: /* SMI: there is no SMM */
                return;
        }
        __atomic_store_n(&p->any, true, __ATOMIC_SEQ_CST);
}

static void drain(uint32_t word[8], struct lapic *lapic, bool level)
{
        for (unsigned i = 0; i < 8; i++) {
                uint32_t bits = __atomic_exchange_n(&word[i], 0, __ATOMIC_RELAXED);

                for (; bits; bits &= bits - 1)
                        lapic_raise(lapic, (uint8_t)(i * 32 + (unsigned)__builtin_ctz(bits)),
                                    level);
        }
}

uint32_t posted_drain(struct posted *p, struct lapic *lapic)
{
        if (!posted_pending(p))
                return 0;
        __atomic_store_n(&p->any, false, __ATOMIC_SEQ_CST);
        drain(p->edge, lapic, false);
        drain(p->level, lapic, true);
        return __atomic_exchange_n(&p->events, 0, __ATOMIC_RELAXED);
}
