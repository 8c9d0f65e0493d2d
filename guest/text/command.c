/* Splitting a line, finding its verb and running it, help; contract in command.h. */
#include "guest/text/command.h"

#include "guest/text/command_internal.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"

/* "-64M" and "-" are arguments. */
static bool is_option(const char *word)
{
        return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* Cut the next word out of the text at *rest, in place. -EINVAL: its quote is not closed. */
static int cut_word(char **rest, char **word, bool *quoted)
{
        char *from = *rest, *to;
        bool inside = false;

        while (is_blank(*from))
                from++;
        *word = to = from;
        *quoted = false;
        for (; *from && (inside || !is_blank(*from)); from++) {
                if (*from == '"') {
                        inside = !inside;
                        *quoted = true;
                } else {
                        *to++ = *from;
                }
        }
        *rest = *from ? from + 1 : from;
        *to = '\0';
        return inside ? -EINVAL : 0;
}

/* -EINVAL: unknown. *rest is behind the option. */
static int take_option(struct command_line *line, const char *word, char **rest)
{
        bool quoted;
        char *format;

        if (strcmp(word, "-y") == 0) {
                line->yes = true;
                return 0;
        }
        if (strcmp(word, "-v") == 0) {
                line->verbose = true;
                return 0;
        }
        if (strcmp(word, "-o") != 0) {
                line->why = "unknown option";
                line->what = word;
                return -EINVAL;
        }
        if (cut_word(rest, &format, &quoted) ||
            (strcmp(format, "json") != 0 && strcmp(format, "text") != 0)) {
                line->why = "json or text is expected after";
                line->what = word;
                return -EINVAL;
        }
        line->json = strcmp(format, "json") == 0;
        line->has_format = true;
        return 0;
}

int command_split(const char *text, struct command_line *line)
{
        size_t len = strlen(text);
        char *rest, *word;
        bool quoted;

        *line = (struct command_line){.what = ""};
        rest = line->text;
        if (len >= sizeof line->text) {
                line->why = "the line is too long";
                return -EINVAL;
        }
        memcpy(line->text, text, len + 1);
        for (;;) {
                if (cut_word(&rest, &word, &quoted)) {
                        line->why = "a quote is not closed";
                        return -EINVAL;
                }
                if (!*word && !quoted) {
                        if (!*rest)
                                return 0;
                        continue;
                }
                if (is_option(word) && !quoted) {
                        if (take_option(line, word, &rest))
                                return -EINVAL;
                        continue;
                }
                if (line->words == COMMAND_WORDS_MAX) {
                        line->why = "too many words";
                        return -EINVAL;
                }
                line->word[line->words++] = word;
        }
}

bool command_group_known(const struct command_set *set, const char *group)
{
        for (size_t t = 0; t < set->tables; t++)
                if (*group && strcmp(set->table[t].group, group) == 0)
                        return true;
        return false;
}

const struct command *command_find(const struct command_set *set, const char *const *word,
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
        out_cell(out, "%s", c->help);
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
                one = command_find(set, word, words, &only, &used);
                if (!one && !(words == 1 && command_group_known(set, word[0])) &&
                    strcmp(word[0], "help") != 0) {
                        out_error(out, "%s: unknown verb; help shows all", word[0]);
                        return -EINVAL;
                }
        }
        out_table_begin(out, columns, ARRAY_LEN(columns));
        if (!words || strcmp(word[0], "help") == 0) {
                out_cell(out, "help");
                out_cell(out, "[VERB]");
                out_cell(out, "all verbs, the verbs of a group, or one");
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

static int run_verb(const struct command_set *set, const struct command_line *line,
                    const char *text, struct out *out)
{
        struct command_call call = {.out = out, .yes = line->yes, .verbose = line->verbose};
        const struct command_table *table;
        const struct command *c;
        size_t used;

        if (strcmp(line->word[0], "help") == 0)
                return run_help(set, line->word + 1, line->words - 1, out);
        c = command_find(set, line->word, line->words, &table, &used);
        if (!c) {
                if (command_group_known(set, line->word[0]))
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
        return c->run(&call);
}

int command_run(const struct command_set *set, const char *line, struct out *out)
{
        struct command_line split;
        bool json = out->json;
        int err = command_split(line, &split);

        if (split.has_format)
                out->json = split.json;
        if (err)
                out_error(out, "%s%s%s", split.why, *split.what ? " " : "", split.what);
        else if (split.words)
                err = run_verb(set, &split, line, out);
        out->json = json;
        return err;
}
