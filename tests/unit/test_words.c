/* Words, lists, numbers, sizes and names: what is taken, and everything just beside it. */
#include "guest/text/words.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

/* Words of a text, shown with their quotes in place, '|' behind each. */
static void splits(const char *text, bool quotes, const char *expected)
{
        char got[256] = "";
        struct word word;

        while (word_next(&text, quotes, &word)) {
                strncat(got, word.text, word.len);
                strcat(got, "|");
        }
        CHECK(strcmp(got, expected) == 0);
        if (strcmp(got, expected) != 0)
                printf("# got %s\n", got);
        CHECK_EQ(word.len, 0);
        CHECK(!*text);
}

static void test_splitting(void)
{
        splits("", false, "");
        splits(" \t ", true, "");
        splits("  a\tbc  d", false, "a|bc|d|");
        splits("a \"b c\" d", false, "a|\"b|c\"|d|");
        splits("a \"b c\" d", true, "a|\"b c\"|d|");
        splits("x=\"b  c\"d e", true, "x=\"b  c\"d|e|");
        splits("\"a \\\" b\" c", true, "\"a \\\" b\"|c|");
        splits("a\\ b", true, "a\\|b|"); /* a backslash means something between quotes only */
        splits("\"\" \"open a", true, "\"\"|\"open a|");
        splits("\"a\\", true, "\"a\\|");
}

static void unquotes(const char *text, bool closed, const char *expected)
{
        char to[64];

        CHECK_EQ(word_unquote(word_of(text), to), closed);
        CHECK(strcmp(to, expected) == 0);
}

static void test_quotes(void)
{
        unquotes("", true, "");
        unquotes("\"\"", true, "");
        unquotes("th\"r  e\"e", true, "thr  ee");
        unquotes("\"run=a \\\"b\\\" \\\\\"", true, "run=a \"b\" \\");
        unquotes("a\\b", true, "a\\b");
        unquotes("\"a b", false, "a b");
        unquotes("\"a\\", false, "a\\");
}

static void test_pieces(void)
{
        struct word before, after = {0};

        CHECK(word_split(word_of("a=b=c"), '=', &before, &after));
        CHECK(word_is(before, "a") && word_is(after, "b=c"));
        CHECK(!word_split(word_of("abc"), '=', &before, &after));
        CHECK(word_is(before, "abc"));
        CHECK(word_split(word_of("="), '=', &before, &after));
        CHECK(!before.len && !after.len);
        CHECK(!word_is(word_of("ab"), "a") && !word_is(word_of("a"), "ab"));
        CHECK(word_is(word_trim(word_of(" \ta b\t ")), "a b"));
        CHECK_EQ(word_trim(word_of(" \t ")).len, 0);
}

static size_t items(const char *text, char c)
{
        struct word item, rest = word_of(text);
        size_t n = 0;

        while (word_next_item(&rest, c, &item))
                n++;
        return n;
}

static void test_lists(void)
{
        struct word item, rest = word_of("a,,bc");

        CHECK(word_next_item(&rest, ',', &item) && word_is(item, "a"));
        CHECK(word_next_item(&rest, ',', &item) && word_is(item, ""));
        CHECK(word_next_item(&rest, ',', &item) && word_is(item, "bc"));
        CHECK(!word_next_item(&rest, ',', &item));
        CHECK_EQ(items("", ','), 1);
        CHECK_EQ(items("a,", ','), 2);
        CHECK_EQ(items("a,b", ';'), 1);
}

static void reads(int (*read)(struct word, uint64_t *), const char *text, int err, uint64_t value)
{
        uint64_t got = 77;

        CHECK_EQ(read(word_of(text), &got), err);
        CHECK_EQ(got, err ? 77 : value);
        if (got != (err ? 77 : value))
                printf("# %s\n", text);
}

static void test_numbers(void)
{
        reads(word_number, "0", 0, 0);
        reads(word_number, "007", 0, 7);
        reads(word_number, "0xaF", 0, 0xaf);
        reads(word_number, "0X10", 0, 16);
        reads(word_number, "18446744073709551615", 0, UINT64_MAX);
        reads(word_number, "18446744073709551616", -ERANGE, 0);
        reads(word_number, "0xffffffffffffffff", 0, UINT64_MAX);
        reads(word_number, "0x10000000000000000", -ERANGE, 0);
        reads(word_number, "", -EINVAL, 0);
        reads(word_number, "0x", -EINVAL, 0);
        reads(word_number, "x1", -EINVAL, 0);
        reads(word_number, "-1", -EINVAL, 0);
        reads(word_number, "+1", -EINVAL, 0);
        reads(word_number, " 1", -EINVAL, 0);
        reads(word_number, "1a", -EINVAL, 0);
        reads(word_number, "0xg", -EINVAL, 0);
        reads(word_number, "1K", -EINVAL, 0);
}

static void test_sizes(void)
{
        reads(word_size, "64M", 0, 64 * MiB);
        reads(word_size, "64m", 0, 64 * MiB);
        reads(word_size, "1k", 0, KiB);
        reads(word_size, "3G", 0, 3 * GiB);
        reads(word_size, "2T", 0, 2 * TiB);
        reads(word_size, "0x10K", 0, 16 * KiB);
        reads(word_size, "4096", 0, 4096);
        reads(word_size, "0", 0, 0);
        reads(word_size, "16777215T", 0, 16777215 * TiB);
        reads(word_size, "16777216T", -ERANGE, 0);
        reads(word_size, "99999999999999999999", -ERANGE, 0);
        reads(word_size, "", -EINVAL, 0);
        reads(word_size, "M", -EINVAL, 0);
        reads(word_size, "64MB", -EINVAL, 0);
        reads(word_size, "64Mi", -EINVAL, 0);
        reads(word_size, "64P", -EINVAL, 0);
        reads(word_size, "64 M", -EINVAL, 0);
        reads(word_size, "1.5G", -EINVAL, 0);
        CHECK(strstr(word_size_rule(-EINVAL), "K, M, G or T"));
        CHECK(strstr(word_size_rule(-ERANGE), "64 bits"));
}

/* What is behind the word is not looked at. */
static void test_not_terminated(void)
{
        struct word rest;
        uint64_t value;

        CHECK_EQ(word_size((struct word){"12345M", 3}, &value), 0);
        CHECK_EQ(value, 123);
        CHECK_EQ(word_digits(word_of("12-5"), &value, &rest), 0);
        CHECK_EQ(value, 12);
        CHECK(word_is(rest, "-5"));
        CHECK(word_is_name((struct word){"a/b", 1}));
}

static void test_names(void)
{
        CHECK(word_is_name(word_of("a")));
        CHECK(word_is_name(word_of("A-Z.a_z-09")));
        CHECK(word_is_name(word_of("1234567890123456789012345678901")));
        CHECK(!word_is_name(word_of("12345678901234567890123456789012")));
        CHECK(!word_is_name(word_of("")));
        for (int c = 1; c < 256; c++) {
                char name[] = {'a', (char)c, '\0'};
                bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                            (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';

                CHECK_EQ(word_is_name(word_of(name)), good);
        }
}

int main(void)
{
        RUN(test_splitting);
        RUN(test_quotes);
        RUN(test_pieces);
        RUN(test_lists);
        RUN(test_numbers);
        RUN(test_sizes);
        RUN(test_not_terminated);
        RUN(test_names);
        return unit_done();
}
