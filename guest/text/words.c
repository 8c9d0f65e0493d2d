/* Words, numbers, sizes and names; rules and contract in words.h. */
#include "guest/text/words.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

struct word word_of(const char *text)
{
        return (struct word){text, strlen(text)};
}

bool word_is(struct word word, const char *text)
{
        return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

struct word word_trim(struct word word)
{
        while (word.len && is_blank(word.text[0]))
                word = (struct word){word.text + 1, word.len - 1};
        while (word.len && is_blank(word.text[word.len - 1]))
                word.len--;
        return word;
}

bool word_split(struct word word, char c, struct word *before, struct word *after)
{
        size_t at = 0;

        while (at < word.len && word.text[at] != c)
                at++;
        *before = (struct word){word.text, at};
        if (at == word.len)
                return false;
        *after = (struct word){word.text + at + 1, word.len - at - 1};
        return true;
}

bool word_next_item(struct word *rest, char c, struct word *item)
{
        if (!rest->text)
                return false;
        if (!word_split(*rest, c, item, rest))
                rest->text = NULL; /* this is the last one */
        return true;
}

bool word_next(const char **text, bool quotes, struct word *word)
{
        const char *p = *text;
        bool inside = false;

        while (is_blank(*p))
                p++;
        word->text = p;
        for (; *p && (inside || !is_blank(*p)); p++) {
                if (quotes && *p == '"')
                        inside = !inside;
                else if (inside && *p == '\\' && p[1])
                        p++;
        }
        word->len = (size_t)(p - word->text);
        *text = p;
        return word->len > 0;
}

bool word_unquote(struct word word, char *to)
{
        bool inside = false;

        for (size_t i = 0; i < word.len; i++) {
                if (word.text[i] == '"') {
                        inside = !inside;
                        continue;
                }
                if (inside && word.text[i] == '\\' && i + 1 < word.len)
                        i++;
                *to++ = word.text[i];
        }
        *to = '\0';
        return !inside;
}

/* 16: it is none in any base. */
unsigned word_digit(char c)
{
        char lower = (char)(c | 0x20);

        if (c >= '0' && c <= '9')
                return (unsigned)(c - '0');
        return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10 : 16;
}

int word_digits(struct word word, uint64_t *value, struct word *rest)
{
        bool hex = word.len > 2 && word.text[0] == '0' && (word.text[1] | 0x20) == 'x';
        size_t first = hex ? 2 : 0, at = first;
        unsigned base = hex ? 16 : 10, digit;
        uint64_t sum = 0;

        for (; at < word.len && (digit = word_digit(word.text[at])) < base; at++) {
                if (sum > (UINT64_MAX - digit) / base)
                        return -ERANGE;
                sum = sum * base + digit;
        }
        if (at == first)
                return -EINVAL;
        *value = sum;
        *rest = (struct word){word.text + at, word.len - at};
        return 0;
}

int word_number(struct word word, uint64_t *value)
{
        struct word rest;
        uint64_t number;
        int err = word_digits(word, &number, &rest);

        if (err || rest.len)
                return err ? err : -EINVAL;
        *value = number;
        return 0;
}

int word_size(struct word word, uint64_t *value)
{
        static const char suffixes[] = {'k', 'm', 'g', 't'};
        struct word rest;
        unsigned shift = 0;
        uint64_t number;
        int err = word_digits(word, &number, &rest);

        if (err)
                return err;
        for (unsigned i = 0; rest.len == 1 && i < ARRAY_LEN(suffixes); i++)
                if ((rest.text[0] | 0x20) == suffixes[i])
                        shift = 10 * (i + 1);
        if (rest.len && !shift)
                return -EINVAL;
        if (number > UINT64_MAX >> shift)
                return -ERANGE;
        *value = number << shift;
        return 0;
}

const char *word_size_rule(int err)
{
        return err == -ERANGE ? "the number does not fit in 64 bits"
                              : "a number with an optional suffix K, M, G or T is expected";
}

bool word_is_name(struct word word)
{
        for (size_t i = 0; i < word.len; i++) {
                char c = word.text[i], lower = (char)(c | 0x20);

                if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '.' &&
                    c != '_' && c != '-')
                        return false;
        }
        return word.len > 0 && word.len < WORD_NAME_SIZE;
}
