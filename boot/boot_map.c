/* The loader's memory map; contract in boot_map.h. */
#include "boot/boot_map.h"

#include "mm/memmap.h"

static bool wraps(const struct boot_map_entry *e)
{
        return e->size > UINT64_MAX - e->start;
}

static uint64_t end_of(const struct boot_map_entry *e)
{
        return wraps(e) ? UINT64_MAX : e->start + e->size;
}

static bool is_ram(const struct boot_map_entry *e)
{
        return memmap_kind_of_e820(e->type) == MEM_RAM;
}

/* Let an entry that touches the new one and means the same grow by it. */
static bool join(struct boot_info *info, const struct boot_map_entry *new)
{
        for (size_t i = info->map_count; i-- > 0;) {
                struct boot_map_entry *e = &info->map[i];
                bool behind = end_of(e) == new->start, before = end_of(new) == e->start;

                if (e->source != new->source || e->type != new->type ||
                    e->efi_type != new->efi_type || !(behind || before) || wraps(e) || wraps(new))
                        continue;
                e->start = behind ? e->start : new->start;
                e->size += new->size;
                return true;
        }
        return false;
}

static struct boot_map_entry *smallest_ram(struct boot_info *info)
{
        struct boot_map_entry *found = NULL;

        for (size_t i = 0; i < info->map_count; i++)
                if (is_ram(&info->map[i]) && (!found || info->map[i].size < found->size))
                        found = &info->map[i];
        return found;
}

static void leave_out(struct boot_info *info, uint64_t bytes)
{
        info->map_left++;
        info->map_left_bytes += bytes;
}

/* The last entry becomes a reservation of itself, the new one and what is between them. */
static void reserve_all(struct boot_info *info, const struct boot_map_entry *new)
{
        struct boot_map_entry *last = &info->map[info->map_count - 1];
        uint64_t start = last->start < new->start ? last->start : new->start;
        uint64_t end = end_of(last) > end_of(new) ? end_of(last) : end_of(new);

        *last = *new;
        last->start = start;
        last->size = end - start;
}

static void make_room(struct boot_info *info, const struct boot_map_entry *new)
{
        struct boot_map_entry *victim = smallest_ram(info);

        if (victim && (!is_ram(new) || victim->size < new->size)) {
                leave_out(info, victim->size);
                *victim = *new;
                return;
        }
        leave_out(info, new->size);
        if (!is_ram(new) && !memmap_is_nvram(memmap_kind_of_e820(new->type)))
                reserve_all(info, new);
}

void boot_map_add(struct boot_info *info, const struct boot_map_entry *entry)
{
        if (!entry->size || join(info, entry))
                return;
        if (info->map_count < BOOT_MAP_MAX)
                info->map[info->map_count++] = *entry;
        else
                make_room(info, entry);
}
