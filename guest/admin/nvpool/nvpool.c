/*
 * nvpool: administers an NVRAM pool without the hypervisor, in an image file, a block device or a
 * range of a device under Linux, by the hypervisor's own code. This file reads the command line,
 * opens what the verb needs and runs it.
 */
#define _GNU_SOURCE
#include "guest/admin/nvpool/nvpool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "guest/text/words.h"

#define STATUS_GOOD    0
#define STATUS_FAILURE 1
#define STATUS_USAGE   2

/* clang-format off */
static const struct command own_commands[] = {
        {"info", "", "what lies in each range, and why a pool cannot be mounted",
         0, 0, false, 0, tool_info},
        {"format", "", "make the ranges a new pool; -y: also over what they hold",
         0, 0, false, 0, tool_format},
        {"export", "NAME FILE", "write a region to a file (-: standard output), with holes",
         2, 2, false, 0, tool_export},
        {"import", "NAME FILE [OWNER]", "a new region with the contents of a file",
         2, 3, false, 0, tool_import},
        {"repair", "", "give up damaged records; tells which, and asks",
         0, 0, false, 0, tool_repair},
};
/* clang-format on */

/* What a verb needs: alone, and with arguments. What is not listed changes a mounted pool. */
enum need { RAW_READ, RAW_WRITE, MOUNT_READ, MOUNT_JUDGE, MOUNT_CHANGE };

static const struct {
        const char *verb;
        enum need alone, with_words;
} needs[] = {
    {"info", RAW_READ, RAW_READ},         {"format", RAW_WRITE, RAW_WRITE},
    {"repair", RAW_WRITE, RAW_WRITE},     {"list", MOUNT_READ, MOUNT_READ},
    {"show", MOUNT_READ, MOUNT_READ},     {"export", MOUNT_READ, MOUNT_READ},
    {"check", MOUNT_JUDGE, MOUNT_CHANGE}, {"bad", MOUNT_READ, MOUNT_CHANGE},
    {"scrub", MOUNT_READ, MOUNT_CHANGE},
};

/* The command line, read. */
struct request {
        char *image[POOL_RANGES_MAX + 1]; /* the first is the argument, the others are -i's */
        size_t images;
        struct command_line line;
        struct pool_bad bad;
        bool read_only, help;
};

static void print_help(void)
{
        printf("usage: nvpool [OPTIONS] IMAGE VERB [ARGUMENTS]\n"
               "Administers a Permafrost NVRAM pool off-line.\n\n"
               "IMAGE is PATH[@OFFSET[+SIZE]][=HPA]: a file, block device or /dev/mem, and which\n"
               "part of it; HPA is the address of that part in the machine, the offset unless\n"
               "given. Sizes and offsets take K, M, G, T and 0x.\n\n"
               "  -b HPA      memory at this address is bad: do not read it\n"
               "  -i IMAGE    one more range of the same pool\n"
               "  -o json     output for programs (text: for people)\n"
               "  -r          write nothing: verbs that change the pool are refused\n"
               "  -v          more: UUIDs, the whole log; check: read free space, too\n"
               "  -y          do not ask\n"
               "  --          what follows is no option\n\n"
               "Status: 0 all is well, 1 failure or damage found, 2 wrong usage.\n\n");
}

/* ---- The command line ---- */

static bool usage_error(const char *what, const char *word)
{
        tool_say("%s%s%s (nvpool --help tells more)", what, *word ? ": " : "", word);
        return false;
}

static bool take_bad(struct pool_bad *bad, const char *value)
{
        return bad->count < ARRAY_LEN(bad->hpa) &&
               !word_size(word_of(value), &bad->hpa[bad->count++].v);
}

/* The options that the monitor does not have. false: it is none of them, or its value is wrong. */
static bool take_option(struct request *request, char **argv, int *at)
{
        const char *word = argv[*at];
        char *value = argv[*at + 1];

        if (!strcmp(word, "-r"))
                request->read_only = true;
        else if (!strcmp(word, "-h") || !strcmp(word, "--help"))
                request->help = true;
        else if (!strcmp(word, "-b") && value && take_bad(&request->bad, value))
                ++*at;
        else if (!strcmp(word, "-i") && value && request->images <= POOL_RANGES_MAX)
                request->image[request->images++] = argv[++*at];
        else
                return false;
        return true;
}

