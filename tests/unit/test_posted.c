/* Posted interrupts: what comes out, and that nothing is lost between threads. */
#include "guest/dev/posted.h"

#include <pthread.h>
#include <sched.h>

#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define THREADS 2u
#define VECTORS 8u /* few, in one word: for as many collisions as can be */
#define POSTS   100000u
#define SPINS   1000u /* before the CPU is given away, should there be one only */

static void open_lapic(struct vlapic *l)
{
        vlapic_init(l, 0, true, 8, NULL);
        CHECK_EQ(vlapic_msr_write(l, 0x80f, 0x1ff, 0), 0);
}

static void post(struct posted *p, enum apic_mode mode, uint8_t vector, bool level)
{
        const struct apic_message m = {.mode = (uint8_t)mode, .vector = vector, .level = level};

        posted_post(p, &m);
}

static void test_vectors(void)
{
        struct posted p = {0};
        struct vlapic l;

        for (unsigned v = 16; v < 256; v++) {
                open_lapic(&l);
                CHECK(!posted_pending(&p));
                CHECK_EQ(posted_drain(&p, &l), 0);
                CHECK_EQ(vlapic_next_irq(&l), -1);
                post(&p, v & 2 ? APIC_LOWEST : APIC_FIXED, (uint8_t)v, v & 1);
                CHECK(posted_pending(&p));
                CHECK_EQ(posted_drain(&p, &l), 0);
                CHECK_EQ(vlapic_next_irq(&l), v);
                CHECK_EQ(l.tmr[v / 32] >> v % 32 & 1, v & 1);
                vlapic_accept(&l, (uint8_t)v);
                CHECK_EQ(vlapic_next_irq(&l), -1);
        }
}

static void test_events(void)
{
        struct posted p = {0};
        struct vlapic l;

        open_lapic(&l);
        post(&p, APIC_STARTUP, 0x9a, false);
        post(&p, APIC_STARTUP, 0x21, false); /* the second of two: no mix of the vectors */
        post(&p, APIC_NMI, 2, false);
        CHECK_EQ(posted_drain(&p, &l), POSTED_STARTUP | POSTED_NMI | 0x9a);
        CHECK_EQ(posted_drain(&p, &l), 0);
        post(&p, APIC_STARTUP, 0xff, false);
        post(&p, APIC_NMI, 0, false);
        post(&p, APIC_INIT, 0, false);
        CHECK_EQ(posted_drain(&p, &l), POSTED_INIT);
        post(&p, APIC_INIT, 0, false);
        post(&p, APIC_STARTUP, 0, false);
        CHECK_EQ(posted_drain(&p, &l), POSTED_INIT | POSTED_STARTUP);
        post(&p, APIC_SMI, 0, false);
        post(&p, APIC_EXTINT, 0x30, false);
        CHECK(!posted_pending(&p));
        CHECK_EQ(posted_drain(&p, &l), 0);
        CHECK_EQ(vlapic_next_irq(&l), -1);
}

/* Each thread has vectors of its own and posts one again only once the receiver has seen it. */
static struct posted shared;
static unsigned seen[256]; /* how often the receiver got a vector */
static unsigned seen_nmi;

static void *poster(void *arg)
{
        unsigned sent[256] = {0};

        for (unsigned i = 0; i < POSTS; i++) {
                unsigned v = 32 + (unsigned)(uintptr_t)arg + i * THREADS % VECTORS, spins = 0;

                while (__atomic_load_n(&seen[v], __ATOMIC_ACQUIRE) != sent[v])
                        if (++spins % SPINS == 0)
                                sched_yield();
                sent[v]++;
                post(&shared, APIC_FIXED, (uint8_t)v, v & 4);
        }
        post(&shared, APIC_NMI, 0, false);
        return NULL;
}

static void take_all(struct vlapic *l)
{
        int v;

        while ((v = vlapic_next_irq(l)) >= 0) {
                vlapic_accept(l, (uint8_t)v);
                vlapic_eoi(l);
                __atomic_fetch_add(&seen[v], 1, __ATOMIC_RELEASE);
        }
}

/* A lost vector would never be seen: the rounds without news are counted, not waited for. */
static void test_threads(void)
{
        pthread_t thread[THREADS];
        unsigned total = 0, idle = 0;
        struct vlapic l;

        open_lapic(&l);
        for (uintptr_t i = 0; i < THREADS; i++)
                CHECK_EQ(pthread_create(&thread[i], NULL, poster, (void *)i), 0);
        while (total < THREADS * POSTS && idle < 100000000) {
                unsigned before = total;

                if (posted_drain(&shared, &l) & POSTED_NMI)
                        seen_nmi++;
                take_all(&l);
                total = 0;
                for (unsigned v = 32; v < 32 + VECTORS; v++)
                        total += seen[v];
                idle = total == before ? idle + 1 : 0;
                if (idle % SPINS == SPINS - 1)
                        sched_yield();
        }
        CHECK_EQ(total, THREADS * POSTS);
        if (total != THREADS * POSTS)
                exit(unit_done()); /* the threads wait for what is lost */
        for (unsigned i = 0; i < THREADS; i++)
                CHECK_EQ(pthread_join(thread[i], NULL), 0);
        if (posted_drain(&shared, &l) & POSTED_NMI)
                seen_nmi++;
        CHECK(seen_nmi >= 1 && seen_nmi <= THREADS);
}

int main(void)
{
        RUN(test_vectors);
        RUN(test_events);
        RUN(test_threads);
        return unit_done();
}
