/*
 * Where a command's output goes: aligned tables and lines for people, or JSON for programs.
 *
 * A command prints tables (out_table_begin, cells row by row, out_table_end) and lines (out_line).
 * In JSON each table is one array of objects, keyed by its columns, on one line; an error is one
 * object on one line, and other lines are left out. So every line of a command's output is one
 * complete JSON value. Text goes out as it is made: nothing is buffered or allocated.
 */
#pragma once

#include "hv/lib/printk.h"
#include "hv/lib/types.h"

/*
 * A column: its JSON key, its title in capitals, its least width (negative: left-aligned). A longer
 * cell widens its own row only.
 */
struct out_column {
        const char *key;
        const char *title;
        int width;
};

#define OUT_COLUMNS_MAX 12
#define OUT_TEXT_SIZE   512 /* of a cell or a line, terminated; the rest is cut off */

struct out {
        void (*put)(void *ctx, const char *text, size_t n);
        void *ctx;
        bool json;
        /* private */
        const struct out_column *column;
        size_t columns, at, rows;
        bool record;
};

/* An output whose lines become lines of the log. */
struct out_log {
        struct out out;
        enum log_level level; /* of the lines to come; may be changed behind each */
        const char *prefix;   /* of each line: "nvram: " */
        char line[OUT_TEXT_SIZE];
        size_t len;
};

void out_log_start(struct out_log *log, enum log_level level, const char *prefix);

/* A line of text for people; nothing in JSON. */
void out_line(struct out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Why a command failed, one line: "error: ..."; in JSON {"error": "..."}. Not within a table. */
void out_error(struct out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Begin a table; columns (1 to OUT_COLUMNS_MAX) stay the caller's until out_table_end. */
void out_table_begin(struct out *out, const struct out_column *columns, size_t count);

/* Begin a table that has one row: for people a line a cell, behind its title of up to 11
 * characters.
 */
void out_record_begin(struct out *out, const struct out_column *columns, size_t count);

/* End it, after a whole row; a table may have no rows. */
void out_table_end(struct out *out);

/* The next cell of the row, a text; after the last column's cell the row is written and a new one
 * begins. */
void out_cell(struct out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What a cell shows. */
struct out_value {
        enum { OUT_TEXT, OUT_NUMBER, OUT_SIZE, OUT_ADDRESS, OUT_BOOL } kind;
        const char *text; /* OUT_TEXT */
        uint64_t number;  /* all others */
};

/* The next cells: out_cells(out, out_text(name), out_size(bytes)). */
#define out_cells(out, ...)                                                                        \
        out_add_cells(out, (const struct out_value[]){__VA_ARGS__},                                \
                      sizeof((const struct out_value[]){__VA_ARGS__}) / sizeof(struct out_value))
void out_add_cells(struct out *out, const struct out_value *values, size_t count);

static inline struct out_value out_text(const char *text)
{
        return (struct out_value){OUT_TEXT, text, 0};
}

static inline struct out_value out_number(uint64_t value)
{
        return (struct out_value){OUT_NUMBER, NULL, value};
}

/* "64 MiB"; in JSON bytes as a number. */
static inline struct out_value out_size(uint64_t bytes)
{
        return (struct out_value){OUT_SIZE, NULL, bytes};
}

/* "0x20000000"; in JSON a number. */
static inline struct out_value out_address(uint64_t addr)
{
        return (struct out_value){OUT_ADDRESS, NULL, addr};
}

/* "yes" or "no"; in JSON true or false. */
static inline struct out_value out_bool(bool value)
{
        return (struct out_value){OUT_BOOL, NULL, value};
}
