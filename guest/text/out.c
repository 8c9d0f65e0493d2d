/* Tables and lines as text or JSON; contract in out.h. */
#include "guest/text/out.h"

#include <stdarg.h>

#include "hv/lib/format.h"
#include "hv/lib/string.h"
#include "mm/memmap.h"

#define NUMBER_SIZE  24
#define RECORD_TITLE 12 /* characters in front of a record's values */

static const char blanks[] = "                ";

static void put_text(struct out *out, const char *text)
{
        out->put(out->ctx, text, strlen(text));
}

/* A JSON string (RFC 8259 7). Bytes outside of ASCII are told as the code points of their value. */
static void put_string(struct out *out, const char *text)
{
        char escaped[8];

        put_text(out, "\"");
        for (const char *p = text; *p; p++) {
                unsigned char c = (unsigned char)*p;

                if (c == '"' || c == '\\')
                        format_text(escaped, sizeof escaped, "\\%c", *p);
                else if (c < 0x20 || c >= 0x7f)
                        format_text(escaped, sizeof escaped, "\\u%04x", c);
                else
                        format_text(escaped, sizeof escaped, "%c", *p);
                put_text(out, escaped);
        }
        put_text(out, "\"");
}

static void put_blanks(struct out *out, size_t n)
{
        while (n) {
                size_t some = n < sizeof blanks - 1 ? n : sizeof blanks - 1;

                out->put(out->ctx, blanks, some);
                n -= some;
        }
}

/* Text in its column: two blanks before every column but the first, none behind the last. */
static void put_aligned(struct out *out, size_t column, const char *text)
{
        int width = out->column[column].width;
        size_t wanted = (size_t)(width < 0 ? -width : width), n = strlen(text);
        size_t pad = wanted > n ? wanted - n : 0;

        if (column)
                put_blanks(out, 2);
        if (width > 0)
                put_blanks(out, pad);
        put_text(out, text);
        if (width < 0 && column + 1 < out->columns)
                put_blanks(out, pad);
}

static void put_json_cell(struct out *out, const char *text, bool quoted)
{
        put_text(out, out->at ? ", " : out->rows ? ", {" : "{");
        put_string(out, out->column[out->at].key);
        put_text(out, ": ");
        if (quoted)
                put_string(out, text);
        else
                put_text(out, text);
        if (out->at + 1 == out->columns)
                put_text(out, "}");
}

/* A line of a record. */
static void put_titled(struct out *out, const char *title, const char *text)
{
        put_text(out, title);
        put_blanks(out, RECORD_TITLE - strlen(title));
        put_text(out, text);
        put_text(out, "\n");
}

/* A cell in the form of the output; quoted: it is a string, in JSON. */
static void put_cell(struct out *out, const char *text, bool quoted)
{
        bool last = out->at + 1 == out->columns;

        if (out->json) {
                put_json_cell(out, text, quoted);
        } else if (out->record) {
                put_titled(out, out->column[out->at].title, text);
        } else {
                put_aligned(out, out->at, text);
                if (last)
                        put_text(out, "\n");
        }
        out->rows += last;
        out->at = last ? 0 : out->at + 1;
}

/* Lines of text end with a newline each, which printk adds itself. */
static void put_log(void *ctx, const char *text, size_t n)
{
        struct out_log *log = ctx;

        for (size_t i = 0; i < n; i++) {
                if (text[i] == '\n') {
                        printk(log->level, "%s%.*s", log->prefix, (int)log->len, log->line);
                        log->len = 0;
                } else if (log->len < sizeof log->line) {
                        log->line[log->len++] = text[i];
                }
        }
}

void out_log_start(struct out_log *log, enum log_level level, const char *prefix)
{
        *log =
            (struct out_log){.out = {.put = put_log, .ctx = log}, .level = level, .prefix = prefix};
}

void out_line(struct out *out, const char *fmt, ...)
{
        char text[OUT_TEXT_SIZE];
        va_list ap;

        if (out->json)
                return;
        va_start(ap, fmt);
        format_text_v(text, sizeof text, fmt, ap);
        va_end(ap);
        put_text(out, text);
        put_text(out, "\n");
}

void out_error(struct out *out, const char *fmt, ...)
{
        char text[OUT_TEXT_SIZE];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(text, sizeof text, fmt, ap);
        va_end(ap);
        put_text(out, out->json ? "{\"error\": " : "error: ");
        if (out->json)
                put_string(out, text);
        else
                put_text(out, text);
        put_text(out, out->json ? "}\n" : "\n");
}

static void begin(struct out *out, const struct out_column *columns, size_t count, bool record)
{
        out->column = columns;
        out->columns = count;
        out->at = 0;
        out->rows = 0;
        out->record = record;
        if (out->json)
                put_text(out, "[");
}

void out_record_begin(struct out *out, const struct out_column *columns, size_t count)
{
        begin(out, columns, count, true);
}

void out_table_begin(struct out *out, const struct out_column *columns, size_t count)
{
        begin(out, columns, count, false);
        if (out->json)
                return;
        for (size_t i = 0; i < count; i++)
                put_aligned(out, i, columns[i].title);
        put_text(out, "\n");
}

void out_table_end(struct out *out)
{
        if (out->json)
                put_text(out, "]\n");
        out->column = NULL;
        out->columns = 0;
}

void out_cell(struct out *out, const char *fmt, ...)
{
        char text[OUT_TEXT_SIZE];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(text, sizeof text, fmt, ap);
        va_end(ap);
        put_cell(out, text, true);
}

static void put_value(struct out *out, const struct out_value *value)
{
        char text[NUMBER_SIZE];

        if (value->kind == OUT_TEXT) {
                put_cell(out, value->text, true);
                return;
        }
        if (value->kind == OUT_BOOL)
                format_text(text, sizeof text, "%s",
                            out->json ? (value->number ? "true" : "false")
                                      : (value->number ? "yes" : "no"));
        else if (value->kind == OUT_SIZE && !out->json)
                memmap_format_size(text, sizeof text, value->number);
        else
                format_text(text, sizeof text,
                            value->kind == OUT_ADDRESS && !out->json ? "0x%lx" : "%lu",
                            value->number);
        put_cell(out, text, false);
}

void out_add_cells(struct out *out, const struct out_value *values, size_t count)
{
        for (size_t i = 0; i < count; i++)
                put_value(out, &values[i]);
}
