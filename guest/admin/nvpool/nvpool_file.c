/* The off-line tool's `export` and `import`: a region's contents to and from a file. */
#define _GNU_SOURCE
#include "guest/admin/nvpool/nvpool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/admin/nv/nv_region.h"
#include "mm/pool/pm.h"

#define PIECE (64 * KiB) /* what is zero in pieces of this size becomes a hole */

static int file_failed(const char *path, const char *what)
{
        int err = errno ? errno : EIO;

        tool_say("%s: %s: %s", path, what, strerror(err));
        return -err;
}

static bool is_zero(const uint8_t *at, uint64_t len)
{
        return !at[0] && !memcmp(at, at + 1, len - 1);
}

static int write_all(int fd, const uint8_t *at, uint64_t len)
{
        while (len) {
                ssize_t n = write(fd, at, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return -1;
                at += n;
                len -= (uint64_t)n;
        }
        return 0;
}

/* Write len bytes; zero pieces are skipped in a file that has holes. */
static int write_piece(int fd, const uint8_t *piece, uint64_t len, bool sparse)
{
        if (sparse && is_zero(piece, len))
                return lseek(fd, (off_t)len, SEEK_CUR) < 0 ? -1 : 0;
        return write_all(fd, piece, len);
}

/* Write the region; a file with holes ends cut to size. Bad granules are not read: zero. */
static int write_region(const struct pool *pool, const struct pool_region *region, int fd,
                        bool sparse)
{
        static const uint8_t zero[PIECE];
        uint64_t offset = 0, bad = 0;
        bool any = pool_region_next_bad(pool, region, 0, &bad);

        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent extent = pool_region_extent(pool, region, i);

                for (uint64_t at = 0; at < extent.size; at += PIECE, offset += PIECE) {
                        const uint8_t *piece = (const uint8_t *)extent.base + at;

                        if (any && offset == bad + POOL_GRANULE)
                                any = pool_region_next_bad(pool, region, offset, &bad);
                        if (any && offset >= bad)
                                piece = zero;
                        if (write_piece(fd, piece, PIECE, sparse))
                                return -1;
                }
        }
        return sparse ? ftruncate(fd, (off_t)pool_region_size(region)) : 0;
}

/* What of the region is not in the file. */
static void tell_bad(struct tool *tool, const char *name, const struct pool_region *region)
{
        for (uint64_t at = 0; pool_region_next_bad(&tool->pool, region, at, &at);
             at += POOL_GRANULE) {
                tool_say("region %s: 2 MiB at offset 0x%lx are bad and were not read: zero in the "
                         "file",
                         name, at);
                tool->damaged = true;
        }
}

/* Open what is written to: a new file, with -y also one that is there, but never an image. */
static int open_target(const struct command_call *call, const char *path, bool *sparse)
{
        int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (call->yes ? 0 : O_EXCL);
        struct stat st;
        int fd = open(path, flags, 0600);

        if (fd < 0 && errno == EEXIST) {
                tool_say("%s is there already: -y overwrites it", path);
                return -EEXIST;
        }
        if (fd < 0 || fstat(fd, &st))
                return file_failed(path, "cannot be written");
        if (image_is_open(tool_of(call), fd)) {
                tool_say("%s is the pool's own image", path);
                return -EINVAL;
        }
        *sparse = S_ISREG(st.st_mode);
        if (*sparse && ftruncate(fd, 0))
                return file_failed(path, "cannot be emptied");
        return fd;
}

