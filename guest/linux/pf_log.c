/*
 * Files on ext4-DAX written through MAP_SYNC mappings: pf_log cycle|append|verify FOLDER SEED
 *
 * The folder holds files "log.N", each a row of 64-byte records; a record has its number, the bytes
 * that the seed and the number determine, and last the checksum that makes it valid. cycle appends
 * for ever: each record is made durable with flush and fence, groups are acknowledged, full files
 * are followed by new ones and old ones are unlinked. verify finds the records of the files that
 * are there to be one row without gaps, and tells the newest.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/linux/pf_util.h"

#define FILE_BYTES   (1 << 20)
#define FILE_RECORDS (FILE_BYTES / sizeof(struct record))
#define KEPT_FILES   8
#define ACK_RECORDS  256
#define APPENDED     20000 /* by append: more than one file */

struct record {
        uint64_t number; /* from 1; 0 in the holes of a fresh file */
        uint64_t data[6];
        uint64_t checksum; /* of the words before */
};
_Static_assert(sizeof(struct record) == 64, "a record is a cache line");

static const char name[] = "log";
static uint64_t seed;
static const char *folder;

static void fill_record(struct record *r, uint64_t number)
{
        r->number = number;
        pf_fill(r->data, sizeof(r->data), seed, number);
        r->checksum = pf_checksum(r, offsetof(struct record, checksum));
}

/*
 * Maps file n synchronously: when a write fault returns, the file's metadata are durable too. NULL
 * for a file that was created but has not got its size: the end came in between.
 */
static struct record *map_file(uint64_t n, int create)
{
        char path[256];
        struct record *map;
        struct stat st;
        int fd;

        snprintf(path, sizeof(path), "%s/log.%" PRIu64, folder, n);
        fd = open(path, O_RDWR | (create ? O_CREAT : 0), 0600);
        if (fd < 0)
                pf_fail(name, "%s: %s", path, strerror(errno));
        if (fstat(fd, &st) < 0)
                pf_fail(name, "%s: %s", path, strerror(errno));
        if (!create && st.st_size < FILE_BYTES) {
                close(fd);
                return NULL;
        }
        if (create && posix_fallocate(fd, 0, FILE_BYTES))
                pf_fail(name, "%s: no space for %d bytes", path, FILE_BYTES);
        map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
        if (map == MAP_FAILED)
                pf_fail(name, "MAP_SYNC of %s: %s", path, strerror(errno));
        close(fd);
        return map;
}

static uint64_t file_of(uint64_t number)
{
        return (number - 1) / FILE_RECORDS;
}

/* The lowest and the highest file there is; 0 when there is none. */
static int find_files(uint64_t *low, uint64_t *high)
{
        DIR *d = opendir(folder);
        struct dirent *e;
        uint64_t n;
        int found = 0;

        if (!d)
                pf_fail(name, "%s: %s", folder, strerror(errno));
        while ((e = readdir(d))) {
                if (sscanf(e->d_name, "log.%" SCNu64, &n) != 1)
                        continue;
                if (!found || n < *low)
                        *low = n;
                if (!found || n > *high)
                        *high = n;
                found = 1;
        }
        closedir(d);
        return found;
}

static int record_is(const struct record *r, uint64_t number)
{
        struct record expected;

        fill_record(&expected, number);
        return !memcmp(r, &expected, sizeof(*r));
}

/* The records of file n must be valid from its first on; returns how many are. Only a record that
 * was being written may follow, and then nothing. */
static uint64_t count_records(uint64_t n)
{
        struct record *map = map_file(n, 0);
        uint64_t valid = 0;

        if (!map)
                return 0;
        while (valid < FILE_RECORDS && record_is(&map[valid], n * FILE_RECORDS + valid + 1))
                valid++;
        for (uint64_t i = valid + 1; i < FILE_RECORDS; i++)
                if (map[i].number || map[i].checksum)
                        pf_fail(name,
                                "log.%" PRIu64 ": record %" PRIu64 " after the bad record %" PRIu64,
                                n, i, valid);
        munmap(map, FILE_BYTES);
        return valid;
}

/* The newest record's number. A file that follows one that is not full is damage. */
static uint64_t find_newest(void)
{
        uint64_t low, high;
        uint64_t newest = 0;

        if (!find_files(&low, &high))
                return 0;
        for (uint64_t n = low; n <= high; n++) {
                uint64_t valid = count_records(n);

                if (valid < FILE_RECORDS && n != high)
                        pf_fail(name,
                                "log.%" PRIu64 " has %" PRIu64 " records, but log.%" PRIu64
                                " is there",
                                n, valid, high);
                newest = n * FILE_RECORDS + valid;
        }
        printf("PF-STATE: log newest=%" PRIu64 " files=%" PRIu64 "..%" PRIu64 "\n", newest, low,
               high);
        return newest;
}

static void unlink_old(uint64_t current)
{
        char path[256];

        if (current < KEPT_FILES)
                return;
        snprintf(path, sizeof(path), "%s/log.%" PRIu64, folder, current - KEPT_FILES);
        if (unlink(path) < 0 && errno != ENOENT)
                pf_fail(name, "unlink %s: %s", path, strerror(errno));
}

/* Appends from number on up to last. */
static void append(uint64_t number, uint64_t last)
{
        struct record *map = NULL;
        uint64_t mapped = 0;

        for (; number <= last; number++) {
                struct record *r;

                if (!map || file_of(number) != mapped) {
                        if (map)
                                munmap(map, FILE_BYTES);
                        mapped = file_of(number);
                        map = map_file(mapped, 1);
                        unlink_old(mapped);
                }
                r = &map[(number - 1) % FILE_RECORDS];
                fill_record(r, number);
                pf_persist(r, sizeof(*r));
                if (number % ACK_RECORDS == 0)
                        pf_ack(name, "newest=%" PRIu64, number);
        }
}

int main(int argc, char **argv)
{
        uint64_t newest;

        if (argc != 4)
                pf_fail(name, "usage: pf_log cycle|append|verify FOLDER SEED");
        folder = argv[2];
        seed = strtoull(argv[3], NULL, 0);
        newest = find_newest();
        if (!strcmp(argv[1], "cycle"))
                append(newest + 1, UINT64_MAX);
        if (!strcmp(argv[1], "append")) {
                append(newest + 1, newest + APPENDED);
                return 0;
        }
        printf("PF-TEST: log-verify ok newest=%" PRIu64 "\n", newest);
        return 0;
}
