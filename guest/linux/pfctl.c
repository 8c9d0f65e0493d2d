/* pfctl: the administrator's verbs in a Linux VM that has `control`. It is static and needs no
 * kernel module beside virtio_console.
 *
 *     pfctl [-p PORT] [-o json|text] VERB [ARGUMENT...]    as at the monitor's prompt
 *     pfctl [-p PORT] console NAME                         a VM's console here; Ctrl-] leaves it
 *     pfctl [-p PORT] log -f                               the log, and what comes
 *     pfctl [-p PORT] top [-n TIMES]                       what the VMs do, each second
 *
 * The exit status is 0 for success, 1 when the verb failed, 2 for wrong usage, and 3 when there is
 * no control port. Requests and answers are told in guest/admin/control.h. */
#include "guest/linux/pfctl.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE    0x1d
#define VMS_SHOWN 256

static int print_answer(int status)
{
        fwrite(answer, 1, answer_size, status ? stderr : stdout);
        if (status == ENOSPC)
                warnx("the answer may be cut off");
        if (fflush(stdout))
                err(FAILED, "standard output");
        return status == EINVAL ? USAGE : status ? FAILED : 0;
}

/* What ends something asks here, as at the prompt. */
static bool confirmed(const char *const *word, int words)
{
        char reply[16];

        for (int i = 0; i < words; i++)
                fprintf(stderr, "%s%s", i ? " " : "", word[i]);
        fprintf(stderr, ": sure? (y/n) ");
        return fgets(reply, sizeof reply, stdin) && (reply[0] == 'y' || reply[0] == 'Y');
}

static int verb(const char *const *word, int words, const char *format)
{
        int status = request(word, words, format);

        if (status == EPERM && words < 31 && isatty(STDIN_FILENO) && confirmed(word, words)) {
                const char *again[32];

                memcpy(again, word, (size_t)words * sizeof *word);
                again[words] = "-y";
                status = request(again, words + 1, format);
        }
        return print_answer(status);
}

/* ---- A VM's console. ---- */

static struct termios before;

static void restore(void)
{
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

static void make_raw(void)
{
        struct termios raw;

        if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before))
                return;
        raw = before;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        atexit(restore);
}

/* Write what the rows have in the column, and take over where the next ones begin. */
static void show_rows(const char *column, char at[24], const char *end)
{
        const char *p = answer;
        char key[32], value[1024];

        while (*p) {
                while (next_member(&p, key, value, sizeof value)) {
                        if (strcmp(key, "at") == 0)
                                snprintf(at, 24, "%.23s", value);
                        else if (strcmp(key, column) == 0)
                                printf("%s%s", value, end);
                }
        }
        fflush(stdout);
}

/* Send what was typed; false: it was the escape, or the end. */
static bool type(const char *vm)
{
        char text[3 * 64 + 1] = "";
        const char *word[] = {"vm", "type", vm, text};
        unsigned char typed[64];
        ssize_t n = read(STDIN_FILENO, typed, sizeof typed);

        if (n <= 0 || memchr(typed, ESCAPE, (size_t)n))
                return false;
        for (ssize_t i = 0; i < n; i++)
                sprintf(text + 3 * i, "%%%02x", typed[i]);
        (void)request(word, 4, "json");
        return true;
}

static int console(const char *vm)
{
        struct pollfd in = {STDIN_FILENO, POLLIN, 0};
        char at[24] = "0";
        const char *word[] = {"vm", "log", vm, at};
        bool more = true;

        make_raw();
        while (more) {
                int status = request(word, 4, "json");

                if (status) {
                        const char *again[] = {"vm", "log", vm};

                        restore();
                        return print_answer(request(again, 3, "text"));
                }
                show_rows("text", at, "");
                if (poll(&in, 1, 50) > 0)
                        more = type(vm);
        }
        return 0;
}

static int follow_log(void)
{
        char at[24] = "0";
        const char *word[] = {"log", at};

        for (;;) {
                int status = request(word, 2, "json");

                if (status)
                        return print_answer(status);
                show_rows("line", at, "\n");
                if (ferror(stdout))
                        return FAILED;
                sleep_ms(200);
        }
}

/* ---- What the VMs do. ---- */

struct vm {
        char name[64], state[32];
        uint64_t mem, exits, ran_us, sent, received;
};

struct picture {
        struct vm vm[VMS_SHOWN];
        size_t count;
        uint64_t uptime_ms;
};

static uint64_t number(const char *value)
{
        return strtoull(value, NULL, 10);
}

static struct vm *vm_named(struct picture *p, const char *name)
{
        for (size_t i = 0; i < p->count; i++)
                if (strcmp(p->vm[i].name, name) == 0)
                        return &p->vm[i];
        return NULL;
}

static void take_vms(struct picture *p)
{
        const char *word[] = {"vm", "list"}, *at = answer;
        char key[32], value[256];

        if (request(word, 2, "json"))
                exit(print_answer(FAILED));
        for (p->count = 0; *at && p->count < VMS_SHOWN;) {
                struct vm *vm = &p->vm[p->count];

                *vm = (struct vm){0};
                while (next_member(&at, key, value, sizeof value)) {
                        if (strcmp(key, "name") == 0)
                                snprintf(vm->name, sizeof vm->name, "%.63s", value);
                        else if (strcmp(key, "state") == 0)
                                snprintf(vm->state, sizeof vm->state, "%.31s", value);
                        else if (strcmp(key, "mem") == 0)
                                vm->mem = number(value);
                }
                p->count += vm->name[0] != '\0';
        }
}

