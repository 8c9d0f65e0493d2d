/*
 * A ticket lock: CPUs get it in the order in which they asked. The hypervisor holds one with
 * interrupts off only, and never in an NMI handler.
 */
#pragma once

#include <stdint.h>

struct spinlock {
        uint16_t next, served;
};

static inline void spin_lock(struct spinlock *lock)
{
        uint16_t mine = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

        while (__atomic_load_n(&lock->served, __ATOMIC_ACQUIRE) != mine)
                __asm__ volatile("pause");
}

static inline void spin_unlock(struct spinlock *lock)
{
        __atomic_store_n(&lock->served, (uint16_t)(lock->served + 1), __ATOMIC_RELEASE);
}
