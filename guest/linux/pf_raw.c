/*
 * A seeded pattern over a whole raw region: pf_raw write|cycle|verify DEVICE SEED
 *
 * The region is a row of 64 KiB chunks. A chunk's first words are its generation, its index and the
 * checksum of the rest, which the seed, the generation and the index determine. write fills the
 * region once as generation 1; cycle goes on round after round for ever, acknowledging each chunk
 * group when it is durable; verify reads all of it: at any moment of a round the chunks are of one
 * generation up to some point and of the one before after it, and only the chunk at that point may
 * be torn.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "guest/linux/pf_util.h"

#define CHUNK_BYTES (64 << 10)
#define ACK_CHUNKS  16

struct chunk {
        uint64_t generation;
        uint64_t index;
        uint64_t seed;
        uint64_t checksum; /* of body */
        uint64_t body[CHUNK_BYTES / 8 - 4];
};
_Static_assert(sizeof(struct chunk) == CHUNK_BYTES, "a chunk fills its place");

static const char name[] = "raw";
static struct chunk *chunk;
static uint64_t chunks;
static int device;
static uint64_t seed;

static void fill_chunk(struct chunk *c, uint64_t generation, uint64_t index)
{
        c->generation = generation;
        c->index = index;
        c->seed = seed;
        pf_fill(c->body, sizeof(c->body), seed + generation, index);
        c->checksum = pf_checksum(c->body, sizeof(c->body));
}

/* Is the chunk whole: its own words agree with its body, and the body is what the seed says? */
static int chunk_is_whole(const struct chunk *c, uint64_t index)
{
        static struct chunk expected;

        if (c->index != index || c->seed != seed)
                return 0;
        fill_chunk(&expected, c->generation, index);
        return !memcmp(c, &expected, sizeof(*c));
}

static void write_round(uint64_t generation, uint64_t from)
{
        for (uint64_t i = from; i < chunks; i++) {
                fill_chunk(chunk, generation, i);
                /* O_DIRECT | O_DSYNC: the chunk is in NVRAM when the call returns. */
                if (pwrite(device, chunk, CHUNK_BYTES, (off_t)(i * CHUNK_BYTES)) != CHUNK_BYTES)
                        pf_fail(name, "write of chunk %" PRIu64 ": %s", i, strerror(errno));
                if ((i + 1) % ACK_CHUNKS == 0 || i + 1 == chunks)
                        pf_ack(name, "generation=%" PRIu64 " chunks=%" PRIu64, generation, i + 1);
        }
}

/* The generation of each chunk, 0 for one that is not whole; returns the newest of them. */
static uint64_t read_generations(uint64_t *of, uint64_t *checksum)
{
        uint64_t newest = 0;

        *checksum = 0;
        for (uint64_t i = 0; i < chunks; i++) {
                if (pread(device, chunk, CHUNK_BYTES, (off_t)(i * CHUNK_BYTES)) != CHUNK_BYTES)
                        pf_fail(name, "read of chunk %" PRIu64 ": %s", i, strerror(errno));
                of[i] = chunk_is_whole(chunk, i) ? chunk->generation : 0;
                *checksum = *checksum * 31 + chunk->checksum;
                if (of[i] > newest)
                        newest = of[i];
        }
        return newest;
}

/* Finds how far the newest round came: its generation and the number of its chunks. Fails on
 * anything else. */
static void find_state(uint64_t *generation, uint64_t *done)
{
        uint64_t *of = calloc(chunks, sizeof(*of));
        uint64_t checksum;

        if (!of)
                pf_fail(name, "no memory for %" PRIu64 " chunks", chunks);
        *generation = read_generations(of, &checksum);
        if (of[0] == 0) /* torn at the very start of a round */
                ++*generation;
        for (*done = 0; *done < chunks && of[*done] == *generation; ++*done)
                continue;
        for (uint64_t i = *done; i < chunks; i++)
                if (of[i] != *generation - 1 && (i != *done || of[i] != 0))
                        pf_fail(name,
                                "chunk %" PRIu64 " has generation %" PRIu64
                                " (0: not whole), the round %" PRIu64 " came to chunk %" PRIu64,
                                i, of[i], *generation, *done);
        printf("PF-STATE: raw generation=%" PRIu64 " chunks=%" PRIu64 " of=%" PRIu64
               " checksum=%016" PRIx64 "\n",
               *generation, *done, chunks, checksum);
        free(of);
}

static void open_device(const char *path)
{
        uint64_t bytes = 0;

        device = open(path, O_RDWR | O_DIRECT | O_DSYNC);
        if (device < 0 || ioctl(device, BLKGETSIZE64, &bytes) < 0)
                pf_fail(name, "%s: %s", path, strerror(errno));
        chunks = bytes / CHUNK_BYTES;
        if (chunks < 2 || posix_memalign((void **)&chunk, 4096, CHUNK_BYTES))
                pf_fail(name, "%s has %" PRIu64 " bytes only", path, bytes);
}

int main(int argc, char **argv)
{
        uint64_t generation, done;

        if (argc != 4)
                pf_fail(name, "usage: pf_raw write|cycle|verify DEVICE SEED");
        seed = strtoull(argv[3], NULL, 0);
        open_device(argv[2]);
        if (!strcmp(argv[1], "write")) {
                write_round(1, 0);
                printf("PF-TEST: raw-write ok chunks=%" PRIu64 "\n", chunks);
                return 0;
        }
        find_state(&generation, &done);
        if (!strcmp(argv[1], "verify")) {
                printf("PF-TEST: raw-verify ok generation=%" PRIu64 "\n", generation);
                return 0;
        }
        for (;; generation++, done = 0)
                write_round(generation, done);
}
