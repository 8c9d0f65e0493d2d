/* The control port: requests and answers line by line, what is no request, who may only look, an
 * answer that is not read, and a program that comes and goes. */
#include "guest/admin/control.h"

#include <stdio.h>
#include <string.h>

#include "guest/vm/vm_control.h"
#include "hv/lib/errno.h"
#include "tests/unit/unit.h"

static struct vms vms;
static struct vm vm;
static struct vm_config config;
static struct vm_machine machine;
static bool attention;
static struct vm_control port;
static struct virtio_console device; /* of which no queue works */
static struct virtio_console_end end;
static unsigned wakes, ran;
static char got[2 * VM_CONTROL_OUT];

static void wake(void *ctx)
{
        CHECK(ctx == &vm);
        wakes++;
}

static int show(const struct command_call *call)
{
        static const struct out_column columns[] = {{"name", "NAME", -6}, {"size", "SIZE", 6}};

        ran++;
        out_table_begin(call->out, columns, 2);
        out_cells(call->out, out_text("a \"b\"\n"), out_size(4 * MiB));
        out_table_end(call->out);
        out_line(call->out, "that is all");
        return 0;
}

static int many(const struct command_call *call)
{
        ran++;
        for (unsigned i = 0; i < 1000; i++)
                out_error(call->out, "line %u of many", i);
        return 0;
}

static int change(const struct command_call *call)
{
        ran++;
        CHECK(call->words == 0 || strcmp(call->word[0], "a b") == 0);
        return call->words ? -EEXIST : 0;
}

static int stop(const struct command_call *call)
{
        ran++;
        vms.entry[0].state = VMS_ENDED;
        vms.entry[0].vm = NULL;
        out_line(call->out, "it is gone");
        return 0;
}

/* Meanwhile the program closes the port, and another opens it. */
static int leave(const struct command_call *call)
{
        end.opened(end.ctx);
        out_line(call->out, "for nobody");
        return 0;
}

/* The VM is another one, built of the same line, when the answer comes. */
static int reset(const struct command_call *call)
{
        vm.serial++;
        out_line(call->out, "for nobody");
        return 0;
}

static const struct command commands[] = {
    {"leave", "", "", 0, 0, false, 0, leave},
    {"reset", "", "", 0, 0, false, 0, reset},
    {"list", "", "", 0, 0, false, 0, show},
    {"log", "", "", 0, 0, false, 0, many},
    {"check", "[WORD]", "", 0, 1, false, 0, change},
    {"create", "[NAME]", "", 0, 1, false, 0, change},
    {"stop", "", "", 0, 0, true, 0, stop},
};
static const struct command_table table = {"", commands, ARRAY_LEN(commands), NULL};
static const struct command_set set = {.table = &table, .tables = 1};

static void begin(enum config_control control)
{
        memset(&vms, 0, sizeof vms);
        machine.attention = &attention;
        attention = false;
        wakes = ran = 0;
        config.control = control;
        vm.serial = 7;
        vm.control = &port;
        end = vm_control_init(&port, &device, wake, &vm);
        CHECK(strcmp(end.name, "org.permafrost.control") == 0);
        vms.machine = &machine;
        vms.count = 1;
        vms.entry[0] = (struct vms_entry){.config = &config, .state = VMS_RUNNING, .vm = &vm};
        control_init(&set, &vms);
        end.opened(end.ctx);
}

static void ask(const char *text)
{
        CHECK_EQ(end.write(end.ctx, (const uint8_t *)text, strlen(text)), strlen(text));
}

/* What the program reads by now. */
static const char *read_all(void)
{
        uint64_t n = end.read(end.ctx, (uint8_t *)got, sizeof got - 1);

        got[n] = '\0';
        return got;
}

static const char *answer(const char *text)
{
        ask(text);
        control_serve();
        return read_all();
}

#define CHECK_TEXT(a, b)                                                                           \
        do {                                                                                       \
                const char *is = (a);                                                              \
                if (strcmp(is, b) != 0)                                                            \
                        printf("%s\n", is);                                                        \
                CHECK(strcmp(is, b) == 0);                                                         \
        } while (0)

static void test_answers(void)
{
        begin(CONFIG_CONTROL_ALL);
        CHECK_TEXT(answer("17 list\n"),
                   "{\"id\":17,\"out\":[{\"name\": \"a \\\"b\\\"\\u000a\", \"size\": 4194304}]}\n"
                   "{\"id\":17,\"status\":0}\n");
        CHECK_TEXT(answer("0 list -o text\n"), "{\"id\":0,\"text\":\"NAME      SIZE\"}\n"
                                               "{\"id\":0,\"text\":\"a \\\"b\\\"\"}\n"
                                               "{\"id\":0,\"text\":\"   4 MiB\"}\n"
                                               "{\"id\":0,\"text\":\"that is all\"}\n"
                                               "{\"id\":0,\"status\":0}\n");
        CHECK_TEXT(answer("4294967295 create \"a b\"\n"), "{\"id\":4294967295,\"status\":17}\n");
        CHECK_TEXT(answer("1 nonsense\n"),
                   "{\"id\":1,\"out\":{\"error\": \"nonsense: unknown verb; "
                   "help shows all\"}}\n{\"id\":1,\"status\":22}\n");
        CHECK(wakes >= 4);
}

