/* The off-line tool's images: ranges of files and devices, locked and mapped. */
#define _GNU_SOURCE
#include "guest/admin/nvpool/nvpool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest/text/words.h"

#define HPA_BY_OFFSET UINT64_MAX

/* "@OFFSET[+SIZE][=HPA]" or "=HPA". */
static bool parse_place(struct word place, struct image *image)
{
        struct word offset, size, hpa;

        if (word_split(place, '=', &place, &hpa) && word_size(hpa, &image->hpa))
                return false;
        if (!place.len)
                return true;
        if (word_split(place, '+', &offset, &size) &&
            (word_size(size, &image->size) || !image->size))
                return false;
        return offset.text[0] == '@' &&
               !word_size((struct word){offset.text + 1, offset.len - 1}, &image->offset);
}

bool image_add(struct tool *tool, char *spec)
{
        struct image image = {.path = spec, .fd = -1, .hpa = HPA_BY_OFFSET};
        char *place = strrchr(spec, '@');

        if (tool->images == POOL_RANGES_MAX) {
                tool_say("a pool has %u ranges at most", POOL_RANGES_MAX);
                return false;
        }
        if (!place)
                place = strrchr(spec, '=');
        /* A file that has the whole name is meant; its name may hold any character. */
        if (place && access(spec, F_OK) != 0) {
                if (!parse_place(word_of(place), &image)) {
                        tool_say("%s: PATH[@OFFSET[+SIZE]][=HPA] is expected", spec);
                        return false;
                }
                *place = '\0';
        }
        tool->image[tool->images++] = image;
        return true;
}

static bool same_file(int a, int b)
{
        struct stat x, y;

        return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool image_is_open(const struct tool *tool, int fd)
{
        for (size_t i = 0; i < tool->images; i++)
                if (tool->image[i].fd >= 0 && same_file(tool->image[i].fd, fd))
                        return true;
        return false;
}

/* Has this process a shared, writable mapping of the file? See proc(5), /proc/pid/maps. */
static bool maps_file(const char *pid, const struct stat *file)
{
        char path[64], line[4352];
        bool found = false;
        FILE *maps;

        snprintf(path, sizeof path, "/proc/%.32s/maps", pid);
        maps = fopen(path, "re");
        if (!maps)
                return false;
        while (!found && fgets(line, sizeof line, maps)) {
                unsigned int major_, minor_;
                unsigned long long inode;
                char rights[5];

                found = sscanf(line, "%*x-%*x %4s %*x %x:%x %llu", rights, &major_, &minor_,
                               &inode) == 4 &&
                        strcmp(rights, "rw-s") == 0 && inode == file->st_ino &&
                        makedev(major_, minor_) == file->st_dev;
        }
        fclose(maps);
        return found;
}

static void name_of(const char *pid, char *name, int size)
{
        char path[64];
        FILE *comm;

        snprintf(path, sizeof path, "/proc/%.32s/comm", pid);
        snprintf(name, (size_t)size, "?");
        comm = fopen(path, "re");
        if (!comm)
                return;
        if (fgets(name, size, comm))
                name[strcspn(name, "\n")] = '\0';
        fclose(comm);
}

/*
 * True, with the process told as path's user. Emulators map their machine's memory without a lock;
 * they are found by their mappings, as far as /proc shows them to us.
 */
static bool in_use(int fd, const char *path)
{
        const struct dirent *entry;
        struct stat file;
        char name[32];
        bool found = false;
        DIR *proc;

        if (fstat(fd, &file) || !S_ISREG(file.st_mode))
                return false;
        proc = opendir("/proc");
        if (!proc)
                return false;
        while (!found && (entry = readdir(proc))) {
                long pid = strtol(entry->d_name, NULL, 10);

                found = pid > 0 && pid != (long)getpid() && maps_file(entry->d_name, &file);
                if (found) {
                        name_of(entry->d_name, name, sizeof name);
                        tool_say("%s: in use: process %ld (%s) has it mapped", path, pid, name);
                }
        }
        closedir(proc);
        return found;
}

/* The same file under an earlier range is opened and locked once. */
static bool open_file(struct tool *tool, struct image *image)
{
        int fd = open(image->path, (tool->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

        if (fd < 0) {
                tool_say("%s: %s", image->path, strerror(errno));
                return false;
        }
        for (const struct image *other = tool->image; other < image; other++)
                if (same_file(other->fd, fd)) {
                        close(fd);
                        image->fd = other->fd;
                        return true;
                }
        image->fd = fd;
        if (flock(fd, (tool->writable ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
                tool_say("%s: in use: another nvpool or a running machine has it locked",
                         image->path);
                return false;
        }
        return !in_use(fd, image->path);
}

/* How large the file or device is; 0: it does not tell. */
static uint64_t size_of(int fd)
{
        off_t end = lseek(fd, 0, SEEK_END);

        return end > 0 ? (uint64_t)end : 0;
}

static bool place(struct image *image)
{
        uint64_t end = size_of(image->fd);

        if (!is_aligned(image->offset, PAGE_4K)) {
                tool_say("%s: offset 0x%lx is not a multiple of 4 KiB", image->path, image->offset);
                return false;
        }
        if (!image->size && end > image->offset)
                image->size = end - image->offset;
        if (!image->size || image->size > UINT64_MAX / 2 - image->offset ||
            (end && image->offset + image->size > end)) {
                tool_say(end ? "%s: the range does not lie in it" : "%s: +SIZE is wanted",
                         image->path);
                return false;
        }
        return true;
}

/* The first earlier range that would share addresses with this one. */
static const struct image *shares_hpa(const struct tool *tool, const struct image *image)
{
        for (const struct image *other = tool->image; other < image; other++)
                if (image->hpa < other->hpa + other->size && other->hpa < image->hpa + image->size)
                        return other;
        return NULL;
}

/* HPAs are the offsets; what would lie on an earlier range goes behind it, aligned the same. */
static void choose_hpa(const struct tool *tool, struct image *image)
{
        const struct image *other;

        image->hpa = image->offset;
        while ((other = shares_hpa(tool, image)))
                image->hpa =
                    align_up(other->hpa + other->size, POOL_GRANULE) + image->offset % POOL_GRANULE;
}

static bool overlaps(const struct tool *tool, const struct image *image)
{
        for (const struct image *other = tool->image; other < image; other++)
                if (other->fd == image->fd && other->offset < image->offset + image->size &&
                    image->offset < other->offset + other->size) {
                        tool_say("%s: two ranges overlap", image->path);
                        return true;
                }
        return false;
}

static bool map(struct tool *tool, struct image *image)
{
        int flags = tool->writable ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;

        image->base =
            mmap(NULL, image->size, PROT_READ | PROT_WRITE, flags, image->fd, (off_t)image->offset);
        if (image->base == MAP_FAILED) {
                tool_say("%s: cannot be mapped: %s", image->path, strerror(errno));
                return false;
        }
        if (tool->writable)
                pm_file_add(image->base, image->size);
        return true;
}

bool image_open_all(struct tool *tool)
{
        for (size_t i = 0; i < tool->images; i++) {
                struct image *image = &tool->image[i];

                if (!open_file(tool, image) || !place(image) || overlaps(tool, image) ||
                    !map(tool, image))
                        return false;
                if (image->hpa == HPA_BY_OFFSET)
                        choose_hpa(tool, image);
                if (shares_hpa(tool, image)) {
                        tool_say("%s: HPA 0x%lx is another range's", image->path, image->hpa);
                        return false;
                }
                tool->range[i] = (struct pool_range){
                    .base = image->base, .hpa = HPA(image->hpa), .size = image->size};
        }
        return true;
}
