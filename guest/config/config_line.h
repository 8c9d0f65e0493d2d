/*
 * What the parsers of the hypervisor's options and of module lines share: a line in KEY=VALUE
 * words, a table that tells what each key sets, and complaints. For guest/config/ only.
 *
 * A parser of a value stores it or complains; it never stops the line, so that one start shows
 * every mistake.
 */
#pragma once

#include "guest/config/config.h"
#include "guest/text/words.h"

#define CONFIG_NO_VM (-1)

/* The line being read and the word that a complaint is about. */
struct config_line {
        struct config *config;
        unsigned module; /* 0: the hypervisor's command line */
        int vm;          /* index of the VM it concerns, or CONFIG_NO_VM */
        const char *rest;
        struct word word;
        unsigned keys; /* bit n: key n of the line's table was seen */
        unsigned mistakes;
        void *fields; /* the struct that its keys set */
};

struct config_key {
        const char *name;
        void (*parse)(struct config_line *line, const struct config_key *key, struct word value);
        size_t field;               /* where in line->fields it is stored */
        uint64_t limit;             /* see the parsers below */
        const char *const *choices; /* ends with NULL */
        const char *expected;       /* of choices and lists: the end of "... is expected" */
        bool repeatable;
        bool alone; /* it may stand without a value, whose text is NULL then */
};

/* Parsers for config_key: a uint32_t from 1 to limit; a size that is mapped into a guest, whole
 * large pages from limit up to CONFIG_SIZE_MAX; the index of one of the choices, as int. */
void config_key_number(struct config_line *line, const struct config_key *key, struct word value);
void config_key_mapped(struct config_line *line, const struct config_key *key, struct word value);
void config_key_choice(struct config_line *line, const struct config_key *key, struct word value);

/* Record a mistake in words, behind the module's number and line->word. */
void config_complain(struct config_line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Give line->word to the key of its name. */
void config_parse_word(struct config_line *line, const struct config_key *keys, size_t count);

/* Values, with a complaint and false for everything that is none. */
must_check bool config_read_size(struct config_line *line, struct word value, uint64_t *out);
must_check bool config_read_mapped_size(struct config_line *line, struct word value, uint64_t min,
                                        uint64_t *out);
bool config_read_name(struct config_line *line, struct word value, char name[WORD_NAME_SIZE]);