int tool_export(const struct command_call *call)
{
        struct pool *pool;
        struct pool_region *region;
        const char *path = call->word[1];
        bool to_stdout = strcmp(path, "-") == 0, sparse = false;
        int fd, err = nv_find(call, &pool, &region);

        if (err)
                return err;
        if (pool_region_is_filling(region)) {
                tool_say("region %s was not filled to its end: there is nothing to export",
                         call->word[0]);
                return -EBUSY;
        }
        fd = to_stdout ? STDOUT_FILENO : open_target(call, path, &sparse);
        if (fd < 0)
                return fd;
        if (write_region(pool, region, fd, sparse) ||
            (fsync(fd) && errno != EINVAL && errno != EROFS) || (!to_stdout && close(fd)))
                return file_failed(path, "cannot be written");
        tell_bad(tool_of(call), call->word[0], region);
        if (!to_stdout) {
                struct nv_facts facts = nv_facts(pool, region);

                out_line(call->out, "exported %s, %s, to %s", facts.name, nv_size(facts.size).text,
                         path);
                nv_object(call, &facts);
        }
        return 0;
}

/* Up to len bytes; fewer at the file's end only. -1: errno tells. */
static ssize_t read_all(int fd, uint8_t *at, uint64_t len)
{
        uint64_t got = 0;

        while (got < len) {
                ssize_t n = read(fd, at + got, len - got);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                if (!n)
                        break;
                got += (uint64_t)n;
        }
        return (ssize_t)got;
}

/* Copy the file's bytes to the front of the region, which reads as zero. */
static int fill(const struct pool *pool, const struct pool_region *region, int fd, uint64_t left)
{
        static _Alignas(64) uint8_t piece[PIECE];

        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent extent = pool_region_extent(pool, region, i);

                for (uint64_t at = 0; at < extent.size && left; at += PIECE) {
                        uint64_t want = left < PIECE ? left : PIECE;
                        ssize_t got = read_all(fd, piece, want);

                        if (got >= 0 && (uint64_t)got < want)
                                errno = ENODATA; /* it was shorter in the end */
                        if (got < 0 || (uint64_t)got < want)
                                return -1;
                        memset(piece + want, 0, PIECE - want);
                        if (!is_zero(piece, PIECE))
                                pm_copy((uint8_t *)extent.base + at, piece, PIECE);
                        left -= want;
                }
        }
        return 0;
}

/* Open what is read, and its size. */
static int open_source(const struct command_call *call, const char *path, uint64_t *size)
{
        int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
        off_t end;

        if (fd < 0)
                return file_failed(path, "cannot be read");
        if (image_is_open(tool_of(call), fd)) {
                tool_say("%s is the pool's own image", path);
                return -EINVAL;
        }
        end = lseek(fd, 0, SEEK_END);
        if (end <= 0 || lseek(fd, 0, SEEK_SET) < 0) {
                tool_say("%s: %s", path,
                         end == 0 ? "is empty" : "its size must be known: no pipe can be read");
                return -EINVAL;
        }
        *size = (uint64_t)end;
        return fd;
}

int tool_import(const struct command_call *call)
{
        const char *name = call->word[0], *path = call->word[1];
        const char *owner = call->words > 2 ? call->word[2] : "";
        struct pool *pool = nv_pool(call);
        struct pool_region *region;
        struct nv_facts facts;
        uint64_t bytes = 0;
        int fd, err;

        if (!pool)
                return -ENODEV;
        err = nv_check_name(call, "region", name);
        if (!err && owner[0])
                err = nv_check_name(call, "VM", owner);
        if (err)
                return err;
        fd = open_source(call, path, &bytes);
        if (fd < 0)
                return fd;
        err =
            pool_begin(pool, name, owner, align_up(bytes, POOL_GRANULE), nv_entropy(call), &region);
        if (err)
                return nv_failed(call, pool, NULL, name, align_up(bytes, POOL_GRANULE), err);
        if (fill(pool, region, fd, bytes)) {
                err = file_failed(path, "cannot be read");
                if (pool_delete(pool, region))
                        tool_say("region %s goes at the next start", name);
                return err;
        }
        err = pool_commit(pool, region);
        if (err)
                return nv_failed(call, pool, region, name, 0, err);
        facts = nv_facts(pool, region);
        out_line(call->out, "imported %s, %s, from %s", name, nv_size(facts.size).text, path);
        nv_object(call, &facts);
        return 0;
}
