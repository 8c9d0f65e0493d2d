/* The paravirtual clock that KVM publishes: registration by MSR and the structures in guest memory.
 */
#include "guest/dev/kvmclock.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define SYSTEM_TIME_ENABLE 1ull
#define TSC_STABLE         0x01

/* Layouts of the ABI; a version that is odd or changes while it is read tells the reader to try
 * again. */
struct system_time {
        uint32_t version;
        uint32_t pad0;
        uint64_t tsc_timestamp;
        uint64_t system_time;
        uint32_t tsc_to_system_mul;
        int8_t tsc_shift;
        uint8_t flags;
        uint8_t pad[2];
};

struct wall_clock {
        uint32_t version;
        uint32_t sec;
        uint32_t nsec;
};

_Static_assert(sizeof(struct system_time) == 32, "pvclock_vcpu_time_info");
_Static_assert(sizeof(struct wall_clock) == 12, "pvclock_wall_clock");

/*
 * ns = ((ticks << shift) * mul) >> 32. The shift is chosen to bring mul into [2^31, 2^32), where it
 * is most exact: the rate shifted lies in (1, 2] GHz.
 */
int kvmclock_init(struct kvmclock *k, uint32_t tsc_khz, uint64_t base_tsc, uint64_t wall_sec)
{
        uint64_t hz = tsc_khz * 1000ull;
        int8_t shift = 0;

        if (tsc_khz == 0)
                return -EINVAL;
        for (; hz > 2000000000ull; shift--)
                hz >>= 1;
        for (; hz <= 1000000000ull; shift++)
                hz <<= 1;
        *k = (struct kvmclock){.base_tsc = base_tsc, .wall_sec = wall_sec, .shift = shift};
        k->mul = (uint32_t)((1000000000ull << 32) / hz);
        return 0;
}

/* Copy body to a guest structure after its version, which is odd meanwhile. */
static void publish(void *guest, const void *body, size_t size)
{
        uint32_t *version = guest;
        uint32_t odd = (__atomic_load_n(version, __ATOMIC_RELAXED) + 1) | 1;

        __atomic_store_n(version, odd, __ATOMIC_SEQ_CST);
        memcpy(version + 1, body, size);
        __atomic_store_n(version, odd + 1, __ATOMIC_RELEASE);
}

static int write_system_time(struct kvmclock_vcpu *v, const struct kvmclock *k,
                             const struct gmem *mem, uint64_t value)
{
        struct system_time t = {.tsc_timestamp = k->base_tsc,
                                .tsc_to_system_mul = k->mul,
                                .tsc_shift = k->shift,
                                .flags = TSC_STABLE};

        if (value & SYSTEM_TIME_ENABLE) {
                void *guest = gmem_ptr(mem, GPA(value & ~SYSTEM_TIME_ENABLE), sizeof(t));

                if ((value & 2) || guest == NULL)
                        return -EINVAL;
                publish(guest, &t.pad0, sizeof(t) - sizeof(t.version));
        }
        v->system_time_msr = value;
        return 0;
}

static int write_wall_clock(struct kvmclock_vcpu *v, const struct kvmclock *k,
                            const struct gmem *mem, uint64_t value)
{
        struct wall_clock w = {.sec = (uint32_t)k->wall_sec};
        void *guest = gmem_ptr(mem, GPA(value), sizeof(w));

        if ((value & 3) || guest == NULL)
                return -EINVAL;
        publish(guest, &w.sec, sizeof(w) - sizeof(w.version));
        v->wall_clock_msr = value;
        return 0;
}

int kvmclock_msr_read(const struct kvmclock_vcpu *v, uint32_t msr, uint64_t *value)
{
        if (!kvmclock_owns_msr(msr))
                return -EINVAL;
        *value = msr == MSR_KVM_SYSTEM_TIME_NEW ? v->system_time_msr : v->wall_clock_msr;
        return 0;
}

int kvmclock_msr_write(struct kvmclock_vcpu *v, const struct kvmclock *k, const struct gmem *mem,
                       uint32_t msr, uint64_t value)
{
        if (msr == MSR_KVM_SYSTEM_TIME_NEW)
                return write_system_time(v, k, mem, value);
        if (msr == MSR_KVM_WALL_CLOCK_NEW)
                return write_wall_clock(v, k, mem, value);
        return -EINVAL;
}
