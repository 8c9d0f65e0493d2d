/* Keys, values and complaints of configuration lines; contract in config_line.h. */
#include "guest/config/config_line.h"

#include <stdarg.h>

#include "hv/lib/format.h"
#include "hv/lib/string.h"

#define WORD_SHOWN 60 /* characters of a word in a message */

void config_complain(struct config_line *line, const char *fmt, ...)
{
        struct config *config = line->config;
        size_t shown = line->word.len < WORD_SHOWN ? line->word.len : WORD_SHOWN;
        struct config_error *error;
        char where[24] = "command line";
        va_list ap;
        int len;

        line->mistakes++;
        if (line->vm != CONFIG_NO_VM)
                config->vm[line->vm].mistakes++;
        if (config->error_count++ >= CONFIG_ERRORS_MAX)
                return;
        error = &config->error[config->error_count - 1];
        error->vm = line->vm;
        if (line->module)
                format_text(where, sizeof where, "module %u", line->module);
        len = format_text(error->text, sizeof error->text, "%s: %.*s%s", where, (int)shown,
                          line->word.text, shown ? ": " : "");
        va_start(ap, fmt);
        format_text_v(error->text + len, sizeof error->text - (size_t)len, fmt, ap);
        va_end(ap);
}

static void *field_of(const struct config_line *line, const struct config_key *key)
{
        return (char *)line->fields + key->field;
}

bool config_read_size(struct config_line *line, struct word value, uint64_t *out)
{
        int err = word_size(value, out);

        if (err)
                config_complain(line, "%s", word_size_rule(err));
        return err == 0;
}

bool config_read_mapped_size(struct config_line *line, struct word value, uint64_t min,
                             uint64_t *out)
{
        uint64_t size;

        if (!config_read_size(line, value, &size))
                return false;
        if (size < min || size > CONFIG_SIZE_MAX) {
                config_complain(line, "the size must be from %lu MiB to %lu MiB", min / MiB,
                                CONFIG_SIZE_MAX / MiB);
                return false;
        }
        if (!is_aligned(size, PAGE_2M)) {
                config_complain(line, "the size must be a multiple of 2 MiB");
                return false;
        }
        *out = size;
        return true;
}

bool config_read_name(struct config_line *line, struct word value, char name[WORD_NAME_SIZE])
{
        if (!word_is_name(value)) {
                config_complain(line, WORD_NAME_RULE);
                return false;
        }
        memcpy(name, value.text, value.len);
        name[value.len] = '\0';
        return true;
}

void config_key_number(struct config_line *line, const struct config_key *key, struct word value)
{
        uint32_t *field = field_of(line, key);
        uint64_t number;

        if (word_number(value, &number) || !number || number > key->limit)
                config_complain(line, "a number from 1 to %lu is expected", key->limit);
        else
                *field = (uint32_t)number;
}

void config_key_mapped(struct config_line *line, const struct config_key *key, struct word value)
{
        uint64_t *field = field_of(line, key), size;

        if (config_read_mapped_size(line, value, key->limit, &size))
                *field = size;
}

void config_key_choice(struct config_line *line, const struct config_key *key, struct word value)
{
        int *field = field_of(line, key);

        for (int i = 0; key->choices[i]; i++)
                if (word_is(value, key->choices[i])) {
                        *field = i;
                        return;
                }
        config_complain(line, "%s is expected", key->expected);
}

void config_parse_word(struct config_line *line, const struct config_key *keys, size_t count)
{
        struct word name, value;
        bool has_value = word_split(line->word, '=', &name, &value);

        for (size_t i = 0; i < count; i++) {
                if (!word_is(name, keys[i].name))
                        continue;
                if (!has_value)
                        value.text = NULL;
                if (!has_value && !keys[i].alone)
                        config_complain(line, "a value is expected: %s=VALUE", keys[i].name);
                else if ((line->keys & 1u << i) && !keys[i].repeatable)
                        config_complain(line, "%s= is given twice", keys[i].name);
                else
                        keys[i].parse(line, &keys[i], value);
                line->keys |= 1u << i;
                return;
        }
        config_complain(line, "unknown key");
}
