/* The hypervisor's own options; the syntax is in config.h. */
#include "drivers/uart.h"
#include "guest/config/config_line.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

static const char *const exits[] = {
    [CONFIG_EXIT_HALT] = "halt",
    [CONFIG_EXIT_POWEROFF] = "poweroff",
    [CONFIG_EXIT_REBOOT] = "reboot",
    [CONFIG_EXIT_MONITOR] = "monitor",
    NULL,
};
static const char *const log_levels[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn",   [LOG_NOTICE] = "notice",
    [LOG_INFO] = "info",   [LOG_DEBUG] = "debug", NULL,
};
static const char *const mitigations[] = {"auto", "off", NULL};

/* "com1" to "com4", or a number. */
static bool read_port(struct word value, uint64_t *port)
{
        if (value.len == 4 && memcmp(value.text, "com", 3) == 0 && value.text[3] >= '1' &&
            value.text[3] <= '4') {
                *port = uart_com_ports[value.text[3] - '1'];
                return true;
        }
        return !word_number(value, port);
}

static void option_console(struct config_line *line, const struct config_key *key,
                           struct word value)
{
        uint64_t port = 0;

        /* eight registers must fit below 10000h, and port 0 means that there is none */
        if (!word_is(value, "none") && (!read_port(value, &port) || !port || port > 0xfff8))
                config_complain(line, "%s is expected", key->expected);
        else
                line->config->options.console_port = (uint16_t)port;
}

static void option_mem_fail(struct config_line *line, const struct config_key *key,
                            struct word value)
{
        if (word_number(value, &line->config->options.mem_fail))
                config_complain(line, "%s is expected", key->expected);
}

static void option_nvram(struct config_line *line, const struct config_key *key, struct word value)
{
        struct hv_options *options = &line->config->options;
        struct word size_word, start_word;
        struct config_range range;

        if (!word_split(value, '@', &size_word, &start_word)) {
                config_complain(line, "%s is expected", key->expected);
                return;
        }
        if (!config_read_size(line, size_word, &range.size) ||
            !config_read_size(line, start_word, &range.start))
                return;
        if (range.size == 0 || range.start > UINT64_MAX - range.size)
                config_complain(line, "the range is empty or ends beyond 64 bits");
        else if (options->nvram_count == CONFIG_NVRAM_MAX)
                config_complain(line, "more than %d ranges", CONFIG_NVRAM_MAX);
        else
                options->nvram[options->nvram_count++] = range;
}

static void option_addresses(struct config_line *line, const struct config_key *key,
                             struct word value)
{
        struct config_addresses *list = (void *)((char *)line->fields + key->field);
        uint64_t at;

        for (struct word item, rest = value; word_next_item(&rest, ',', &item);) {
                if (word_number(item, &at)) {
                        config_complain(line, "%s is expected", key->expected);
                        return;
                }
                if (list->count == CONFIG_BAD_MAX) {
                        config_complain(line, "more than %d addresses", CONFIG_BAD_MAX);
                        return;
                }
                list->at[list->count++] = at;
        }
}

static void option_nvram_format(struct config_line *line, const struct config_key *key,
                                struct word value)
{
        if (word_is(value, "force"))
                line->config->options.nvram_force = true;
        else
                option_addresses(line, key, value);
}

static void add_run(struct config_line *line, struct word text)
{
        struct hv_options *options = &line->config->options;

        if (text.len == 0)
                return;
        if (options->run_count == CONFIG_RUN_MAX)
                config_complain(line, "more than %d lines", CONFIG_RUN_MAX);
        else if (text.len >= COMMAND_LINE_SIZE)
                config_complain(line, "a line is longer than %d characters", COMMAND_LINE_SIZE - 1);
        else
                memcpy(options->run[options->run_count++], text.text, text.len);
}

static void option_run(struct config_line *line, const struct config_key *key, struct word value)
{
        (void)key;
        for (struct word item, rest = value; word_next_item(&rest, ';', &item);)
                add_run(line, word_trim(item));
}

#define OPTION(field) offsetof(struct hv_options, field)
#define ADDRESSES     "ADDRESS[,ADDRESS...]"

static const struct config_key option_keys[] = {
    {"console", option_console, .expected = "com1 to com4, an I/O port as 0xPORT, or none"},
    {"exit", config_key_choice, OPTION(exit), .choices = exits,
     .expected = "poweroff, reboot, halt or monitor"},
    {"loglevel", config_key_choice, OPTION(log_level), .choices = log_levels,
     .expected = "error, warn, notice, info or debug"},
    {"mem-fail", option_mem_fail, .expected = "a number"},
    {"mitigations", config_key_choice, OPTION(mitigations_off), .choices = mitigations,
     .expected = "auto or off"},
    {"nvram", option_nvram, .expected = "SIZE@ADDRESS", .repeatable = true},
    {"nvram-bad", option_addresses, OPTION(nvram_bad), .expected = ADDRESSES, .repeatable = true},
    {"nvram-format", option_nvram_format, OPTION(nvram_format), .expected = "force or " ADDRESSES,
     .repeatable = true},
    {"nvram-skip", option_addresses, OPTION(nvram_skip), .expected = ADDRESSES, .repeatable = true},
    {"nvram-use", option_addresses, OPTION(nvram_use), .expected = ADDRESSES, .repeatable = true},
    {"run", option_run, .repeatable = true},
};

/* What may have been meant to keep NVRAM from being formatted, also under a name not known. */
static bool is_about_nvram(struct word word)
{
        static const char prefix[] = "nvram-";

        return word.len >= sizeof prefix - 1 && !memcmp(word.text, prefix, sizeof prefix - 1);
}

/* The next word, without its quotes, into line->word. What cannot be read may have been meant to
 * keep NVRAM from being formatted. */
static bool next_option(struct config_line *line)
{
        struct config *config = line->config;

        while (word_next(&line->rest, true, &line->word)) {
                if (line->word.len >= sizeof config->word)
                        config_complain(line, "longer than %zu characters",
                                        sizeof config->word - 1);
                else if (!word_unquote(line->word, config->word))
                        config_complain(line, "a quote is not closed");
                else {
                        line->word = word_of(config->word);
                        return true;
                }
                config->options.nvram_mistake = true;
        }
        return false;
}

int config_parse_options(struct config *config, const char *cmdline)
{
        struct config_line line = {
            .config = config, .vm = CONFIG_NO_VM, .rest = cmdline, .fields = &config->options};

        while (next_option(&line)) {
                unsigned mistakes = line.mistakes;

                config_parse_word(&line, option_keys, ARRAY_LEN(option_keys));
                if (line.mistakes != mistakes && is_about_nvram(line.word))
                        config->options.nvram_mistake = true;
        }
        return line.mistakes ? -EINVAL : 0;
}
