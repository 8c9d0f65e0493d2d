/* MSI-X: table, pending bits and masks; contract in msix.h. */
#include "guest/dev/msix.h"

#define VECTOR_MASKED 1u /* the only bit of an entry's control */

/* SDM vol. 3 11.11.1, 11.11.2: where a message goes and what it is. */
#define ADDRESS_APIC      0xfee00000u
#define ADDRESS_APIC_MASK 0xfff00000u
#define ADDRESS_DEST(a)   ((a) >> 12 & 0xff)
#define ADDRESS_LOGICAL   (1u << 2)
#define DATA_VECTOR(d)    ((uint8_t)(d))
#define DATA_MODE(d)      ((d) >> 8 & 7)
#define DATA_LEVEL        (1u << 15)
#define DEST_ALL          0xffu

void msix_init(struct msix *m, unsigned vectors, const struct msix_ops *ops)
{
        *m = (struct msix){.ops = *ops, .vectors = vectors};
        for (unsigned i = 0; i < vectors; i++)
                m->table[i].control = VECTOR_MASKED;
}

/* What is not for a local APIC would be a store to memory: that is dropped, as modes are that no
 * device may use. */
static void send(const struct msix *m, const struct msix_vector *v)
{
        uint32_t dest = ADDRESS_DEST(v->address_low);
        const struct apic_message message = {
            .dest = dest == DEST_ALL ? APIC_DEST_ALL : dest,
            .logical = (v->address_low & ADDRESS_LOGICAL) != 0,
            .mode = DATA_MODE(v->data),
            .vector = DATA_VECTOR(v->data),
        };

        if ((v->address_low & ADDRESS_APIC_MASK) != ADDRESS_APIC || v->address_high ||
            v->data & DATA_LEVEL || message.mode > APIC_NMI || message.mode == APIC_SMI)
                return;
        m->ops.send(m->ops.ctx, &message);
}

static bool is_open(const struct msix *m, unsigned vector)
{
        return m->enabled && !m->masked && !m->silent &&
               !(m->table[vector].control & VECTOR_MASKED);
}

/* Send what is pending and not masked any more. */
static void send_pending(struct msix *m)
{
        for (unsigned i = 0; i < m->vectors; i++) {
                if (!(m->pending >> i & 1) || !is_open(m, i))
                        continue;
                m->pending &= ~(1ull << i);
                send(m, &m->table[i]);
        }
}

void msix_control(struct msix *m, bool enabled, bool masked, bool silent)
{
        spin_lock(&m->lock);
        m->enabled = enabled;
        m->masked = masked;
        m->silent = silent;
        if (!enabled)
                m->pending = 0;
        send_pending(m);
        spin_unlock(&m->lock);
}

void msix_raise(struct msix *m, unsigned vector)
{
        spin_lock(&m->lock);
        if (m->enabled && vector < m->vectors) {
                m->pending |= 1ull << vector;
                if (is_open(m, vector)) {
                        m->pending &= ~(1ull << vector);
                        send(m, &m->table[vector]);
                }
        }
        spin_unlock(&m->lock);
}

static uint8_t *table_byte(struct msix *m, unsigned offset)
{
        return offset < m->vectors * MSIX_ENTRY_SIZE ? (uint8_t *)m->table + offset : NULL;
}

uint64_t msix_table_read(struct msix *m, unsigned offset, unsigned size)
{
        uint64_t value = 0;

        spin_lock(&m->lock);
        for (unsigned i = 0; i < size; i++) {
                const uint8_t *byte = table_byte(m, offset + i);

                value |= (uint64_t)(byte ? *byte : 0) << 8 * i;
        }
        spin_unlock(&m->lock);
        return value;
}

void msix_table_write(struct msix *m, unsigned offset, unsigned size, uint64_t value)
{
        spin_lock(&m->lock);
        for (unsigned i = 0; i < size; i++) {
                uint8_t *byte = table_byte(m, offset + i);

                if (byte)
                        *byte = (uint8_t)(value >> 8 * i);
        }
        for (unsigned i = 0; i < m->vectors; i++)
                m->table[i].control &= VECTOR_MASKED;
        send_pending(m);
        spin_unlock(&m->lock);
}

uint64_t msix_pending_read(struct msix *m, unsigned offset, unsigned size)
{
        uint64_t value;

        spin_lock(&m->lock);
        value = offset < 8 ? m->pending >> 8 * offset : 0;
        spin_unlock(&m->lock);
        return size < 8 ? value & ((1ull << 8 * size) - 1) : value;
}
