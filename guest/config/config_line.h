/*
 * What the parsers of the hypervisor's options and of module lines share: a line in KEY=VALUE
 * words, the dispatcher with a table of keys, values, and complaints. For guest/config*.c only.
 *
 * A parser of a value stores it or complains; it never stops the line, so that one start shows
 * every mistake.
 */
#pragma once

#include "guest/config/config.h"

#define CONFIG_NO_VM (-1)

/* A piece of the line; not terminated. */
struct config_word {
        const char *text;
        size_t len;
};

/* The line being read and the word that a complaint is about. */
struct config_line {
        struct config *config;
        unsigned module; /* 0: the hypervisor's command line */
        int vm;          /* index of the VM it concerns, or CONFIG_NO_VM */
        const char *rest;
        bool quotes; /* keep blanks together */
        struct config_word word;
        unsigned keys; /* bit n: key n of the line's table was seen */
        unsigned mistakes;
};

struct config_key {
        const char *name;
        bool repeatable;
        void (*parse)(struct config_line *line, struct config_word value);
};

/* Record a mistake in words, behind the module's number and line->word. */
void config_complain(struct config_line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

bool config_is_blank(char c);
bool config_word_is(struct config_word word, const char *text);

/* Cut word at the first c: before it and, in *after, behind it. false: there is no c. */
bool config_word_split(struct config_word word, char c, struct config_word *before,
                       struct config_word *after);

/* A word that stands in quotes as a whole: what is between them; any other as it is. */
struct config_word config_word_unquote(struct config_word word);

/* Take the next word of the line into line->word, quotes and all; false at its end, with an empty
 * word. */
bool config_next_word(struct config_line *line);

/* Give line->word to the key of its name. */
void config_parse_word(struct config_line *line, const struct config_key *keys, size_t count);

/* What a hexadecimal digit stands for; 16: it is none. */
int config_digit_value(char c);

/* Read the digits at the start of word and leave what follows them in *rest. Errors as
 * config_parse_size. */
must_check int config_read_digits(struct config_word word, uint64_t *out, struct config_word *rest);

/* Values, with a complaint and false (or -1) for everything that is none. */
must_check bool config_read_size(struct config_line *line, struct config_word value, uint64_t *out);
bool config_read_name(struct config_line *line, struct config_word value,
                      char name[CONFIG_NAME_SIZE]);

/* A size that is mapped into a guest: whole large pages, from min up to CONFIG_SIZE_MAX. */
bool config_read_mapped_size(struct config_line *line, struct config_word value, uint64_t min,
                             uint64_t *out);

/* The index of value in a list of choices; expected names them in the complaint. */
must_check int config_read_choice(struct config_line *line, struct config_word value,
                                  const char *const *choices, int count, const char *expected);
