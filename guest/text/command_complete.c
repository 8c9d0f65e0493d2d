/* Completion of the last word of a line; contract in command.h. */
#include "guest/text/command_internal.h"
#include "hv/lib/string.h"

/* What fits so far. common is what all candidates begin with. */
struct completion {
        const char *typed;
        size_t typed_len;
        char common[COMMAND_LINE_SIZE];
        size_t common_len;
        size_t count;
        void (*show)(void *ctx, const char *candidate);
        void *ctx;
};

static void consider(struct completion *c, const char *candidate)
{
        size_t len = strlen(candidate), same = 0;

        if (len < c->typed_len || memcmp(candidate, c->typed, c->typed_len) != 0)
                return;
        if (c->show)
                c->show(c->ctx, candidate);
        if (c->count++ == 0) {
                c->common_len = len < sizeof c->common ? len : sizeof c->common;
                memcpy(c->common, candidate, c->common_len);
                return;
        }
        while (same < len && same < c->common_len && candidate[same] == c->common[same])
                same++;
        c->common_len = same;
}

/* Words that may stand first: verbs without a group, groups, and help where it is meant. */
static void consider_first(struct completion *c, const struct command_set *set)
{
        for (size_t t = 0; t < set->tables; t++) {
                const struct command_table *table = &set->table[t];
                bool seen = false;

                for (size_t i = 0; !*table->group && i < table->count; i++)
                        consider(c, table->command[i].name);
                for (size_t before = 0; before < t; before++)
                        seen |= strcmp(set->table[before].group, table->group) == 0;
                if (*table->group && !seen)
                        consider(c, table->group);
        }
}

static void consider_group(struct completion *c, const struct command_set *set, const char *group)
{
        for (size_t t = 0; t < set->tables; t++)
                for (size_t i = 0; i < set->table[t].count; i++)
                        if (strcmp(set->table[t].group, group) == 0)
                                consider(c, set->table[t].command[i].name);
}

static void consider_names(struct completion *c, const struct command_set *set, unsigned kinds)
{
        const char *name;

        for (unsigned kind = 1; kind && set->name; kind <<= 1)
                for (size_t i = 0; kinds & kind && (name = set->name(set->ctx, kind, i)); i++)
                        consider(c, name);
}

static void consider_all(struct completion *c, const struct command_set *set,
                         const struct command_line *before)
{
        const char *const *word = before->word;
        size_t words = before->words, used;
        const struct command_table *table;
        const struct command *command;
        bool help = words && strcmp(word[0], "help") == 0;

        if (words == 0)
                consider(c, "help");
        if (help) {
                word++;
                words--;
        }
        command = command_find(set, word, words, &table, &used);
        if (words == 0)
                consider_first(c, set);
        else if (command && !help && words - used < command->max)
                consider_names(c, set, command->complete);
        else if (!command && words == 1)
                consider_group(c, set, word[0]);
}

size_t command_complete(const struct command_set *set, const char *line, size_t len, char *add,
                        size_t size, void (*show)(void *ctx, const char *candidate), void *ctx)
{
        struct completion c = {.typed = line + len, .show = show, .ctx = ctx};
        struct command_line before;
        char text[COMMAND_LINE_SIZE];
        size_t n;

        add[0] = '\0';
        while (c.typed > line && c.typed[-1] != ' ' && c.typed[-1] != '\t')
                c.typed--;
        n = (size_t)(c.typed - line);
        c.typed_len = len - n;
        if (n >= sizeof text)
                return 0;
        memcpy(text, line, n);
        text[n] = '\0';
        if (command_split(text, &before))
                return 0;
        consider_all(&c, set, &before);
        if (c.count == 0)
                return 0;
        n = c.common_len - c.typed_len;
        if (n + 2 > size)
                return c.count;
        memcpy(add, c.common + c.typed_len, n);
        if (c.count == 1)
                add[n++] = ' ';
        add[n] = '\0';
        return c.count;
}
