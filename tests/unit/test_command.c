/* Commands: words, options, checks before a verb runs, help, completion. */
#include "guest/text/command.h"

#include <errno.h>

#include "hv/lib/types.h"
#include "tests/unit/json_check.h"
#include "tests/unit/text_sink.h"
#include "tests/unit/unit.h"

static struct text_sink sink;
static struct command_call last; /* of the verb that ran */
static char words[COMMAND_WORDS_MAX][COMMAND_LINE_SIZE];
static bool last_json;
static unsigned calls, asked;
static bool answer;

static int record(const struct command_call *call)
{
        calls++;
        last = *call;
        last_json = call->out->json;
        for (size_t i = 0; i < call->words; i++)
                snprintf(words[i], sizeof words[i], "%s", call->word[i]);
        return call->words && strcmp(call->word[0], "fail") == 0 ? -ENOENT : 0;
}

static const struct command plain[] = {
    {"map", "", "show the map", 0, 0, false, 0, record},
    {"mem", "", "show the memory", 0, 0, false, 0, record},
    {"echo", "[WORD...]", "take words", 0, COMMAND_WORDS_MAX, false, 0, record},
    {"poweroff", "", "switch off", 0, 0, true, 0, record},
};
static const struct command vm[] = {
    {"list", "", "show VMs", 0, 0, false, 0, record},
    {"start", "NAME", "start one", 1, 1, false, COMMAND_COMPLETE_VM, record},
    {"stop", "NAME", "stop one", 1, 1, true, COMMAND_COMPLETE_VM, record},
};
static const struct command nv[] = {
    {"give", "REGION VM", "give away", 2, 2, false, COMMAND_COMPLETE_REGION | COMMAND_COMPLETE_VM,
     record},
};
static int plain_target, vm_target;
static const struct command_table tables[] = {
    {"", plain, ARRAY_LEN(plain), &plain_target},
    {"vm", vm, ARRAY_LEN(vm), &vm_target},
    {"nv", nv, ARRAY_LEN(nv), NULL},
};

static bool confirm(void *ctx, const char *line)
{
        CHECK(ctx == &asked);
        CHECK(strstr(line, "stop") || strstr(line, "poweroff"));
        asked++;
        return answer;
}

static const char *name(void *ctx, unsigned kind, size_t i)
{
        static const char *const regions[] = {"db-data", "db-log", NULL};
        static const char *const vms[] = {"db", "web", NULL};

        CHECK(ctx == &asked);
        return kind == COMMAND_COMPLETE_REGION ? regions[i] : vms[i];
}

static struct command_set set = {tables, ARRAY_LEN(tables), confirm, name, NULL, &asked};

static int run(const char *line)
{
        calls = 0;
        asked = 0;
        return command_run(&set, line, text_sink_start(&sink, false));
}

static void test_words(void)
{
        CHECK_EQ(run("  echo\tone \"two  words\" th\"re\"e \"\" - \"-y\" "), 0);
        CHECK_EQ(calls, 1);
        CHECK_EQ(last.words, 6);
        CHECK(strcmp(words[0], "one") == 0);
        CHECK(strcmp(words[1], "two  words") == 0);
        CHECK(strcmp(words[2], "three") == 0);
        CHECK(strcmp(words[3], "") == 0);
        CHECK(strcmp(words[4], "-") == 0);
        CHECK(strcmp(words[5], "-y") == 0);
        CHECK(!last.yes && !last.verbose);
        CHECK(last.target == &plain_target);
}

static void test_empty_lines(void)
{
        CHECK_EQ(run(""), 0);
        CHECK_EQ(run(" \t "), 0);
        CHECK_EQ(run("-y"), 0);
        CHECK_EQ(calls, 0);
        CHECK_EQ(sink.len, 0);
}

static void test_options_anywhere(void)
{
        CHECK_EQ(run("-o json vm -v start db -y"), 0);
        CHECK_EQ(calls, 1);
        CHECK(last.yes && last.verbose && last_json);
        CHECK(last.target == &vm_target);
        CHECK_EQ(last.words, 1);
        CHECK(strcmp(words[0], "db") == 0);
        CHECK(!sink.out.json);
        sink.out.json = true;
        CHECK_EQ(command_run(&set, "map -o text", &sink.out), 0);
        CHECK(!last_json);
        CHECK(sink.out.json);
}