/* In pieces, several at once, more than a turn's. */
static void test_lines(void)
{
        begin(CONFIG_CONTROL_ALL);
        CHECK_TEXT(answer("1 cre"), "");
        CHECK_TEXT(answer("ate\n2 create\n3"),
                   "{\"id\":1,\"status\":0}\n{\"id\":2,\"status\":0}\n");
        CHECK_TEXT(answer(" create\n"), "{\"id\":3,\"status\":0}\n");
        for (unsigned i = 0; i < 20; i++)
                ask("9 create\n");
        control_serve();
        CHECK(attention);
        CHECK_EQ(ran, 3 + 8);
        control_serve();
        attention = false;
        control_serve();
        CHECK_EQ(ran, 3 + 20);
        CHECK(!attention);
        CHECK_EQ(strlen(read_all()), 20 * strlen("{\"id\":9,\"status\":0}\n"));
}

static void test_no_request(void)
{
        static const char *const wrong[] = {"list\n",   "-1 list\n", "4294967296 list\n",
                                            "7\n",      "\n",        "99999999999999999999 list\n",
                                            "1x list\n"};
        char too_long[600];

        begin(CONFIG_CONTROL_ALL);
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                CHECK_TEXT(answer(wrong[i]),
                           "{\"id\":0,\"error\":\"ID VERB is expected, with an ID "
                           "below 4294967296\",\"status\":22}\n");
        CHECK_TEXT(
            answer("1 list\x01\n"),
            "{\"id\":0,\"error\":\"only printable characters are expected\",\"status\":22}\n");
        memset(too_long, 'x', sizeof too_long);
        too_long[sizeof too_long - 1] = '\0';
        CHECK_TEXT(answer(too_long),
                   "{\"id\":0,\"error\":\"a line may have 511 characters\",\"status\":22}\n");
        CHECK_TEXT(answer(too_long), "");
        CHECK_TEXT(answer("\n5 create\n"), "{\"id\":5,\"status\":0}\n");
        too_long[511] = '\n';
        too_long[512] = '\0';
        memcpy(too_long, "6 create ", 9);
        CHECK(strstr(answer(too_long), "the line is too long"));
        CHECK_EQ(ran, 1);
}

static void test_may(void)
{
        begin(CONFIG_CONTROL_ALL);
        CHECK(strstr(answer("1 stop\n"), "not confirmed: give -y"));
        CHECK(strstr(answer("1 stop\n"), "\"status\":1}"));
        begin(CONFIG_CONTROL_LOOK);
        CHECK(strstr(answer("1 create\n"), "may only look"));
        CHECK(strstr(answer("1 create\n"), "\"status\":30}"));
        CHECK(strstr(answer("1 stop -y\n"), "\"status\":30}"));
        CHECK(strstr(answer("1 check \"a b\"\n"), "\"status\":30}"));
        CHECK_EQ(ran, 0);
        CHECK(strstr(answer("1 check\n"), "\"status\":0}"));
        CHECK(strstr(answer("1 list\n"), "\"status\":0}"));
        CHECK(strstr(answer("1 help\n"), "\"status\":0}"));
        CHECK_EQ(ran, 2);
}

/* Nobody reads: the answer is cut, which is told, and the next request waits until there is room.
 */
static void test_not_read(void)
{
        const char *all;

        begin(CONFIG_CONTROL_ALL);
        ask("1 log\n2 create\n");
        control_serve();
        CHECK_EQ(ran, 1);
        all = read_all();
        CHECK(strstr(all, "line 1 of many") && !strstr(all, "line 999 of many"));
        CHECK(strstr(all, "\n{\"id\":1,\"status\":28}\n"));
        CHECK(wakes == 2);
        control_serve();
        CHECK_TEXT(read_all(), "{\"id\":2,\"status\":0}\n");
}

/* Neither a request nor an answer is the next program's. */
static void test_opened(void)
{
        begin(CONFIG_CONTROL_ALL);
        ask("1 create\n2 cre");
        control_serve();
        end.opened(end.ctx);
        CHECK_TEXT(read_all(), "");
        CHECK_TEXT(answer("3 create\n"), "{\"id\":3,\"status\":0}\n");
        CHECK_TEXT(answer("4 leave -o text\n"), "");
        CHECK_TEXT(answer("5 reset -o text\n6 create\n"), "");
        control_serve();
        CHECK_TEXT(read_all(), "{\"id\":6,\"status\":0}\n");
}

static void test_stops_itself(void)
{
        begin(CONFIG_CONTROL_ALL);
        ask("1 stop -y\n2 create\n");
        control_serve();
        CHECK_EQ(ran, 1);
        CHECK_TEXT(read_all(), "");
        control_serve();
}

int main(void)
{
        RUN(test_answers);
        RUN(test_lines);
        RUN(test_no_request);
        RUN(test_may);
        RUN(test_not_read);
        RUN(test_opened);
        RUN(test_stops_itself);
        return unit_done();
}
