/* Words, values and complaints of configuration lines; contract in config_line.h. */
#include "guest/config/config_line.h"

#include <stdarg.h>

#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"

#define WORD_SHOWN 60 /* characters of a word in a message */

void config_complain(struct config_line *line, const char *fmt, ...)
{
        struct config *config = line->config;
        size_t shown = line->word.len < WORD_SHOWN ? line->word.len : WORD_SHOWN;
        struct config_error *error;
        char where[24] = "command line";
        va_list ap;
        int len;

        line->mistakes++;
        if (line->vm != CONFIG_NO_VM)
                config->vm[line->vm].mistakes++;
        if (config->error_count++ >= CONFIG_ERRORS_MAX)
                return;
        error = &config->error[config->error_count - 1];
        error->vm = line->vm;
        if (line->module)
                format_text(where, sizeof where, "module %u", line->module);
        len = format_text(error->text, sizeof error->text, "%s: %.*s%s", where, (int)shown,
                          line->word.text, shown ? ": " : "");
        va_start(ap, fmt);
        format_text_v(error->text + len, sizeof error->text - (size_t)len, fmt, ap);
        va_end(ap);
}

bool config_is_blank(char c)
{
        return c == ' ' || c == '\t';
}

bool config_word_is(struct config_word word, const char *text)
{
        return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

bool config_word_split(struct config_word word, char c, struct config_word *before,
                       struct config_word *after)
{
        size_t at = 0;

        while (at < word.len && word.text[at] != c)
                at++;
        *before = (struct config_word){word.text, at};
        if (at == word.len)
                return false;
        *after = (struct config_word){word.text + at + 1, word.len - at - 1};
        return true;
}

bool config_next_word(struct config_line *line)
{
        const char *p = line->rest;
        bool inside = false;

        while (config_is_blank(*p))
                p++;
        line->word.text = p;
        for (; *p && (inside || !config_is_blank(*p)); p++) {
                if (line->quotes && *p == '"')
                        inside = !inside;
                else if (inside && *p == '\\' && p[1])
                        p++;
        }
        line->word.len = (size_t)(p - line->word.text);
        line->rest = p;
        return line->word.len > 0;
}

struct config_word config_word_unquote(struct config_word word)
{
        if (word.len < 2 || word.text[0] != '"' || word.text[word.len - 1] != '"')
                return word;
        return (struct config_word){word.text + 1, word.len - 2};
}

int config_digit_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return 16;
}

int config_read_digits(struct config_word word, uint64_t *out, struct config_word *rest)
{
        bool hex = word.len > 2 && word.text[0] == '0' && (word.text[1] | 0x20) == 'x';
        unsigned base = hex ? 16 : 10;
        size_t first = hex ? 2 : 0, at = first;
        uint64_t value = 0;

        for (; at < word.len && (unsigned)config_digit_value(word.text[at]) < base; at++) {
                unsigned digit = (unsigned)config_digit_value(word.text[at]);

                if (value > (UINT64_MAX - digit) / base)
                        return -ERANGE;
                value = value * base + digit;
        }
        *out = value;
        *rest = (struct config_word){word.text + at, word.len - at};
        return at == first ? -EINVAL : 0;
}

int config_parse_size(const char *text, size_t len, uint64_t *out)
{
        static const char suffixes[] = {'k', 'm', 'g', 't'};
        struct config_word rest;
        unsigned shift = 0;
        uint64_t value;
        int err = config_read_digits((struct config_word){text, len}, &value, &rest);

        if (err)
                return err;
        for (unsigned i = 0; rest.len == 1 && i < ARRAY_LEN(suffixes); i++)
                if ((rest.text[0] | 0x20) == suffixes[i])
                        shift = 10 * (i + 1);
        if (rest.len > 0 && shift == 0)
                return -EINVAL;
        if (value > UINT64_MAX >> shift)
                return -ERANGE;
        *out = value << shift;
        return 0;
}

bool config_read_size(struct config_line *line, struct config_word value, uint64_t *out)
{
        int err = config_parse_size(value.text, value.len, out);

        if (err == -ERANGE)
                config_complain(line, "the number does not fit in 64 bits");
        else if (err)
                config_complain(line, "a number with an optional suffix K, M, G or T is expected");
        return err == 0;
}

bool config_read_mapped_size(struct config_line *line, struct config_word value, uint64_t min,
                             uint64_t *out)
{
        uint64_t size;

        if (!config_read_size(line, value, &size))
                return false;
        if (size < min || size > CONFIG_SIZE_MAX) {
                config_complain(line, "the size must be from %lu MiB to %lu MiB", min / MiB,
                                CONFIG_SIZE_MAX / MiB);
                return false;
        }
        if (!is_aligned(size, PAGE_2M)) {
                config_complain(line, "the size must be a multiple of 2 MiB");
                return false;
        }
        *out = size;
        return true;
}

bool config_read_name(struct config_line *line, struct config_word value,
                      char name[CONFIG_NAME_SIZE])
{
        bool good = value.len > 0 && value.len < CONFIG_NAME_SIZE;

        for (size_t i = 0; good && i < value.len; i++) {
                char c = value.text[i], lower = (char)(c | 0x20);

                good = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '-';
        }
        if (!good) {
                config_complain(line, "a name of 1 to %d characters A-Z a-z 0-9 . _ - is expected",
                                CONFIG_NAME_SIZE - 1);
                return false;
        }
        memcpy(name, value.text, value.len);
        name[value.len] = '\0';
        return true;
}

int config_read_choice(struct config_line *line, struct config_word value,
                       const char *const *choices, int count, const char *expected)
{
        for (int i = 0; i < count; i++)
                if (config_word_is(value, choices[i]))
                        return i;
        config_complain(line, "%s is expected", expected);
        return -1;
}

void config_parse_word(struct config_line *line, const struct config_key *keys, size_t count)
{
        struct config_word name, value;
        bool has_value = config_word_split(line->word, '=', &name, &value);

        for (size_t i = 0; i < count; i++) {
                if (!config_word_is(name, keys[i].name))
                        continue;
                if (!has_value)
                        config_complain(line, "a value is expected: %s=VALUE", keys[i].name);
                else if ((line->keys & 1u << i) && !keys[i].repeatable)
                        config_complain(line, "%s= is given twice", keys[i].name);
                else
                        keys[i].parse(line, value);
                line->keys |= 1u << i;
                return;
        }
        config_complain(line, "unknown key");
}
