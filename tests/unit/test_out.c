/* Tables and lines: alignment for people, valid JSON for programs. */
#include "guest/text/out.h"

#include "tests/unit/text_sink.h"
#include "tests/unit/unit.h"

static struct text_sink sink;

static const struct out_column columns[] = {
    {"name", "NAME", -8}, {"count", "COUNT", 6}, {"size", "SIZE", 8}, {"last", "LAST", -1}};

static void expect(const char *text)
{
        CHECK(strcmp(sink.text, text) == 0);
        if (strcmp(sink.text, text) != 0)
                printf("# got\n%s# expected\n%s", sink.text, text);
}

static void fill(struct out *out)
{
        out_table_begin(out, columns, 4);
        out_cell(out, "a%d", 1);
        out_cells(out, out_number(7));
        out_cells(out, out_size(64 << 20));
        out_cells(out, out_bool(true));
        out_cell(out, "longer-than-8");
        out_cells(out, out_number(UINT64_MAX));
        out_cells(out, out_address(0x20000000));
        out_cells(out, out_bool(false));
        out_table_end(out);
}

static void test_text_table(void)
{
        fill(text_sink_start(&sink, false));
        expect("NAME       COUNT      SIZE  LAST\n"
               "a1             7    64 MiB  yes\n"
               "longer-than-8  18446744073709551615  0x20000000  no\n");
}

static void test_json_table(void)
{
        fill(text_sink_start(&sink, true));
        expect("[{\"name\": \"a1\", \"count\": 7, \"size\": 67108864, \"last\": true}, "
               "{\"name\": \"longer-than-8\", \"count\": 18446744073709551615, "
               "\"size\": 536870912, \"last\": false}]\n");
}

/* One row: a line a cell for people, a table like any other for programs. */
static void test_record(void)
{
        for (int json = 0; json < 2; json++) {
                struct out *out = text_sink_start(&sink, json);

                out_record_begin(out, columns, 3);
                out_cell(out, "a");
                out_cells(out, out_number(7));
                out_cells(out, out_size(64 << 20));
                out_table_end(out);
                out_table_begin(out, columns, 1);
                out_cell(out, "b");
                out_table_end(out);
                expect(json ? "[{\"name\": \"a\", \"count\": 7, \"size\": 67108864}]\n"
                              "[{\"name\": \"b\"}]\n"
                            : "NAME        a\nCOUNT       7\nSIZE        64 MiB\nNAME\nb\n");
        }
}

static void test_empty_tables(void)
{
        struct out *out = text_sink_start(&sink, true);

        out_table_begin(out, columns, 4);
        out_table_end(out);
        expect("[]\n");
        out = text_sink_start(&sink, false);
        out_table_begin(out, columns, 2);
        out_table_end(out);
        expect("NAME       COUNT\n");
}

/* One column: the row ends with its only cell, in both forms. */
static void test_one_column(void)
{
        for (int json = 0; json < 2; json++) {
                struct out *out = text_sink_start(&sink, json);

                out_table_begin(out, columns, 1);
                out_cell(out, "x");
                out_cell(out, "y");
                out_table_end(out);
                expect(json ? "[{\"name\": \"x\"}, {\"name\": \"y\"}]\n" : "NAME\nx\ny\n");
        }
}

static void test_json_escapes(void)
{
        struct out *out = text_sink_start(&sink, true);

        out_table_begin(out, columns, 1);
        out_cell(out, "\"\\/\n\t\x01\x7f\xff");
        out_table_end(out);
        expect("[{\"name\": \"\\\"\\\\/\\u000a\\u0009\\u0001\\u007f\\u00ff\"}]\n");
}

static void test_lines_and_errors(void)
{
        struct out *out = text_sink_start(&sink, false);

        out_line(out, "%d lines", 2);
        out_error(out, "no \"%s\"", "x");
        expect("2 lines\nerror: no \"x\"\n");
        out = text_sink_start(&sink, true);
        out_line(out, "%d lines", 2);
        out_error(out, "no \"%s\"", "x");
        expect("{\"error\": \"no \\\"x\\\"\"}\n");
}

/* What is longer than OUT_TEXT_SIZE is cut, and never half an escape. */
static void test_long_text(void)
{
        char text[2 * OUT_TEXT_SIZE];
        struct out *out = text_sink_start(&sink, true);

        memset(text, '"', sizeof text);
        text[sizeof text - 1] = '\0';
        out_error(out, "%s", text);
        CHECK_EQ(sink.len, strlen("{\"error\": \"\"}\n") + 2 * (OUT_TEXT_SIZE - 1));
        out_line(text_sink_start(&sink, false), "%s", text);
        CHECK_EQ(sink.len, OUT_TEXT_SIZE);
}

/* One line of the log a line of text, whole and with its prefix; a long one is cut. */
static void test_log(void)
{
        char text[2 * OUT_TEXT_SIZE];
        struct out_log log;

        unit_log_clear();
        out_log_start(&log, LOG_INFO, "pool: ");
        fill(&log.out);
        CHECK(unit_log_has("pool: NAME       COUNT      SIZE  LAST"
                           "pool: a1             7    64 MiB  yes"
                           "pool: longer-than-8  18446744073709551615  0x20000000  no"));
        memset(text, 'x', sizeof text);
        text[sizeof text - 1] = '\0';
        unit_log_clear();
        out_line(&log.out, "%s", text);
        out_line(&log.out, "next");
        CHECK(unit_log_has("xxxpool: next"));
}

int main(void)
{
        RUN(test_text_table);
        RUN(test_json_table);
        RUN(test_record);
        RUN(test_empty_tables);
        RUN(test_one_column);
        RUN(test_json_escapes);
        RUN(test_lines_and_errors);
        RUN(test_long_text);
        RUN(test_log);
        return unit_done();
}
