/* What command.c and command_complete.c share: a line in words, and the verb they name. */
#pragma once

#include "guest/text/command.h"

struct command_line {
        char text[COMMAND_LINE_SIZE]; /* the words stand here */
        const char *word[COMMAND_WORDS_MAX];
        size_t words;
        bool yes, verbose;
        bool has_format, json;  /* -o was given, and asks for JSON */
        const char *why, *what; /* the mistake, after -EINVAL; what may be "" */
};

/* Split text; options go into their fields, everything else into word. -EINVAL: see command_run. */
must_check int command_split(const char *text, struct command_line *line);

/* Whether a table has this group; never for "". */
bool command_group_known(const struct command_set *set, const char *group);

/* The command that the first *used words name, and its table. NULL: none, nothing is set. */
const struct command *command_find(const struct command_set *set, const char *const *word,
                                   size_t words, const struct command_table **table, size_t *used);