static void refused(const char *line, int err, const char *says)
{
        CHECK_EQ(run(line), err);
        CHECK_EQ(calls, 0);
        CHECK(strstr(sink.text, says));
        CHECK(strncmp(sink.text, "error: ", 7) == 0);
        if (!strstr(sink.text, says))
                printf("# %s: %s", line, sink.text);
}

static void test_refusals(void)
{
        char line[2 * COMMAND_LINE_SIZE];

        refused("maps", -EINVAL, "maps: unknown verb");
        refused("start db", -EINVAL, "start: unknown verb");
        refused("vm", -EINVAL, "help vm shows them");
        refused("vm go", -EINVAL, "help vm shows them");
        refused("map -x", -EINVAL, "unknown option -x");
        refused("map -o", -EINVAL, "json or text is expected");
        refused("map -o xml", -EINVAL, "json or text is expected");
        refused("echo \"a", -EINVAL, "a quote is not closed");
        refused("map now", -EINVAL, "usage: map\n");
        refused("vm start", -EINVAL, "usage: vm start NAME");
        refused("vm start a b", -EINVAL, "usage: vm start NAME");
        refused("\"\"", -EINVAL, "unknown verb");
        memset(line, 'x', sizeof line);
        line[COMMAND_LINE_SIZE] = '\0';
        refused(line, -EINVAL, "the line is too long");
        refused("echo 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", -EINVAL, "too many words");
        CHECK_EQ(run("echo 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"), 0);
        CHECK_EQ(last.words, 15);
        CHECK_EQ(run("echo fail"), -ENOENT);
}

/* A mistake behind -o json is told in JSON. */
static void test_refusal_in_json(void)
{
        CHECK_EQ(run("map now -o json"), -EINVAL);
        CHECK(strcmp(sink.text, "{\"error\": \"usage: map\"}\n") == 0);
        /* a format that is none changes nothing */
        CHECK_EQ(command_run(&set, "map -o xml", text_sink_start(&sink, true)), -EINVAL);
        CHECK(json_is_valid(sink.text));
        CHECK_EQ(command_run(&set, "map -o", text_sink_start(&sink, true)), -EINVAL);
        CHECK(json_is_valid(sink.text));
}

static void test_destructive(void)
{
        answer = true;
        CHECK_EQ(run("vm stop db"), 0);
        CHECK_EQ(asked, 1);
        CHECK_EQ(calls, 1);
        CHECK_EQ(run("vm stop db -y"), 0);
        CHECK_EQ(asked, 0);
        CHECK_EQ(calls, 1);
        answer = false;
        refused("poweroff", -EPERM, "not confirmed\n");
        CHECK_EQ(asked, 1);
        refused("vm stop", -EINVAL, "usage"); /* checked before anybody is asked */
        CHECK_EQ(asked, 0);
        set.confirm = NULL;
        refused("poweroff", -EPERM, "give -y");
        CHECK_EQ(run("poweroff -y"), 0);
        set.confirm = confirm;
}

static unsigned lines(void)
{
        unsigned n = 0;

        for (const char *p = sink.text; *p; p++)
                n += *p == '\n';
        return n;
}

static void test_help(void)
{
        CHECK_EQ(run("help"), 0);
        CHECK_EQ(lines(), 2 + 1 + 8);
        CHECK(strstr(sink.text, "VERB          ARGUMENTS                   HELP\n"));
        CHECK(strstr(sink.text, "vm stop       NAME                        stop one (asks)\n"));
        CHECK_EQ(run("help vm"), 0);
        CHECK_EQ(lines(), 2 + 3);
        CHECK_EQ(run("help vm stop"), 0);
        CHECK_EQ(lines(), 2 + 1);
        CHECK_EQ(run("help help"), 0);
        CHECK_EQ(lines(), 2 + 1);
        CHECK_EQ(run("help -o json map"), 0);
        CHECK(strcmp(sink.text,
                     "[{\"verb\": \"map\", \"args\": \"\", \"help\": \"show the map\"}]\n") == 0);
        refused("help nothing", -EINVAL, "nothing: unknown verb");
        CHECK_EQ(calls, 0);
}

