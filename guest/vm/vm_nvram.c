/* A VM's NVRAM regions; contract in vm_nvram.h. */
#include "guest/vm/vm_nvram.h"

#include "guest/vm/vm_refuse.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

static enum pool_access access_of(const struct layout_region *place)
{
        return place->read_only ? POOL_READ_ONLY : POOL_READ_WRITE;
}

/* What the pool says to an attachment, in words. */
static const char *attach_error(int err)
{
        switch (err) {
        case -EPERM:
                return "belongs to another VM, which has not granted this access";
        case -EBUSY:
                return "is attached elsewhere, or still being filled";
        case -ESTALE:
                return "has changed meanwhile";
        case -EBADMSG:
                return "has a damaged record";
        case -EROFS:
                return "can only be read: the pool is damaged";
        default:
                return "cannot be attached";
        }
}

/* Why a region that exists cannot be had, in words; NULL: it can. */
static const char *conflict_of(const struct vm *vm, const struct layout_region *place,
                               struct pool_region *region)
{
        struct pool_ref ref = pool_ref(region);
        int err;

        if (pool_region_size(region) != place->size)
                return "exists with another size";
        err = pool_attach(vm->machine->pool, &ref, vm->config->name, access_of(place));
        if (err)
                return attach_error(err);
        pool_detach(&ref, access_of(place));
        return NULL;
}

static int check_quota(const struct vm *vm, uint64_t wanted)
{
        uint64_t max = vm->config->nvram_max;
        uint64_t owned;

        if (!max || !wanted)
                return 0;
        owned = pool_owner_bytes(vm->machine->pool, vm->config->name);
        if (owned <= max && wanted <= max - owned)
                return 0;
        vm_refuse(vm->config, "nvram-max=%luM: %lu MiB are owned and %lu MiB more are wanted",
                  max / MiB, owned / MiB, wanted / MiB);
        return -ENOSPC;
}

int vm_nvram_check(struct vm *vm)
{
        struct pool_usage usage;
        uint64_t wanted = 0;
        int err;

        if (!vm->layout.region_count)
                return 0;
        if (!vm->machine->pool) {
                vm_refuse(vm->config, "nvram=: this machine has no usable NVRAM pool");
                return -ENODEV;
        }
        for (size_t i = 0; i < vm->layout.region_count; i++) {
                const struct layout_region *place = &vm->layout.region[i];
                struct pool_region *region = pool_find(vm->machine->pool, place->name);
                const char *conflict = region ? conflict_of(vm, place, region) : NULL;

                if (!region && place->read_only)
                        conflict = "does not exist, and :ro does not create it";
                if (conflict) {
                        vm_refuse(vm->config, "nvram=%s: the region %s", place->name, conflict);
                        return -EINVAL;
                }
                wanted += region ? 0 : place->size;
        }
        err = check_quota(vm, wanted);
        if (err)
                return err;
        usage = pool_usage(vm->machine->pool);
        if (wanted / POOL_GRANULE > usage.free + usage.dying) {
                vm_refuse(vm->config, "nvram=: %lu MiB wanted, %llu MiB free", wanted / MiB,
                          (usage.free + usage.dying) * (POOL_GRANULE / MiB));
                return -ENOSPC;
        }
        return 0;
}

static int map_region(struct vm *vm, const struct layout_region *place,
                      const struct pool_region *region)
{
        unsigned prot = vm->protection & ~(place->read_only ? PAGING_W : 0);
        gpa_t gpa = place->gpa;

        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent e = pool_region_extent(vm->machine->pool, region, i);
                int err = place->read_only ? gmem_add_read_only(&vm->mem, gpa, e.size, e.base)
                                           : gmem_add(&vm->mem, gpa, e.size, e.base);

                if (!err)
                        err = paging_map(&vm->second_level, gpa.v, e.hpa, e.size, prot, PAGING_WB);
                if (err)
                        return err;
                gpa.v += e.size;
        }
        return 0;
}

static int attach_region(struct vm *vm, const struct layout_region *place)
{
        struct pool *pool = vm->machine->pool;
        struct pool_region *region = pool_find(pool, place->name);
        struct vm_region *attached = &vm->region[vm->regions];
        bool created = !region;
        int err;

        if (created) {
                err = pool_create(pool, place->name, vm->config->name, place->size, cpu_rdtsc(),
                                  &region);
                if (err) {
                        vm_refuse(vm->config, "nvram=%s: no room in the pool (error %d)",
                                  place->name, -err);
                        return err;
                }
                printk(LOG_NOTICE, "vm %s: created region %s, %lu MiB", vm->config->name,
                       place->name, place->size / MiB);
        }
        *attached = (struct vm_region){pool_ref(region), access_of(place), created,
                                       pool_region_is_volatile(pool, region)};
        err = pool_attach(pool, &attached->ref, vm->config->name, attached->access);
        if (err) {
                vm_refuse(vm->config, "nvram=%s: the region %s", place->name, attach_error(err));
                return err;
        }
        vm->regions++;
        if (pool_region_bad(pool, region))
                printk(LOG_WARN, "vm %s: region %s holds %lu granules that are on the bad list",
                       vm->config->name, place->name, pool_region_bad(pool, region));
        if (attached->is_volatile)
                printk(LOG_WARN, "vm %s: region %s is volatile: it does not keep its contents",
                       vm->config->name, place->name);
        err = map_region(vm, place, region);
        if (err)
                vm_refuse(vm->config, "nvram=%s: cannot be mapped (error %d)", place->name, -err);
        return err;
}

/* The VM is refused: what was created for it goes again, as no guest has seen it. */
static void undo_attach(struct vm *vm)
{
        size_t attached = vm->regions;

        vm_nvram_detach(vm);
        for (size_t i = 0; i < attached; i++)
                if (vm->region[i].created &&
                    pool_delete(vm->machine->pool, vm->region[i].ref.region))
                        printk(LOG_WARN, "vm %s: region %s, just created, stays", vm->config->name,
                               vm->layout.region[i].name);
}

int vm_nvram_attach(struct vm *vm)
{
        int err = 0;

        for (size_t i = 0; !err && i < vm->layout.region_count; i++)
                err = attach_region(vm, &vm->layout.region[i]);
        if (err)
                undo_attach(vm);
        return err;
}

const char *vm_nvram_domain(const struct vm *vm)
{
        if (vm->machine->pool && pool_is_volatile(vm->machine->pool))
                return "volatile";
        return nfit_domain_word(vm->machine->domain);
}

void vm_nvram_detach(struct vm *vm)
{
        while (vm->regions) {
                const struct vm_region *region = &vm->region[--vm->regions];

                pool_detach(&region->ref, region->access);
        }
}

bool vm_nvram_is_read_only(const struct vm *vm, gpa_t gpa)
{
        for (size_t i = 0; i < vm->layout.region_count; i++) {
                const struct layout_region *place = &vm->layout.region[i];

                if (place->read_only && gpa.v - place->gpa.v < place->size)
                        return true;
        }
        return false;
}
