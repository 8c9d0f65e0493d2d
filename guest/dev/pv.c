/* KVM's paravirtual interrupts, steal time and hypercalls; contract in pv.h. */
#include "guest/dev/pv.h"

#include "guest/dev/vlapic.h"
#include "hv/lib/errno.h"
#include "hv/virt.h"

#define MSR_ENABLE     1ull
#define STEAL_RESERVED 0x3eull /* below 64-byte alignment, but for the enable bit */
#define EOI_RESERVED   0x2ull
#define EOI_BYTES      4
#define EOI_PENDING    1u

#define PREEMPTED 1u /* kvm_steal_time.preempted, KVM_VCPU_PREEMPTED */
#define FLUSH_TLB 2u /* KVM_VCPU_FLUSH_TLB, set by other vCPUs while PREEMPTED is */

#define ICR_SHORTHAND  0xc0000u
#define ICR_LOGICAL    0x800u
#define ICR_FIXED_BITS (ICR_SHORTHAND | ICR_LOGICAL)

/* The ABI's layout; version is odd while the rest is written. */
struct kvm_steal_time {
        uint64_t steal; /* ns */
        uint32_t version;
        uint32_t flags;
        uint8_t preempted;
        uint8_t pad8[3];
        uint32_t pad[11];
};

_Static_assert(sizeof(struct kvm_steal_time) == 64, "kvm_steal_time");
_Static_assert(offsetof(struct kvm_steal_time, version) == 8, "kvm_steal_time.version");
_Static_assert(offsetof(struct kvm_steal_time, flags) == 12, "kvm_steal_time.flags");
_Static_assert(offsetof(struct kvm_steal_time, preempted) == 16, "kvm_steal_time.preempted");

uint32_t pv_features(unsigned vcpus, bool ends_exit)
{
        uint32_t f = KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 |
                     KVM_FEATURE_CLOCKSOURCE_STABLE | KVM_FEATURE_STEAL_TIME;

        if (ends_exit)
                f |= KVM_FEATURE_PV_EOI;
        if (vcpus > 1)
                f |= KVM_FEATURE_PV_SEND_IPI | KVM_FEATURE_PV_UNHALT | KVM_FEATURE_PV_TLB_FLUSH |
                     KVM_FEATURE_PV_SCHED_YIELD;
        return f;
}

void pv_reset(struct pv_vcpu *pv)
{
        *pv = (struct pv_vcpu){.stolen_ns = pv->stolen_ns};
}

static uint32_t feature_of(uint32_t msr)
{
        return msr == MSR_KVM_STEAL_TIME ? KVM_FEATURE_STEAL_TIME : KVM_FEATURE_PV_EOI;
}

int pv_msr_read(const struct pv_vcpu *pv, uint32_t features, uint32_t msr, uint64_t *value)
{
        if (!pv_owns_msr(msr) || !(features & feature_of(msr)))
                return -EINVAL;
        *value = msr == MSR_KVM_STEAL_TIME ? pv->steal_msr : pv->eoi_msr;
        return 0;
}

static void publish_steal(const struct pv_vcpu *pv)
{
        struct kvm_steal_time *s = pv->steal;
        uint32_t odd = (__atomic_load_n(&s->version, __ATOMIC_RELAXED) + 1) | 1;

        __atomic_store_n(&s->version, odd, __ATOMIC_SEQ_CST);
        __atomic_store_n(&s->flags, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&s->steal, pv->stolen_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&s->version, odd + 1, __ATOMIC_RELEASE);
}

static int write_steal(struct pv_vcpu *pv, const struct gmem *mem, uint64_t value)
{
        struct kvm_steal_time *s = NULL;

        if (value & STEAL_RESERVED)
                return -EINVAL;
        if (value & MSR_ENABLE) {
                s = gmem_ptr(mem, GPA(value & ~MSR_ENABLE), sizeof *s);
                if (!s)
                        return -EINVAL;
        }
        pv->steal_msr = value;
        pv->steal = s;
        if (s) {
                __atomic_store_n(&s->preempted, 0, __ATOMIC_RELAXED);
                publish_steal(pv);
        }
        return 0;
}

static int write_eoi(struct pv_vcpu *pv, const struct gmem *mem, uint64_t value)
{
        uint8_t *flag = NULL;

        if (value & EOI_RESERVED)
                return -EINVAL;
        if (value & MSR_ENABLE) {
                flag = gmem_ptr(mem, GPA(value & ~MSR_ENABLE), EOI_BYTES);
                if (!flag)
                        return -EINVAL;
        }
        pv->eoi_msr = value;
        pv->eoi = flag;
        pv->eoi_offered = false;
        return 0;
}

