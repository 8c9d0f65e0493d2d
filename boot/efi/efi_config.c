/* Reads permafrost.cfg, a line after the other; the language is described in efi_config.h. */
#include "boot/efi/efi_config.h"

#include "hv/lib/string.h"

struct reader {
        const char *p, *end; /* what is left of the text */
        char *room;          /* where the next character of a string goes */
        struct efi_config *config;
        bool done; /* an entry with a multiboot2 line has ended */
};

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

static bool at_line_end(const struct reader *r)
{
        return r->p == r->end || *r->p == '\n';
}

static void skip_blanks(struct reader *r)
{
        while (!at_line_end(r) && is_blank(*r->p))
                r->p++;
}

static void skip_line(struct reader *r)
{
        while (!at_line_end(r))
                r->p++;
}

/* Whether the next word is the line's last: blanks are skipped, a comment counts as its end. */
static bool more_words(struct reader *r)
{
        skip_blanks(r);
        if (!at_line_end(r) && *r->p == '#')
                skip_line(r);
        return !at_line_end(r);
}

/* A quoted part of a word, from behind its opening quote to behind the closing one. */
static const char *read_quoted(struct reader *r, char quote)
{
        for (; !at_line_end(r); r->p++) {
                char c = *r->p;

                if (c == quote) {
                        r->p++;
                        return NULL;
                }
                if (quote == '"' && c == '$')
                        return "variables are not known here";
                /* before anything else a backslash in double quotes is a backslash */
                if (quote == '"' && c == '\\' && r->end - r->p > 1 && strchr("\"\\$", r->p[1]))
                        c = *++r->p;
                *r->room++ = c;
        }
        return "a quote is not closed";
}

/* One plain character, which a backslash before it protects. */
static const char *read_plain(struct reader *r)
{
        bool protected = *r->p == '\\';

        if (protected && (r->end - r->p < 2 || r->p[1] == '\n'))
                return "a backslash at the end of a line";
        r->p += protected;
        if (!protected && *r->p == '$')
                return "variables are not known here";
        if (!protected && strchr(";&|<>", *r->p))
                return "; & | < and > must stand in quotes";
        *r->room++ = *r->p++;
        return NULL;
}

/* The next word without its quotes, terminated, at *out; the caller has checked more_words(). */
static const char *read_word(struct reader *r, char **out)
{
        const char *wrong = NULL;

        *out = r->room;
        while (!wrong && !at_line_end(r) && !is_blank(*r->p)) {
                if (*r->p == '"' || *r->p == '\'')
                        wrong = read_quoted(r, *r->p++);
                else
                        wrong = read_plain(r);
        }
        *r->room++ = '\0';
        return wrong;
}

/* The bytes by which a word grows when it is handed over. */
static size_t growth(const char *word)
{
        size_t n = strchr(word, ' ') ? 2 : 0;

        for (; *word; word++)
                n += *word == '"' || *word == '\'' || *word == '\\';
        return n;
}

/* Rewrite the word that stands at the end of the room as GRUB hands it over; a blank follows it. */
static void hand_over(struct reader *r, char *word)
{
        size_t length = strlen(word), more = growth(word);
        bool quoted = strchr(word, ' ') != NULL;
        char *from = word + more, *to = word;

        memmove(from, word, length);
        if (quoted)
                *to++ = '"';
        for (; length > 0; length--) {
                if (*from == '"' || *from == '\'' || *from == '\\')
                        *to++ = '\\';
                *to++ = *from++;
        }
        if (quoted)
                *to++ = '"';
        *to++ = ' ';
        r->room = to;
}

static const char *read_path(struct reader *r, char **path)
{
        return more_words(r) ? read_word(r, path) : "a path is missing";
}

/* PATH and the words behind it; before it may be an option that is to be passed over. */
static const char *read_file(struct reader *r, const char *option, struct efi_file *out)
{
        char *path, *args, *word;
        const char *wrong = read_path(r, &path);

        if (!wrong && option && strcmp(path, option) == 0)
                wrong = read_path(r, &path);
        if (wrong)
                return wrong;
        if (path[0] != '/')
                return "a path must begin with a slash: files are looked for on the loader's "
                       "volume";
        args = r->room;
        while (more_words(r)) {
                wrong = read_word(r, &word);
                if (wrong)
                        return wrong;
                hand_over(r, word);
        }
        if (r->room > args)
                r->room--; /* the last blank */
        *r->room++ = '\0';
        *out = (struct efi_file){path, args};
        return NULL;
}

static const char *read_module(struct reader *r)
{
        static const char option[] = "--nounzip"; /* nothing is ever unpacked here */
        struct efi_config *config = r->config;

        if (!config->image.path)
                return "module2 without a multiboot2 line before it";
        if (config->module_count == BOOT_MODULES_MAX) {
                struct efi_file left;

                config->modules_left++;
                return read_file(r, option, &left);
        }
        return read_file(r, option, &config->module[config->module_count++]);
}

static const char *read_command(struct reader *r, const char *command)
{
        static const char *const idle[] = {"menuentry", "set", "insmod", "boot"};

        if (strcmp(command, "multiboot2") == 0) {
                if (r->config->image.path)
                        return "a second multiboot2 line in an entry";
                return read_file(r, NULL, &r->config->image);
        }
        if (strcmp(command, "module2") == 0)
                return read_module(r);
        if (strcmp(command, "}") == 0) {
                r->done = r->config->image.path != NULL;
                skip_line(r);
                return NULL;
        }
        for (size_t i = 0; i < ARRAY_LEN(idle); i++)
                if (strcmp(command, idle[i]) == 0) {
                        skip_line(r);
                        return NULL;
                }
        return "only multiboot2, module2, menuentry, set, insmod, boot and } are known here";
}

static const char *read_line(struct reader *r)
{
        const char *wrong;
        char *command;

        r->config->line++;
        if (!more_words(r))
                return NULL;
        wrong = read_word(r, &command);
        return wrong ? wrong : read_command(r, command);
}

const char *efi_config_parse(const char *text, size_t size, char *room, struct efi_config *out)
{
        static const char mark[] = "\xef\xbb\xbf"; /* some editors put it first */
        struct reader r = {.p = text, .end = text + size, .room = room, .config = out};

        memset(out, 0, sizeof *out);
        if (strnlen(text, size) != size)
                return "a zero byte: this is not text";
        if (size >= 3 && memcmp(text, mark, 3) == 0)
                r.p += 3;
        while (r.p < r.end && !r.done) {
                const char *wrong = read_line(&r);

                if (wrong)
                        return wrong;
                if (r.p < r.end)
                        r.p++; /* the newline */
        }
        out->line = 0;
        return out->image.path ? NULL : "it has no multiboot2 line";
}
