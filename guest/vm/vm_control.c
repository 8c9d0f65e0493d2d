/* The bytes of a control port; contract in vm_control.h. */
#include "guest/vm/vm_control.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

#define PORT 1u

static uint64_t take_in(void *ctx, const uint8_t *text, uint64_t n)
{
        struct vm_control *c = ctx;
        uint64_t room;

        spin_lock(&c->lock);
        room = VM_CONTROL_IN - (c->in_head - c->in_tail);
        n = n < room ? n : room;
        for (uint64_t i = 0; i < n; i++)
                c->in[c->in_head++ % VM_CONTROL_IN] = (char)text[i];
        spin_unlock(&c->lock);
        c->wake(c->ctx);
        return n;
}

static uint64_t give_out(void *ctx, uint8_t *to, uint64_t size)
{
        struct vm_control *c = ctx;
        bool waits;
        uint64_t n;

        spin_lock(&c->lock);
        for (n = 0; n < size && c->out_tail != c->out_head; n++)
                to[n] = (uint8_t)c->out[c->out_tail++ % VM_CONTROL_OUT];
        waits = n && c->in_head != c->in_tail; /* a request, for the room */
        spin_unlock(&c->lock);
        if (waits)
                c->wake(c->ctx);
        return n;
}

static void opened(void *ctx)
{
        struct vm_control *c = ctx;

        spin_lock(&c->lock);
        c->generation++;
        c->too_long = false;
        c->in_head = c->in_tail = c->out_head = c->out_tail = 0;
        spin_unlock(&c->lock);
}

struct virtio_console_end vm_control_init(struct vm_control *c, struct virtio_console *device,
                                          void (*wake)(void *ctx), void *ctx)
{
        *c = (struct vm_control){.device = device, .wake = wake, .ctx = ctx};
        return (struct virtio_console_end){VM_CONTROL_PORT, c, take_in, give_out, opened};
}

/* Up to the end of a line; false: it has not come yet. */
static bool line_length(const struct vm_control *c, uint64_t *len)
{
        for (*len = 0; c->in_tail + *len != c->in_head; ++*len)
                if (c->in[(c->in_tail + *len) % VM_CONTROL_IN] == '\n')
                        return true;
        return false;
}

static int take_line(struct vm_control *c, char *line)
{
        uint64_t len;

        for (;;) {
                bool told = c->too_long, whole = line_length(c, &len);

                if (!told && !whole && len < VM_CONTROL_LINE)
                        return -EBUSY;
                for (uint64_t i = 0; i < len && i < VM_CONTROL_LINE; i++)
                        line[i] = c->in[(c->in_tail + i) % VM_CONTROL_IN];
                c->in_tail += len + whole;
                c->too_long = !whole;
                if (told && !whole)
                        return -EBUSY;
                if (told)
                        continue;
                if (len >= VM_CONTROL_LINE)
                        return -E2BIG;
                line[len] = '\0';
                return (int)len;
        }
}

int vm_control_take(struct vm_control *c, char line[VM_CONTROL_LINE], unsigned *generation)
{
        int len;

        spin_lock(&c->lock);
        *generation = c->generation;
        len = c->out_head - c->out_tail > VM_CONTROL_OUT / 2 ? -EBUSY : take_line(c, line);
        spin_unlock(&c->lock);
        return len;
}

bool vm_control_say(struct vm_control *c, unsigned generation, const char *text, size_t n,
                    bool last)
{
        uint64_t limit = last ? VM_CONTROL_OUT : VM_CONTROL_OUT - VM_CONTROL_LAST;
        bool fits = true;

        spin_lock(&c->lock);
        if (generation == c->generation) {
                fits = c->out_head - c->out_tail + n <= limit;
                for (size_t i = 0; fits && i < n; i++)
                        c->out[c->out_head++ % VM_CONTROL_OUT] = text[i];
        }
        spin_unlock(&c->lock);
        return fits;
}

void vm_control_flush(struct vm_control *c)
{
        virtio_console_push(c->device, PORT);
        if (!virtio_console_pull(c->device, PORT))
                c->wake(c->ctx);
}
