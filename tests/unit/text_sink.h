/* A struct out whose text a test can read. */
#pragma once

#include <string.h>

#include "guest/text/out.h"

struct text_sink {
        struct out out;
        char text[16384];
        size_t len;
};

static inline void text_sink_put(void *ctx, const char *text, size_t n)
{
        struct text_sink *s = ctx;

        if (n > sizeof s->text - 1 - s->len)
                n = sizeof s->text - 1 - s->len;
        memcpy(s->text + s->len, text, n);
        s->len += n;
        s->text[s->len] = '\0';
}

/* Empty it; json: what out->json is. */
static inline struct out *text_sink_start(struct text_sink *s, bool json)
{
        s->len = 0;
        s->text[0] = '\0';
        s->out = (struct out){.put = text_sink_put, .ctx = s, .json = json};
        return &s->out;
}
