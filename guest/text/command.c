/* Splitting a line, finding its verb and running it, help, completion; contract in command.h. */
#include "guest/text/command.h"

#include "guest/text/words.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"

/* "-64M" and "-" are arguments. */
static bool is_option(const char *word)
{
        return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
}

static int mistake(struct command_line *line, const char *why, const char *what)
{
        line->why = why;
        line->what = what;
        return -EINVAL;
}

static int add_format(struct command_line *line, const char *format)
{
        bool json = strcmp(format, "json") == 0;

        line->wants_format = false;
        if (!json && strcmp(format, "text") != 0)
                return mistake(line, "json or text is expected after", "-o");
        line->has_format = true;
        line->json = json;
        return 0;
}

int command_add_word(struct command_line *line, const char *word, bool may_be_option)
{
        if (line->wants_format)
                return add_format(line, word);
        if (!may_be_option || !is_option(word)) {
                if (line->words == COMMAND_WORDS_MAX)
                        return mistake(line, "too many words", "");
                line->word[line->words++] = word;
        } else if (strcmp(word, "-y") == 0) {
                line->yes = true;
        } else if (strcmp(word, "-v") == 0) {
                line->verbose = true;
        } else if (strcmp(word, "-o") == 0) {
                line->wants_format = true;
        } else {
                return mistake(line, "unknown option", word);
        }
        return 0;
}

/* Split text. -EINVAL: see command_run. */
static int split_line(const char *text, struct command_line *line)
{
        struct word word, before, after;
        char *room;
        int err = 0;

        *line = (struct command_line){.what = ""};
        room = line->text;
        if (strlen(text) >= sizeof line->text)
                return mistake(line, "the line is too long", "");
        while (!err && word_next(&text, true, &word)) {
                if (!word_unquote(word, room))
                        return mistake(line, "a quote is not closed", "");
                err = command_add_word(line, room, !word_split(word, '"', &before, &after));
                room += strlen(room) + 1;
        }
        return !err && line->wants_format ? add_format(line, "") : err;
}

/* Whether a table has this group; never for "". */
static bool group_known(const struct command_set *set, const char *group)
{
        for (size_t t = 0; t < set->tables; t++)
                if (*group && strcmp(set->table[t].group, group) == 0)
                        return true;
        return false;
}

/* The command that the first *used words name, and its table. NULL: none, nothing is set. */
static const struct command *find(const struct command_set *set, const char *const *word,
                                  size_t words, const struct command_table **table, size_t *used)
{
        for (size_t t = 0; t < set->tables; t++) {
                const struct command_table *in = &set->table[t];
                size_t at = *in->group ? 1 : 0;

                if (words <= at || (at && strcmp(word[0], in->group) != 0))
                        continue;
                for (size_t i = 0; i < in->count; i++) {
                        if (strcmp(word[at], in->command[i].name) != 0)
                                continue;
                        *table = in;
                        *used = at + 1;
                        return &in->command[i];
                }
        }
        return NULL;
}

/* ---- help ---- */

/* "nv create", "map". */
static void help_row(struct out *out, const struct command_table *table, const struct command *c)
{
        out_cell(out, "%s%s%s", table->group, *table->group ? " " : "", c->name);
        out_cell(out, "%s", c->args);
        out_cell(out, "%s%s", c->help, c->destructive ? " (asks)" : "");
}

/* All verbs, those of a group, or one. */
static int run_help(const struct command_set *set, const char *const *word, size_t words,
                    struct out *out)
{
        static const struct out_column columns[] = {
            {"verb", "VERB", -12}, {"args", "ARGUMENTS", -26}, {"help", "HELP", -1}};
        const struct command_table *only = NULL;
        const struct command *one = NULL;
        size_t used;

        if (words) {
                one = find(set, word, words, &only, &used);
                if (!one && !(words == 1 && group_known(set, word[0])) &&
                    strcmp(word[0], "help") != 0) {
                        out_error(out, "%s: unknown verb; help shows all", word[0]);
                        return -EINVAL;
                }
        }
        out_table_begin(out, columns, ARRAY_LEN(columns));
        if (!words || strcmp(word[0], "help") == 0) {
                out_cells(out, out_text("help"), out_text("[VERB]"),
                          out_text("all verbs, the verbs of a group, or one"));
        }
        for (size_t t = 0; t < set->tables; t++) {
                const struct command_table *table = &set->table[t];

                for (size_t i = 0; i < table->count; i++)
                        if (one ? one == &table->command[i]
                                : !words || strcmp(word[0], table->group) == 0)
                                help_row(out, table, &table->command[i]);
        }
        out_table_end(out);
        out_line(out, "options: -y do not ask, -v more, -o json|text");
        return 0;
}

/* ---- running ---- */

static void print_usage(struct out *out, const struct command_table *table, const struct command *c)
{
        out_error(out, "usage: %s%s%s%s%s", table->group, *table->group ? " " : "", c->name,
                  *c->args ? " " : "", c->args);
}

int command_run_words(const struct command_set *set, const struct command_line *line,
                      const char *text, struct out *out)
{
        struct command_call call = {.out = out, .yes = line->yes, .verbose = line->verbose};
        const struct command_table *table;
        const struct command *c;
        size_t used;
        int err;

        if (!line->words)
                return 0;
        if (strcmp(line->word[0], "help") == 0)
                return run_help(set, line->word + 1, line->words - 1, out);
        c = find(set, line->word, line->words, &table, &used);
        if (!c) {
                if (group_known(set, line->word[0]))
                        out_error(out, "%s: a verb of this group is expected; help %s shows them",
                                  line->word[0], line->word[0]);
                else
                        out_error(out, "%s: unknown verb; help shows all", line->word[0]);
                return -EINVAL;
        }
        call.target = table->target;
        call.words = line->words - used;
        if (call.words < c->min || call.words > c->max) {
                print_usage(out, table, c);
                return -EINVAL;
        }
        for (size_t i = 0; i < call.words; i++)
                call.word[i] = line->word[used + i];
        if (c->destructive && !call.yes && !(set->confirm && set->confirm(set->ctx, text))) {
                out_error(out, "not confirmed%s", set->confirm ? "" : ": give -y");
                return -EPERM;
        }
        err = set->ready ? set->ready(set->ctx, c, &call) : 0;
        return err ? err : c->run(&call);
}

int command_run(const struct command_set *set, const char *line, struct out *out)
{
        struct command_line split;
        bool json = out->json;
        int err = split_line(line, &split);

        if (split.has_format)
                out->json = split.json;
        if (err)
                out_error(out, "%s%s%s", split.why, *split.what ? " " : "", split.what);
        else
                err = command_run_words(set, &split, line, out);
        out->json = json;
        return err;
}

/* ---- completion ---- */

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
        command = find(set, word, words, &table, &used);
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
        if (split_line(text, &before))
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
