/*
 * A lock for short sections. The hypervisor holds one with interrupts off only, and never in an NMI
 * handler.
 *
 * Whoever comes first gets it, not whoever asked first: as a guest of another hypervisor, or in an
 * emulator, the next in a queue may be without a CPU, and all behind it would wait for that too.
 */
#pragma once

#include <stdbool.h>

struct spinlock {
        bool held;
};

static inline void spin_lock(struct spinlock *lock)
{
        while (__atomic_exchange_n(&lock->held, true, __ATOMIC_ACQUIRE))
                while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
                        __asm__ volatile("pause");
}

/* Take it if it is free; whether it was. */
static inline bool spin_trylock(struct spinlock *lock)
{
        return !__atomic_exchange_n(&lock->held, true, __ATOMIC_ACQUIRE);
}

static inline void spin_unlock(struct spinlock *lock)
{
        __atomic_store_n(&lock->held, false, __ATOMIC_RELEASE);
}
