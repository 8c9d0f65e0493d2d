/* Machine checks on NVRAM; contract in damage.h. */
#include "guest/exec/damage.h"

#include "guest/vm/vcpu.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"

static void report_bad(uint64_t at, int err)
{
        if (!err)
                printk(LOG_ERROR, "mce: NVRAM at 0x%lx is damaged: its granule is on the bad list",
                       at);
        else if (err == -EEXIST)
                printk(LOG_WARN, "mce: NVRAM at 0x%lx, which is on the bad list, was used", at);
        else if (err == -ENOTSUP)
                printk(LOG_ERROR,
                       "mce: NVRAM at 0x%lx is damaged: it holds the pool's metadata; started with "
                       "nvram-bad=0x%lx the pool is read only, and what it holds can be saved",
                       at, at);
        else
                printk(LOG_ERROR,
                       "mce: NVRAM at 0x%lx is damaged, and cannot be put on the bad list (error "
                       "%d)",
                       at, -err);
}

bool damage_next(struct pool *pool, struct mce_place *place)
{
        uint64_t first, end;

        if (!mce_take(place))
                return false;
        first = align_down(place->hpa.v, POOL_GRANULE);
        end = place->hpa.v + (1ull << place->order);
        for (uint64_t at = first; at < end; at += POOL_GRANULE)
                report_bad(at > place->hpa.v ? at : place->hpa.v,
                           pool ? pool_add_bad(pool, HPA(at)) : -ENODEV);
        return true;
}

/* The first byte of an extent that is bad, as an offset into it; its size or more: none. */
static uint64_t first_bad(const struct pool_extent *extent, const struct mce_place *place)
{
        uint64_t end = place->hpa.v + (1ull << place->order);

        if (end <= extent->hpa.v)
                return extent->size;
        return place->hpa.v > extent->hpa.v ? place->hpa.v - extent->hpa.v : 0;
}

void damage_tell(struct vm *vm, const struct mce_place *place)
{
        for (size_t i = 0; i < vm->regions && !vm->region[i].disk; i++) {
                const struct pool_region *region = vm->region[i].ref.region;
                uint64_t gpa = vm->layout.region[i].gpa.v;

                for (size_t k = 0; k < pool_region_extents(region); k++) {
                        struct pool_extent e = pool_region_extent(vm->machine->pool, region, k);
                        uint64_t offset = first_bad(&e, place);

                        if (offset < e.size) {
                                printk(LOG_ERROR, "vm %s: region %s is damaged at 0x%lx",
                                       vm->config->name, vm->layout.region[i].name, gpa + offset);
                                spin_lock(&vm->devices);
                                mca_add(&vm->mca, GPA(gpa + offset));
                                spin_unlock(&vm->devices);
                        }
                        gpa += e.size;
                }
        }
}

int damage_offer(struct vm_vcpu *v)
{
        struct mca *mca = &v->vm->mca;
        bool due, on;

        spin_lock(&v->vm->devices);
        due = mca_is_due(mca);
        on = mca_is_on(mca);
        spin_unlock(&v->vm->devices);
        if (!due)
                return 0;
        /* CR4 alone does not tell: SVM keeps this bit set for the hypervisor's own machine checks
         */
        if (!on || !(virt->get_cr4(&v->vcpu) & CR4_MCE))
                return -ENOTSUP;
        if (!virt->can_take_irq(&v->vcpu)) {
                virt->want_irq_window(&v->vcpu, true);
                return 0;
        }
        spin_lock(&v->vm->devices);
        mca_raise(mca);
        spin_unlock(&v->vm->devices);
        virt->inject_exception(&v->vcpu, VECTOR_MC, 0);
        v->activity = VCPU_RUNS;
        return 0;
}