static void take_counters(struct picture *p)
{
        const char *word[] = {"stats"}, *at = answer;
        char key[32], value[256];

        if (request(word, 1, "json"))
                exit(print_answer(FAILED));
        while (*at) {
                char of[64] = "", counter[64] = "";
                uint64_t n = 0;
                struct vm *vm;

                while (next_member(&at, key, value, sizeof value)) {
                        if (strcmp(key, "of") == 0)
                                snprintf(of, sizeof of, "%.63s", value);
                        else if (strcmp(key, "counter") == 0)
                                snprintf(counter, sizeof counter, "%.63s", value);
                        else
                                n = number(value);
                }
                if (strcmp(of, "machine") == 0 && strcmp(counter, "uptime ms") == 0)
                        p->uptime_ms = n;
                vm = vm_named(p, of);
                if (vm && strcmp(counter, "exits") == 0)
                        vm->exits = n;
                if (vm && strncmp(counter, "vcpu", 4) == 0 && strstr(counter, " ran us"))
                        vm->ran_us += n;
        }
}

static void take_net(struct vm *vm)
{
        const char *word[] = {"vm", "net", vm->name}, *at = answer;
        char key[32], value[256];

        if (strcmp(vm->state, "running") != 0 || request(word, 3, "json"))
                return;
        while (*at)
                while (next_member(&at, key, value, sizeof value)) {
                        if (strcmp(key, "sent_bytes") == 0)
                                vm->sent += number(value);
                        else if (strcmp(key, "received_bytes") == 0)
                                vm->received += number(value);
                }
}

static void take_picture(struct picture *p)
{
        take_vms(p);
        take_counters(p);
        for (size_t i = 0; i < p->count; i++)
                take_net(&p->vm[i]);
}

/* Of a second. A VM that was built anew begins at nothing. */
static uint64_t rate(uint64_t now, uint64_t before_it, uint64_t ms)
{
        return ms && now >= before_it ? (now - before_it) * 1000 / ms : 0;
}

static void show_picture(struct picture *old, struct picture *new)
{
        static const struct vm none;
        const char *word[] = {"mem"};
        uint64_t ms = new->uptime_ms - old->uptime_ms;

        if (isatty(STDOUT_FILENO))
                printf("\033[H\033[J");
        if (!request(word, 1, "text"))
                fwrite(answer, 1, answer_size, stdout);
        printf("\n%-12s %-10s %6s %10s %9s %12s %12s\n", "NAME", "STATE", "CPU %", "EXITS/s",
               "MEM MiB", "SENT B/s", "RECEIVED B/s");
        for (size_t i = 0; i < new->count; i++) {
                const struct vm *n = &new->vm[i], *o = vm_named(old, n->name);
                uint64_t ran;

                o = o ? o : &none;
                ran = rate(n->ran_us, o->ran_us, ms);
                printf("%-12s %-10s %4" PRIu64 ".%" PRIu64 " %10" PRIu64 " %9" PRIu64 " %12" PRIu64
                       " %12" PRIu64 "\n",
                       n->name, n->state, ran / 10000, ran / 1000 % 10,
                       rate(n->exits, o->exits, ms), n->mem >> 20, rate(n->sent, o->sent, ms),
                       rate(n->received, o->received, ms));
        }
        fflush(stdout);
}

/* times: how often; 0: until it is interrupted. */
static int top(unsigned long times)
{
        static struct picture picture[2];
        unsigned now = 0;

        take_picture(&picture[now]);
        for (unsigned long i = 0; (!times || i < times) && !ferror(stdout); i++) {
                sleep_ms(1000);
                now = !now;
                take_picture(&picture[now]);
                show_picture(&picture[!now], &picture[now]);
        }
        return 0;
}

static void usage(void)
{
        fprintf(stderr, "usage: pfctl [-p PORT] [-o json|text] VERB [ARGUMENT...]\n"
                        "       pfctl [-p PORT] console NAME\n"
                        "       pfctl [-p PORT] log -f\n"
                        "       pfctl [-p PORT] top [-n TIMES]\n"
                        "`pfctl help` shows the verbs.\n");
        exit(USAGE);
}

int main(int argc, char **argv)
{
        const char *const *word = (const char *const *)argv;
        const char *format = "text", *path = NULL;
        int option;

        while ((option = getopt(argc, argv, "+p:o:")) != -1) {
                if (option == 'p')
                        path = optarg;
                else if (option == 'o' && (!strcmp(optarg, "json") || !strcmp(optarg, "text")))
                        format = optarg;
                else
                        usage();
        }
        argc -= optind;
        word += optind;
        if (argc == 0)
                usage();
        open_port(path);
        if (argc == 2 && !strcmp(word[0], "console"))
                return console(word[1]);
        if (argc == 2 && !strcmp(word[0], "log") && !strcmp(word[1], "-f"))
                return follow_log();
        if (argc == 1 && !strcmp(word[0], "top"))
                return top(0);
        if (argc == 3 && !strcmp(word[0], "top") && !strcmp(word[1], "-n"))
                return top(strtoul(word[2], NULL, 10));
        return verb(word, argc, format);
}
