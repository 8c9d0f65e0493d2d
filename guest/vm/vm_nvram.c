/* A VM's NVRAM regions; contract in vm_nvram.h. */
#include "guest/vm/vm_nvram.h"

#include "guest/vm/vm_refuse.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

/* A region that the VM's line names, and how. */
struct want {
        const char *key;
        const struct config_region *region;
        const struct layout_region *place; /* NULL: it is a disk, */
        struct pool_disk *disk;            /* with this one's device */
};

/* The i-th of them, those that are mapped first; false behind the last. A disk's file is none. */
static bool wanted(const struct vm *vm, size_t i, struct want *want)
{
        const struct vm_config *c = vm->config;

        if (i < c->region_count) {
                *want = (struct want){"nvram", &c->region[i], &vm->layout.region[i], NULL};
                return true;
        }
        i -= c->region_count;
        for (size_t d = 0; d < c->disk_count; d++) {
                if (c->disk[d].file.size || i--)
                        continue;
                *want = (struct want){"disk", &c->disk[d].region, NULL, vm->disk[d]};
                return true;
        }
        return false;
}

static enum pool_access access_of(const struct config_region *region)
{
        return region->read_only ? POOL_READ_ONLY : POOL_READ_WRITE;
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

/* Why a region cannot be had, in words; NULL: it can. exists: NULL, it is to be created. */
static const char *conflict_of(const struct vm *vm, const struct config_region *region,
                               struct pool_region *exists)
{
        struct pool_ref ref;
        int err;

        if (!exists)
                return region->read_only ? "does not exist, and :ro does not create it" : NULL;
        if (pool_region_size(exists) != region->size)
                return "exists with another size";
        ref = pool_ref(exists);
        err = pool_attach(vm->machine->pool, &ref, vm->config->name, access_of(region));
        if (err)
                return attach_error(err);
        pool_detach(&ref, access_of(region));
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

/* How many bytes are to be created; -EINVAL: something cannot be had. */
static int check_wanted(const struct vm *vm, uint64_t *bytes)
{
        struct want want;

        *bytes = 0;
        for (size_t i = 0; wanted(vm, i, &want); i++) {
                struct pool_region *region = pool_find(vm->machine->pool, want.region->name);
                const char *conflict = conflict_of(vm, want.region, region);

                if (conflict) {
                        vm_refuse(vm->config, "%s=%s: the region %s", want.key, want.region->name,
                                  conflict);
                        return -EINVAL;
                }
                *bytes += region ? 0 : want.region->size;
        }
        return 0;
}

int vm_nvram_check(struct vm *vm)
{
        struct pool_usage usage;
        struct want first;
        uint64_t bytes;
        int err;

        if (!wanted(vm, 0, &first))
                return 0;
        if (!vm->machine->pool) {
                vm_refuse(vm->config, "%s=: this machine has no usable NVRAM pool", first.key);
                return -ENODEV;
        }
        err = check_wanted(vm, &bytes);
        if (!err)
                err = check_quota(vm, bytes);
        if (err)
                return err;
        usage = pool_usage(vm->machine->pool);
        if (bytes / POOL_GRANULE > usage.free + usage.dying) {
                vm_refuse(vm->config, "%s=: %lu MiB wanted, %llu MiB free", first.key, bytes / MiB,
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

/* Create a region that does not exist. */
static int create_region(struct vm *vm, const struct want *want, struct pool_region **region)
{
        const struct config_region *c = want->region;
        int err =
            pool_create(vm->machine->pool, c->name, vm->config->name, c->size, cpu_rdtsc(), region);

        if (err)
                vm_refuse(vm->config, "%s=%s: no room in the pool (error %d)", want->key, c->name,
                          -err);
        else
                printk(LOG_NOTICE, "vm %s: created region %s, %lu MiB", vm->config->name, c->name,
                       c->size / MiB);
        return err;
}

static int attach_region(struct vm *vm, const struct want *want)
{
        struct vm_region *attached = &vm->region[vm->regions];
        const char *name = want->region->name;
        struct pool *pool = vm->machine->pool;
        struct pool_region *region = pool_find(pool, name);
        bool created = !region;
        int err = created ? create_region(vm, want, &region) : 0;

        if (err)
                return err;
        *attached = (struct vm_region){pool_ref(region), access_of(want->region), created,
                                       pool_region_is_volatile(pool, region), !want->place};
        err = pool_attach(pool, &attached->ref, vm->config->name, attached->access);
        if (err) {
                vm_refuse(vm->config, "%s=%s: the region %s", want->key, name, attach_error(err));
                return err;
        }
        vm->regions++;
        if (pool_region_bad(pool, region))
                printk(LOG_WARN, "vm %s: region %s holds %lu granules that are on the bad list",
                       vm->config->name, name, pool_region_bad(pool, region));
        if (attached->is_volatile)
                printk(LOG_WARN, "vm %s: region %s is volatile: it does not keep its contents",
                       vm->config->name, name);
        err = want->place ? map_region(vm, want->place, region)
                          : pool_disk_open(want->disk, pool, region);
        if (err == -E2BIG)
                vm_refuse(vm->config, "%s=%s: bad granules part it in too many pieces", want->key,
                          name);
        else if (err)
                vm_refuse(vm->config, "%s=%s: cannot be mapped (error %d)", want->key, name, -err);
        return err;
}

/* The VM is refused: what was created for it goes again, as no guest has seen it. */
static void undo_attach(struct vm *vm)
{
        size_t attached = vm->regions;

        vm_nvram_detach(vm);
        for (size_t i = 0; i < attached; i++) {
                struct pool_region *region = vm->region[i].ref.region;

                if (vm->region[i].created && pool_delete(vm->machine->pool, region))
                        printk(LOG_WARN, "vm %s: region %s, just created, stays", vm->config->name,
                               pool_region_name(region));
        }
}

int vm_nvram_attach(struct vm *vm)
{
        struct want want;
        int err = 0;

        for (size_t i = 0; !err && wanted(vm, i, &want); i++)
                err = attach_region(vm, &want);
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
