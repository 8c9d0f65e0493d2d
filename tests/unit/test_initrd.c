/* Initrds that are whole, and the same cut at every byte. */
#include "guest/load/initrd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static char archive[4096];
static size_t used;

static void pad(void)
{
        while (used % 4)
                archive[used++] = 0;
}

static void add(const char *name, size_t content)
{
        used += (size_t)sprintf(
            archive + used, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1u, 0u,
            0u, 0u, 1u, 0u, (unsigned)content, 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
        strcpy(archive + used, name);
        used += strlen(name) + 1;
        pad();
        memset(archive + used, 'x', content);
        used += content;
        pad();
}

/* Of a copy that ends where the text ends, so that ASan sees every byte read behind it. */
static const char *look(const void *bytes, size_t size)
{
        uint8_t *copy = malloc(size ? size : 1);
        const char *why;

        memcpy(copy, bytes, size);
        why = initrd_looks_cut(copy, size);
        free(copy);
        return why;
}

static void make(void)
{
        memset(archive, 0, sizeof archive);
        used = 0;
        add("bin", 0);
        add("init", 7);
        add("TRAILER!!!", 0);
}

static void test_cpio(void)
{
        size_t whole;

        make();
        whole = used - 3;                  /* behind it is padding */
        CHECK(!look(archive, used + 512)); /* filled up with zeros */
        for (size_t size = 6; size < whole; size++)
                CHECK(look(archive, size) && strstr(look(archive, size), "trailer"));
        CHECK(!look(archive, whole));
        memset(archive + used, 0xfd, 64); /* behind the archive stands another file */
        CHECK(!look(archive, used + 64));
        memcpy(archive + 94, "FFFFFFFF", 8);
        CHECK(look(archive, used));
        make();
        memcpy(archive + 54, "FFFFFFFF", 8);
        CHECK(look(archive, used));
        make();
        memcpy(archive + 54, "0000000x", 8);
        CHECK(look(archive, used));
}

static void test_others(void)
{
        static const char gzip[20] = "\x1f\x8b\x08";

        CHECK(strstr(look("", 0), "zeros"));
        CHECK(strstr(look("\0\0\0", 3), "zeros"));
        CHECK(strstr(look(gzip, 19), "gzip"));
        CHECK(!look(gzip, 20));
        CHECK(!look("\xfd"
                    "7zXZ",
                    5));
        CHECK(!look("0", 1));
}

int main(void)
{
        RUN(test_cpio);
        RUN(test_others);
        return unit_done();
}