static bool parse(struct request *request, int argc, char **argv)
{
        struct command_line *line = &request->line;
        bool options = true;

        request->images = 1;
        for (int at = 1; at < argc; at++) {
                bool is_value = line->wants_format;
                bool is_option = options && !is_value && argv[at][0] == '-';

                if (is_option && !strcmp(argv[at], "--"))
                        options = false;
                else if (is_option && take_option(request, argv, &at))
                        continue;
                else if (!is_value && !is_option && !request->image[0])
                        request->image[0] = argv[at];
                else if (command_add_word(line, argv[at], options))
                        return usage_error(line->why, line->what);
        }
        if (request->help || (line->words && !line->wants_format))
                return true;
        return usage_error(!request->image[0] ? "no image" : "no verb, or no format after -o", "");
}

/* ---- Running ---- */

static uint64_t entropy(void)
{
        uint64_t bits;

        if (getrandom(&bits, sizeof bits, 0) != sizeof bits) {
                tool_say("no random numbers: %s", strerror(errno));
                exit(STATUS_FAILURE);
        }
        return bits;
}

static enum need need_of(const struct command *command, size_t words)
{
        for (size_t i = 0; i < ARRAY_LEN(needs); i++)
                if (!strcmp(needs[i].verb, command->name))
                        return words ? needs[i].with_words : needs[i].alone;
        return MOUNT_CHANGE;
}

static int mount_for(struct tool *tool, enum need need)
{
        switch (need) {
        case MOUNT_READ:
                return tool_mount_to_read(tool, false);
        case MOUNT_JUDGE:
                return tool_mount_to_read(tool, true);
        case MOUNT_CHANGE:
                return tool_mount_to_change(tool);
        default:
                return 0;
        }
}

static int ready(void *ctx, const struct command *command, const struct command_call *call)
{
        struct tool *tool = ctx;
        enum need need = need_of(command, call->words);

        tool->writable = need == RAW_WRITE || need == MOUNT_CHANGE;
        if (tool->writable && tool->read_only) {
                tool_say("%s would change the pool, and -r was given", command->name);
                return -EROFS;
        }
        return !image_open_all(tool) || mount_for(tool, need) ? -EIO : 0;
}

static bool confirm(void *ctx, const char *verb)
{
        (void)ctx;
        return tool_confirm(verb);
}

static int status_of(const struct tool *tool, int err)
{
        if (fflush(stdout) || ferror(stdout)) {
                tool_say("standard output: %s", strerror(errno));
                return STATUS_FAILURE;
        }
        if (err == -EINVAL)
                return STATUS_USAGE;
        return err || tool->damaged ? STATUS_FAILURE : STATUS_GOOD;
}

int main(int argc, char **argv)
{
        static struct tool tool = {.nv = {.entropy = entropy}};
        static struct request request;
        const struct command_table tables[] = {{"", nv_commands, nv_command_count, &tool},
                                               {"", own_commands, ARRAY_LEN(own_commands), &tool}};
        const struct command_set set = {tables, ARRAY_LEN(tables), confirm, NULL, ready, &tool};
        struct out out = {.put = tool_put};

        if (!parse(&request, argc, argv))
                return STATUS_USAGE;
        if (request.help) {
                print_help();
                return status_of(&tool, command_run(&set, "help", &out));
        }
        for (size_t i = 0; i < request.images; i++)
                if (!image_add(&tool, request.image[i]))
                        return STATUS_USAGE;
        tool.bad = request.bad;
        tool.read_only = request.read_only;
        tool.nv.pool = &tool.pool;
        out.json = request.line.json;
        tool_log_start(request.line.verbose);
        return status_of(&tool, command_run_words(&set, &request.line, request.line.word[0], &out));
}
