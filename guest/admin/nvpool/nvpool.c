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

#include "guest/config/config.h"

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
        char *image[POOL_RANGES_MAX + 1];
        size_t images;
        const char *verb;
        const char *word[COMMAND_WORDS_MAX];
        size_t words;
        struct pool_bad bad;
        bool yes, verbose, json, read_only, help;
};

static void print_verbs(const struct command *command, size_t count)
{
        for (size_t i = 0; i < count; i++)
                printf("  %-7s%-20s %s%s\n", command[i].name, command[i].args, command[i].help,
                       command[i].destructive ? " (asks)" : "");
}

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
               "  --          what follows is no option\n\nVerbs:\n");
        print_verbs(nv_commands, nv_command_count);
        print_verbs(own_commands, ARRAY_LEN(own_commands));
        printf("\nStatus: 0 all is well, 1 failure or damage found, 2 wrong usage.\n");
}

/* ---- The command line ---- */

static bool usage_error(const char *what, const char *word)
{
        tool_say("%s%s%s (nvpool --help tells more)", what, *word ? ": " : "", word);
        return false;
}

/* "-64M" and "-" are arguments. */
static bool is_option(const char *word)
{
        return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
}

static bool take_bad(struct pool_bad *bad, const char *value)
{
        return bad->count < ARRAY_LEN(bad->hpa) &&
               !config_parse_size(value, strlen(value), &bad->hpa[bad->count++].v);
}

static bool take_option(struct request *request, char **argv, int *at)
{
        const char *word = argv[*at];
        char *value = argv[*at + 1];

        if (!strcmp(word, "-y")) {
                request->yes = true;
        } else if (!strcmp(word, "-v")) {
                request->verbose = true;
        } else if (!strcmp(word, "-r")) {
                request->read_only = true;
        } else if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
                request->help = true;
        } else if (!strcmp(word, "-b") && value && take_bad(&request->bad, value)) {
                ++*at;
        } else if (!strcmp(word, "-i") && value && request->images <= POOL_RANGES_MAX) {
                request->image[request->images++] = value;
                ++*at;
        } else if (!strcmp(word, "-o") && value &&
                   (!strcmp(value, "json") || !strcmp(value, "text"))) {
                request->json = !strcmp(value, "json");
                ++*at;
        } else {
                return usage_error("wrong option", word);
        }
        return true;
}

/* The first argument is the image; image[0] is kept for it. */
static bool parse(struct request *request, int argc, char **argv)
{
        bool options = true;

        request->images = 1;
        for (int at = 1; at < argc; at++) {
                char *word = argv[at];

                if (options && !strcmp(word, "--")) {
                        options = false;
                } else if (options && is_option(word)) {
                        if (!take_option(request, argv, &at))
                                return false;
                } else if (!request->image[0]) {
                        request->image[0] = word;
                } else if (!request->verb) {
                        request->verb = word;
                } else if (request->words < COMMAND_WORDS_MAX) {
                        request->word[request->words++] = word;
                } else {
                        return usage_error("too many arguments", "");
                }
        }
        if (request->help || request->verb)
                return true;
        return usage_error(request->image[0] ? "no verb" : "no image", "");
}

static const struct command *find(const char *verb, bool *own)
{
        for (size_t i = 0; i < ARRAY_LEN(own_commands); i++) {
                *own = true;
                if (!strcmp(own_commands[i].name, verb))
                        return &own_commands[i];
        }
        for (size_t i = 0; i < nv_command_count; i++) {
                *own = false;
                if (!strcmp(nv_commands[i].name, verb))
                        return &nv_commands[i];
        }
        return NULL;
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

static enum need need_of(const struct request *request)
{
        for (size_t i = 0; i < ARRAY_LEN(needs); i++)
                if (!strcmp(needs[i].verb, request->verb))
                        return request->words ? needs[i].with_words : needs[i].alone;
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

static int run(struct tool *tool, const struct request *request, const struct command *command,
               bool own)
{
        enum need need = need_of(request);
        struct out out = {.put = tool_put, .json = request->json};
        struct command_call call = {.out = &out,
                                    .target = own ? (const void *)tool : &tool->nv,
                                    .words = request->words,
                                    .yes = request->yes,
                                    .verbose = request->verbose};

        tool->writable = need == RAW_WRITE || need == MOUNT_CHANGE;
        if (tool->writable && request->read_only) {
                tool_say("%s would change the pool, and -r was given", request->verb);
                return -EROFS;
        }
        if (command->destructive && !request->yes && !tool_confirm(request->verb))
                return -EPERM;
        if (!image_open_all(tool) || mount_for(tool, need))
                return -EIO;
        memcpy(call.word, request->word, sizeof call.word);
        return command->run(&call);
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
        struct request request = {0};
        const struct command *command;
        bool own;

        if (!parse(&request, argc, argv))
                return STATUS_USAGE;
        if (request.help || !strcmp(request.verb, "help")) {
                print_help();
                return STATUS_GOOD;
        }
        command = find(request.verb, &own);
        if (!command) {
                usage_error("unknown verb", request.verb);
                return STATUS_USAGE;
        }
        if (request.words < command->min || request.words > command->max) {
                tool_say("usage: nvpool IMAGE %s %s", command->name, command->args);
                return STATUS_USAGE;
        }
        for (size_t i = 0; i < request.images; i++)
                if (!image_add(&tool, request.image[i]))
                        return STATUS_USAGE;
        tool.bad = request.bad;
        tool.nv.pool = &tool.pool;
        tool_log_start(request.verbose);
        return status_of(&tool, run(&tool, &request, command, own));
}
