/*
 * Commands: words of a line, looked up in tables of verbs. The monitor, the hypervisor's run=
 * option and the off-line tool share them.
 *
 * A line is split at blanks; "double quotes" keep blanks in a word, and a word with quotes is never
 * an option. Options may stand anywhere: -y (do not ask), -v (more), -o json, -o text; everything
 * else is an argument.
 */
#pragma once

#include "guest/text/out.h"
#include "hv/lib/types.h"

#define COMMAND_LINE_SIZE 256
#define COMMAND_WORDS_MAX 16

struct command_call {
        struct out *out;
        void *target; /* what the verbs of this table work on; see their header */
        const char *word[COMMAND_WORDS_MAX]; /* arguments only */
        size_t words;
        bool yes, verbose;
};

/* The kinds of names that an argument can be completed to; bits. */
#define COMMAND_COMPLETE_REGION 1u
#define COMMAND_COMPLETE_VM     2u

struct command {
        const char *name;
        const char *args; /* "NAME SIZE [OWNER]"; "" for none */
        const char *help; /* one line */
        size_t min, max;  /* arguments */
        bool destructive; /* asks unless given -y */
        unsigned complete;
        int (*run)(const struct command_call *call); /* 0 or -errno, the reason printed */
};

struct command_table {
        const char *group; /* first word ("nv"), or "" for verbs without one */
        const struct command *command;
        size_t count;
        void *target;
};

/* All verbs that a user has, and how to ask them back. */
struct command_set {
        const struct command_table *table;
        size_t tables;
        /* Ask "LINE: sure? "; NULL: nobody can be asked, destructive verbs need -y. */
        bool (*confirm)(void *ctx, const char *line);
        /* The i-th name of a kind of names (COMMAND_COMPLETE_*), NULL behind the last; may be NULL.
         */
        const char *(*name)(void *ctx, unsigned kind, size_t i);
        /* A verb with these arguments is about to run, all checks are done: get ready what it
         * needs, or have command_run fail with -errno, the reason printed. NULL: nothing is needed.
         */
        int (*ready)(void *ctx, const struct command *command, const struct command_call *call);
        void *ctx;
};

/* A line in words. */
struct command_line {
        char text[COMMAND_LINE_SIZE]; /* the words of command_split stand here */
        const char *word[COMMAND_WORDS_MAX];
        size_t words;
        bool yes, verbose;
        bool has_format, json;  /* -o was given, and asks for JSON */
        bool wants_format;      /* the last word was -o */
        const char *why, *what; /* the mistake, after -EINVAL; what may be "" */
};

/* Add a word: an option, where it may be one, to its field, any other to the words. -EINVAL: see
 * command_run. word is kept by reference. */
must_check int command_add_word(struct command_line *line, const char *word, bool may_be_option);

/*
 * Run one line. Returns the verb's result; 0 for an empty line; -EINVAL, with the reason printed:
 * unknown verb or option, wrong number of arguments, too many words, an open quote; -EPERM: a
 * destructive verb that was not confirmed. `help` and `help VERB` are known in every set.
 */
int command_run(const struct command_set *set, const char *line, struct out *out);

/* Run the verb of a line whose words were added one by one; text: the line, for questions. */
int command_run_words(const struct command_set *set, const struct command_line *line,
                      const char *text, struct out *out);

/*
 * Complete the word that ends at line[len]: writes what can be appended for certain to add (size
 * bytes with the terminating zero; a blank behind a word that is complete) and returns how many
 * candidates there are; show (may be NULL) is called with each.
 */
size_t command_complete(const struct command_set *set, const char *line, size_t len, char *add,
                        size_t size, void (*show)(void *ctx, const char *candidate), void *ctx);
