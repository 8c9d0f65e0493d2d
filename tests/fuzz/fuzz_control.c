/*
 * A control port and a program that writes anything in any pieces, reads when it likes, and opens
 * the port anew. Each line that it reads in whole is an answer's; verbs that change run only where
 * the VM may change, and those that ask only with -y; CPU 0 comes to an end each time.
 */
#include "guest/admin/control.h"
#include "guest/vm/vm_control.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"

static struct vms vms;
static struct vm vm;
static struct vm_config config;
static struct vm_machine machine;
static bool attention;
static struct vm_control port;
static struct virtio_console device; /* of which no queue works */
static struct virtio_console_end end;
static char got[VM_CONTROL_OUT];
static bool whole; /* what is read next begins a line */

static void wake(void *ctx)
{
        DEMAND(ctx == &vm);
}

static int look(const struct command_call *call)
{
        for (size_t i = 0; i < call->words; i++)
                out_error(call->out, "%s", call->word[i]);
        out_line(call->out, "a line");
        return 0;
}

static int change(const struct command_call *call)
{
        (void)call;
        DEMAND(config.control == CONFIG_CONTROL_ALL);
        return -EIO;
}

static int ask(const struct command_call *call)
{
        DEMAND(call->yes && config.control == CONFIG_CONTROL_ALL);
        return 0;
}

static const struct command commands[] = {
    {"list", "", "", 0, 9, false, 0, look},
    {"check", "", "", 0, 0, false, 0, look},
    {"make", "", "", 0, 9, false, 0, change},
    {"stop", "", "", 0, 9, true, 0, ask},
};
static const struct command_table table = {"", commands, ARRAY_LEN(commands), NULL};
static const struct command_set set = {.table = &table, .tables = 1};

static void open_port(void)
{
        end.opened(end.ctx);
        whole = true;
}

static void begin(bool all)
{
        config.control = all ? CONFIG_CONTROL_ALL : CONFIG_CONTROL_LOOK;
        machine.attention = &attention;
        vm.serial = 1;
        vm.control = &port;
        end = vm_control_init(&port, &device, wake, &vm);
        vms.machine = &machine;
        vms.count = 1;
        vms.entry[0] = (struct vms_entry){.config = &config, .state = VMS_RUNNING, .vm = &vm};
        control_init(&set, &vms);
        open_port();
}

/* A line begins as an answer does, or is the empty one that ends a line that was cut. */
static void check_lines(uint64_t n)
{
        for (uint64_t i = 0; i < n; i++) {
                DEMAND(got[i] == '\n' || (got[i] >= ' ' && got[i] <= '~'));
                if (whole && got[i] != '\n' && n - i >= 6)
                        DEMAND(memcmp(&got[i], "{\"id\":", 6) == 0);
                whole = got[i] == '\n';
        }
}

static void step(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);
        uint64_t n = what >> 2;

        switch (what & 3) {
        case 0:
        case 1:
                n = n < in->left ? n : in->left;
                DEMAND(end.write(end.ctx, in->at, n) <= n);
                in->at += n;
                in->left -= n;
                if (what & 1)
                        control_serve();
                break;
        case 2:
                n = end.read(end.ctx, (uint8_t *)got, n ? n * 64 : sizeof got);
                check_lines(n);
                break;
        default:
                if (n == 0)
                        open_port();
                control_serve();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};

        begin(fuzz_take(&in, 1) & 1);
        while (in.left)
                step(&in);
        DEMAND(!port.lock.held);
        return 0;
}