static char shown[256];

static void show(void *ctx, const char *candidate)
{
        CHECK(ctx == shown);
        strcat(shown, candidate);
        strcat(shown, ",");
}

static void completes(const char *line, size_t count, const char *add, const char *list)
{
        char found[COMMAND_LINE_SIZE];

        shown[0] = '\0';
        CHECK_EQ(command_complete(&set, line, strlen(line), found, sizeof found, show, shown),
                 count);
        CHECK(strcmp(found, add) == 0);
        CHECK(strcmp(shown, list) == 0);
        if (strcmp(found, add) != 0 || strcmp(shown, list) != 0)
                printf("# %s: \"%s\" of %s\n", line, found, shown);
        CHECK_EQ(command_complete(&set, line, strlen(line), found, sizeof found, NULL, NULL),
                 count);
}

static void test_completion(void)
{
        completes("m", 2, "", "map,mem,");
        completes("ma", 1, "p ", "map,");
        completes("map", 1, " ", "map,");
        completes("v", 1, "m ", "vm,");
        completes("he", 1, "lp ", "help,");
        completes("x", 0, "", "");
        completes("vm ", 3, "", "list,start,stop,");
        completes("vm s", 2, "t", "start,stop,");
        completes("vm sto", 1, "p ", "stop,");
        completes("vm stop ", 2, "", "db,web,");
        completes("-y vm -v stop w", 1, "eb ", "web,");
        completes("vm stop web ", 0, "", "");
        completes("vm list ", 0, "", "");
        completes("nv give d", 3, "b", "db-data,db-log,db,");
        completes("nv give db-l", 1, "og ", "db-log,");
        completes("nv give db-log we", 1, "b ", "web,");
        completes("help vm sta", 1, "rt ", "start,");
        completes("help po", 1, "weroff ", "poweroff,");
        completes("help map ", 0, "", "");
        completes("map -o js", 0, "", "");
        completes("", 7, "", "help,map,mem,echo,poweroff,vm,nv,");
}

/* No room: counted, but nothing is written beyond the buffer. */
static void test_completion_room(void)
{
        char add[4];

        CHECK_EQ(command_complete(&set, "p", 1, add, sizeof add, NULL, NULL), 1);
        CHECK(add[0] == '\0');
        CHECK_EQ(command_complete(&set, "m", 1, add, sizeof add, NULL, NULL), 2);
        CHECK_EQ(command_complete(&set, "ma", 2, add, 3, NULL, NULL), 1);
        CHECK(strcmp(add, "p ") == 0);
}

static void test_random_lines(void)
{
        static const char *const pieces[] = {"vm",  " ",    "\"", "-o", "-y",   "json", "stop",
                                             "nv ", "help", "\t", "x",  "give", "-",    "db "};
        uint64_t seed = unit_seed();

        answer = true;
        for (unsigned n = 0; n < 20000; n++) {
                char line[COMMAND_LINE_SIZE + 64] = "", add[16];

                for (unsigned k = (unsigned)(unit_random(&seed) % 40); k; k--)
                        strcat(line, pieces[unit_random(&seed) % ARRAY_LEN(pieces)]);
                run(line);
                CHECK(calls <= 1);
                command_complete(&set, line, strlen(line), add, sizeof add, NULL, NULL);
                CHECK(strlen(add) < sizeof add);
        }
}

int main(void)
{
        RUN(test_words);
        RUN(test_empty_lines);
        RUN(test_options_anywhere);
        RUN(test_refusals);
        RUN(test_refusal_in_json);
        RUN(test_destructive);
        RUN(test_help);
        RUN(test_completion);
        RUN(test_completion_room);
        RUN(test_random_lines);
        return unit_done();
}
