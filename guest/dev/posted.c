/* Interrupts on their way to a vCPU; contract in posted.h. */
#include "guest/dev/posted.h"

/* The first that comes stays. */
static void post_startup(struct posted *p, uint8_t vector)
{
        uint32_t old = __atomic_load_n(&p->events, __ATOMIC_RELAXED);

        while (!(old & POSTED_STARTUP) &&
               !__atomic_compare_exchange_n(&p->events, &old, old | POSTED_STARTUP | vector, false,
                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                ;
}

void posted_post(struct posted *p, const struct apic_message *m)
{
        uint32_t *vectors = m->level ? p->level : p->edge;

        switch (m->mode) {
        case APIC_FIXED:
        case APIC_LOWEST:
                __atomic_fetch_or(&vectors[m->vector / 32], 1u << m->vector % 32, __ATOMIC_RELAXED);
                break;
        case APIC_NMI:
                __atomic_fetch_or(&p->events, POSTED_NMI, __ATOMIC_RELAXED);
                break;
        case APIC_INIT:
                __atomic_store_n(&p->events, POSTED_INIT, __ATOMIC_RELAXED);
                break;
        case APIC_STARTUP:
                post_startup(p, m->vector);
                break;
        default:
                return;
        }
        /* After the bit: whoever sees the flag sees the bit. */
        __atomic_store_n(&p->any, true, __ATOMIC_SEQ_CST);
}

static void drain(uint32_t word[8], struct vlapic *lapic, bool level)
{
        for (unsigned i = 0; i < 8; i++) {
                uint32_t bits = __atomic_load_n(&word[i], __ATOMIC_RELAXED);

                if (bits)
                        bits = __atomic_exchange_n(&word[i], 0, __ATOMIC_RELAXED);
                for (; bits; bits &= bits - 1)
                        vlapic_raise(lapic, (uint8_t)(i * 32 + (unsigned)__builtin_ctz(bits)),
                                     level);
        }
}

uint32_t posted_drain(struct posted *p, struct vlapic *lapic)
{
        if (!posted_pending(p))
                return 0;
        /* Before the bits: one that is set later sets the flag again. */
        (void)__atomic_exchange_n(&p->any, false, __ATOMIC_SEQ_CST);
        drain(p->edge, lapic, false);
        drain(p->level, lapic, true);
        return __atomic_exchange_n(&p->events, 0, __ATOMIC_RELAXED);
}