int pv_msr_write(struct pv_vcpu *pv, uint32_t features, const struct gmem *mem, uint32_t msr,
                 uint64_t value)
{
        if (!pv_owns_msr(msr) || !(features & feature_of(msr)))
                return -EINVAL;
        return msr == MSR_KVM_STEAL_TIME ? write_steal(pv, mem, value) : write_eoi(pv, mem, value);
}

void pv_eoi_enter(struct pv_vcpu *pv, bool may_wait)
{
        if (!pv->eoi || pv->eoi_offered == may_wait)
                return;
        if (may_wait)
                __atomic_fetch_or(pv->eoi, EOI_PENDING, __ATOMIC_RELAXED);
        else
                __atomic_fetch_and(pv->eoi, (uint8_t)~EOI_PENDING, __ATOMIC_RELAXED);
        pv->eoi_offered = may_wait;
}

bool pv_eoi_taken(struct pv_vcpu *pv)
{
        if (__atomic_load_n(pv->eoi, __ATOMIC_RELAXED) & EOI_PENDING)
                return false;
        pv->eoi_offered = false;
        return true;
}

void pv_steal_begin(struct pv_vcpu *pv)
{
        if (pv->steal)
                __atomic_store_n(&pv->steal->preempted, PREEMPTED, __ATOMIC_SEQ_CST);
}

bool pv_steal_end(struct pv_vcpu *pv, uint64_t stolen_ns)
{
        uint8_t was;

        pv->stolen_ns += stolen_ns;
        if (!pv->steal)
                return false;
        was = __atomic_exchange_n(&pv->steal->preempted, 0, __ATOMIC_SEQ_CST);
        if (stolen_ns)
                publish_steal(pv);
        return was & FLUSH_TLB;
}

static unsigned count_bits(uint64_t set)
{
        unsigned n = 0;

        for (; set; set &= set - 1)
                n++;
        return n;
}

/* Leave only the vCPUs that exist; returns how many are left. */
static unsigned keep_existing(struct pv_call *call, unsigned vcpus)
{
        unsigned room = call->first_id < vcpus ? vcpus - call->first_id : 0;

        for (unsigned i = 0; i < ARRAY_LEN(call->targets); i++) {
                unsigned bits = room < 64 ? room : 64;

                if (bits < 64)
                        call->targets[i] &= (1ull << bits) - 1;
                room -= bits;
        }
        return count_bits(call->targets[0]) + count_bits(call->targets[1]);
}

/* RBX, RCX: the bitmap; RDX: the APIC ID of its bit 0; RSI: an ICR. Returns how many get it. */
static int64_t decode_ipi(const uint64_t *regs, unsigned vcpus, struct pv_call *call)
{
        uint64_t icr = regs[REG_RSI];
        unsigned count;

        *call = (struct pv_call){.verb = PV_IPI,
                                 .first_id = (uint32_t)regs[REG_RDX],
                                 .targets = {regs[REG_RBX], regs[REG_RCX]},
                                 .mode = icr >> 8 & 7,
                                 .vector = icr & 0xff};
        if (icr & ICR_FIXED_BITS || (call->mode != APIC_FIXED && call->mode != APIC_NMI) ||
            (call->mode == APIC_FIXED && call->vector < 16))
                return -KVM_EINVAL;
        count = keep_existing(call, vcpus);
        if (count == 0)
                call->verb = PV_NOTHING;
        return count;
}

static int64_t decode_one(enum pv_verb verb, uint64_t id, unsigned vcpus, struct pv_call *call)
{
        if (id >= vcpus)
                return -KVM_EINVAL;
        *call = (struct pv_call){.verb = verb, .id = (uint32_t)id};
        return 0;
}

int64_t pv_hypercall(const uint64_t *regs, unsigned cpl, uint32_t features, unsigned vcpus,
                     struct pv_call *call)
{
        int64_t result = -KVM_ENOSYS;

        *call = (struct pv_call){.verb = PV_NOTHING};
        if (cpl != 0)
                return -KVM_EPERM;
        if (regs[REG_RAX] == KVM_HC_KICK_CPU && features & KVM_FEATURE_PV_UNHALT)
                result = decode_one(PV_KICK, regs[REG_RCX], vcpus, call);
        else if (regs[REG_RAX] == KVM_HC_SEND_IPI && features & KVM_FEATURE_PV_SEND_IPI)
                result = decode_ipi(regs, vcpus, call);
        else if (regs[REG_RAX] == KVM_HC_SCHED_YIELD && features & KVM_FEATURE_PV_SCHED_YIELD)
                result = decode_one(PV_YIELD, regs[REG_RBX], vcpus, call);
        if (result < 0)
                call->verb = PV_NOTHING;
        return result;
}
