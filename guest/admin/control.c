/* Requests of control ports; contract in control.h. */
#include "guest/admin/control.h"

#include "guest/vm/vm_control.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"

#define REQUESTS_A_TURN 8u
#define PIECE           256u

/* A request and its answer. The VM may end by it. */
struct answer {
        const struct vms_entry *entry;
        uint64_t serial;
        unsigned generation;
        uint32_t id;
        struct out out;
        bool amid, cut;    /* amid: within a line */
        char piece[PIECE]; /* gathered, not yet said */
        size_t len;
};

static const struct command_set *verbs;
static struct vms *vms;

/* ---- Answers. ---- */

/* NULL: the VM that has asked is gone. */
static struct vm_control *port_of(const struct answer *a)
{
        const struct vms_entry *e = a->entry;

        return e->state == VMS_RUNNING && e->vm->serial == a->serial ? e->vm->control : NULL;
}

static void say(struct answer *a, bool last)
{
        struct vm_control *port = port_of(a);

        if (port && !a->cut && !vm_control_say(port, a->generation, a->piece, a->len, last)) {
                vm_control_flush(port);
                a->cut = !vm_control_say(port, a->generation, a->piece, a->len, last);
        }
        a->len = 0;
}

static void gather(struct answer *a, const char *text, size_t n)
{
        if (a->len + n > sizeof a->piece)
                say(a, false);
        memcpy(a->piece + a->len, text, n);
        a->len += n;
}

static void gather_string(struct answer *a, const char *text)
{
        gather(a, text, strlen(text));
}

/* A character of a text, as JSON has it. */
static void gather_escaped(struct answer *a, char c)
{
        char escaped[8];
        int n = format_text(escaped, sizeof escaped, c == '"' || c == '\\' ? "\\%c" : "%c", c);

        if ((unsigned char)c < ' ' || (unsigned char)c > '~')
                n = format_text(escaped, sizeof escaped, "\\u%04x", (unsigned char)c);
        gather(a, escaped, (size_t)n);
}

static void begin_line(struct answer *a)
{
        char head[32];
        int n = format_text(head, sizeof head, "{\"id\":%u,%s", a->id,
                            a->out.json ? "\"out\":" : "\"text\":\"");

        gather(a, head, (size_t)n);
        a->amid = true;
}

static void put(void *ctx, const char *text, size_t n)
{
        struct answer *a = ctx;

        for (size_t i = 0; i < n; i++) {
                if (!a->amid)
                        begin_line(a);
                if (text[i] == '\n') {
                        gather_string(a, a->out.json ? "}\n" : "\"}\n");
                        a->amid = false;
                } else if (a->out.json) {
                        gather(a, &text[i], 1);
                } else {
                        gather_escaped(a, text[i]);
                }
        }
}

/* The end of an answer; why: NULL, or what was no request. */
static void finish(struct answer *a, const char *why, int err)
{
        char line[VM_CONTROL_LAST];
        int n;

        say(a, false);
        if (a->cut)
                err = -ENOSPC;
        n = format_text(line, sizeof line, "%s{\"id\":%u,%s%s%s\"status\":%d}\n",
                        a->amid || a->cut ? "\n" : "", a->id, why ? "\"error\":\"" : "",
                        why ? why : "", why ? "\"," : "", -err);
        a->cut = false;
        gather(a, line, (size_t)n);
        say(a, true);
        if (port_of(a))
                vm_control_flush(port_of(a));
}

/* ---- Requests. ---- */

/* The verbs that change nothing; of the latter, if no word follows. */
static bool only_looks(const struct command *command, size_t words)
{
        static const char *const looks[] = {"map", "mem",  "cpu",  "stats",
                                            "log", "list", "show", "net"};
        static const char *const alone[] = {"check", "bad", "scrub"};

        for (size_t i = 0; i < ARRAY_LEN(looks); i++)
                if (strcmp(command->name, looks[i]) == 0)
                        return true;
        for (size_t i = 0; i < ARRAY_LEN(alone); i++)
                if (strcmp(command->name, alone[i]) == 0)
                        return words == 0;
        return false;
}

static int ready(void *ctx, const struct command *command, const struct command_call *call)
{
        const struct answer *a = ctx;

        if (a->entry->config->control == CONFIG_CONTROL_ALL || only_looks(command, call->words))
                return 0;
        out_error(call->out, "%s: this VM has control=ro and may only look", command->name);
        return -EROFS;
}

/* The number at *text, which is moved behind it and the blanks there; false: there is none. */
static bool take_id(const char **text, uint32_t *id)
{
        uint64_t n = 0;
        const char *p = *text;

        for (; *p >= '0' && *p <= '9' && n <= UINT32_MAX; p++)
                n = n * 10 + (uint64_t)(*p - '0');
        if (p == *text || *p != ' ' || n > UINT32_MAX)
                return false;
        while (*p == ' ')
                p++;
        *text = p;
        *id = (uint32_t)n;
        return true;
}

static bool is_text(const char *line, int len)
{
        for (int i = 0; i < len; i++)
                if (line[i] < ' ' || line[i] > '~')
                        return false;
        return true;
}

static void run(struct answer *a, const char *line, int len)
{
        struct command_set set = *verbs;
        int err;

        if (len < 0)
                finish(a, "a line may have 511 characters", -EINVAL);
        else if (!is_text(line, len))
                finish(a, "only printable characters are expected", -EINVAL);
        else if (!take_id(&line, &a->id))
                finish(a, "ID VERB is expected, with an ID below 4294967296", -EINVAL);
        else {
                set.confirm = NULL;
                set.ready = ready;
                set.ctx = a;
                a->out = (struct out){.put = put, .ctx = a, .json = true};
                err = command_run(&set, line, &a->out);
                finish(a, NULL, err);
        }
}

/* A few requests of one VM. False: there may be more. */
static bool serve(const struct vms_entry *entry)
{
        struct answer a = {.entry = entry, .serial = entry->vm->serial};
        char line[VM_CONTROL_LINE];

        for (unsigned i = 0; i < REQUESTS_A_TURN; i++) {
                int len;

                a.id = 0;
                a.amid = a.cut = false;
                if (!port_of(&a))
                        return true;
                vm_control_flush(port_of(&a));
                len = vm_control_take(port_of(&a), line, &a.generation);
                if (len == -EBUSY)
                        return true;
                run(&a, line, len);
        }
        return false;
}

void control_init(const struct command_set *set, struct vms *all)
{
        verbs = set;
        vms = all;
}

void control_serve(void)
{
        for (size_t i = 0; i < vms->count; i++) {
                const struct vms_entry *entry = &vms->entry[i];

                if (entry->state == VMS_RUNNING && entry->vm->control && !serve(entry))
                        __atomic_store_n(vms->machine->attention, true, __ATOMIC_SEQ_CST);
        }
}
