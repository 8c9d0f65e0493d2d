/* Is a text one JSON value (RFC 8259)? Enough of a parser to find what a real one would refuse. */
#pragma once

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static inline const char *json_value(const char *p);

static inline const char *json_blanks(const char *p)
{
        while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
                p++;
        return p;
}

/* All of these take the text at a value and return what is behind it, or NULL. */
static inline const char *json_string(const char *p)
{
        if (*p++ != '"')
                return NULL;
        for (; *p != '"'; p++) {
                if ((unsigned char)*p < 0x20)
                        return NULL;
                if (*p == '\\' && !strchr("\"\\/bfnrtu", *++p))
                        return NULL;
        }
        return p + 1;
}

static inline const char *json_number(const char *p)
{
        const char *from = p += *p == '-';

        while (isdigit((unsigned char)*p))
                p++;
        return p == from || (*from == '0' && p - from > 1) ? NULL : p;
}

static inline const char *json_member(const char *p)
{
        p = json_string(p);
        p = p ? json_blanks(p) : NULL;
        return p && *p == ':' ? json_value(p + 1) : NULL;
}

static inline const char *json_list(const char *p, char end, const char *(*item)(const char *))
{
        p = json_blanks(p + 1);
        if (*p == end)
                return p + 1;
        for (;;) {
                p = item(json_blanks(p));
                p = p ? json_blanks(p) : NULL;
                if (!p || *p == end)
                        return p ? p + 1 : NULL;
                if (*p++ != ',')
                        return NULL;
        }
}

static inline const char *json_value(const char *p)
{
        static const char *const words[] = {"true", "false", "null"};

        p = json_blanks(p);
        if (*p == '{')
                return json_list(p, '}', json_member);
        if (*p == '[')
                return json_list(p, ']', json_value);
        if (*p == '"')
                return json_string(p);
        for (size_t i = 0; i < 3; i++)
                if (!strncmp(p, words[i], strlen(words[i])))
                        return p + strlen(words[i]);
        return json_number(p);
}

/* One value and nothing behind it but blanks. */
static inline bool json_is_valid(const char *text)
{
        const char *end = json_value(text);

        return end && !*json_blanks(end);
}
