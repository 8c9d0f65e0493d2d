/* The textbook binary buddy allocator: split on the way down, merge on the way up. */
#include "tests/bench/buddy.h"

static void push(struct buddy *b, struct buddy_frame *f, unsigned order)
{
        struct buddy_frame *list = &b->list[order];

        f->order = order;
        f->free = 1;
        f->next = list->next;
        f->prev = list;
        list->next->prev = f;
        list->next = f;
}

static void unlink_block(struct buddy_frame *f)
{
        f->free = 0;
        f->next->prev = f->prev;
        f->prev->next = f->next;
}

void buddy_start(struct buddy *buddy, struct buddy_frame *frame, uint64_t frames)
{
        buddy->frame = frame;
        buddy->frames = frames;
        for (unsigned order = 0; order < BUDDY_ORDERS; order++)
                buddy->list[order].next = buddy->list[order].prev = &buddy->list[order];
        for (uint64_t i = 0; i < frames; i++)
                frame[i] = (struct buddy_frame){0};
        for (uint64_t at = 0; at < frames;) {
                unsigned order = BUDDY_ORDERS - 1;

                while (at % (1ull << order) || at + (1ull << order) > frames)
                        order--;
                push(buddy, &frame[at], order);
                at += 1ull << order;
        }
}

uint64_t buddy_alloc(struct buddy *buddy, unsigned order)
{
        unsigned from = order;
        struct buddy_frame *f;

        while (from < BUDDY_ORDERS && buddy->list[from].next == &buddy->list[from])
                from++;
        if (from >= BUDDY_ORDERS)
                return BUDDY_NONE;
        f = buddy->list[from].next;
        unlink_block(f);
        while (from-- > order)
                push(buddy, f + (1ull << from), from);
        return (uint64_t)(f - buddy->frame);
}

void buddy_free(struct buddy *buddy, uint64_t frame, unsigned order)
{
        for (; order < BUDDY_ORDERS - 1; order++) {
                uint64_t other = frame ^ 1ull << order;
                struct buddy_frame *f = &buddy->frame[other];

                if (other >= buddy->frames || !f->free || f->order != order)
                        break;
                unlink_block(f);
                frame &= ~(1ull << order);
        }
        push(buddy, &buddy->frame[frame], order);
}
