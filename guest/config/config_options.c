/* The hypervisor's own options; the syntax is in config.h. */
#include "drivers/uart.h"
#include "guest/config/config_line.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

static void option_console(struct config_line *line, struct config_word value)
{
        uint16_t port = 0;

        if (!config_word_is(value, "none") && uart_parse_port(value.text, value.len, &port))
                config_complain(line, "com1 to com4, an I/O port as 0xPORT, or none is expected");
        else
                line->config->options.console_port = port;
}

static void option_exit(struct config_line *line, struct config_word value)
{
        static const char *const names[] = {
            [CONFIG_EXIT_HALT] = "halt",
            [CONFIG_EXIT_POWEROFF] = "poweroff",
            [CONFIG_EXIT_REBOOT] = "reboot",
            [CONFIG_EXIT_MONITOR] = "monitor",
        };
        int choice = config_read_choice(line, value, names, ARRAY_LEN(names),
                                        "poweroff, reboot, halt or monitor");

        if (choice >= 0)
                line->config->options.exit = (enum config_exit)choice;
}

static void option_log_level(struct config_line *line, struct config_word value)
{
        static const char *const names[] = {
            [LOG_ERROR] = "error", [LOG_WARN] = "warn",   [LOG_NOTICE] = "notice",
            [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
        };
        int choice = config_read_choice(line, value, names, ARRAY_LEN(names),
                                        "error, warn, notice, info or debug");

        if (choice >= 0)
                line->config->options.log_level = choice;
}

static void option_mem_fail(struct config_line *line, struct config_word value)
{
        struct config_word rest;

        if (config_read_digits(value, &line->config->options.mem_fail, &rest) || rest.len)
                config_complain(line, "a number is expected");
}

static void option_mitigations(struct config_line *line, struct config_word value)
{
        static const char *const names[] = {"auto", "off"};
        int choice = config_read_choice(line, value, names, ARRAY_LEN(names), "auto or off");

        if (choice >= 0)
                line->config->options.mitigations_off = choice == 1;
}

static void option_nvram(struct config_line *line, struct config_word value)
{
        struct hv_options *options = &line->config->options;
        struct config_word size_word, start_word;
        struct config_range range;

        if (!config_word_split(value, '@', &size_word, &start_word)) {
                config_complain(line, "SIZE@ADDRESS is expected");
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

static const char address_list[] = "ADDRESS[,ADDRESS...]";

static void read_addresses(struct config_line *line, struct config_word value, const char *expected,
                           struct config_addresses *list)
{
        struct config_word item, end, rest = value;
        uint64_t at;
        bool more;

        do {
                more = config_word_split(rest, ',', &item, &rest);
                if (config_read_digits(item, &at, &end) || end.len > 0) {
                        config_complain(line, "%s is expected", expected);
                        return;
                }
                if (list->count == CONFIG_BAD_MAX) {
                        config_complain(line, "more than %d addresses", CONFIG_BAD_MAX);
                        return;
                }
                list->at[list->count++] = at;
        } while (more);
}

static void option_nvram_bad(struct config_line *line, struct config_word value)
{
        read_addresses(line, value, address_list, &line->config->options.nvram_bad);
}

static void option_nvram_format(struct config_line *line, struct config_word value)
{
        if (config_word_is(value, "force"))
                line->config->options.nvram_force = true;
        else
                read_addresses(line, value, "force or ADDRESS[,ADDRESS...]",
                               &line->config->options.nvram_format);
}

static void option_nvram_skip(struct config_line *line, struct config_word value)
{
        read_addresses(line, value, address_list, &line->config->options.nvram_skip);
}

static void option_nvram_use(struct config_line *line, struct config_word value)
{
        read_addresses(line, value, address_list, &line->config->options.nvram_use);
}

/* One line of run=, without the blanks around it; backslashes go. */
static void add_run(struct config_line *line, struct config_word text)
{
        struct hv_options *options = &line->config->options;
        size_t n = 0;
        char *to;

        while (text.len && config_is_blank(*text.text))
                text = (struct config_word){text.text + 1, text.len - 1};
        while (text.len && config_is_blank(text.text[text.len - 1]))
                text.len--;
        if (text.len == 0)
                return;
        if (options->run_count == CONFIG_RUN_MAX) {
                config_complain(line, "more than %d lines", CONFIG_RUN_MAX);
                return;
        }
        if (text.len >= COMMAND_LINE_SIZE) {
                config_complain(line, "a line is longer than %d characters", COMMAND_LINE_SIZE - 1);
                return;
        }
        to = options->run[options->run_count++];
        for (size_t i = 0; i < text.len; i++) {
                if (text.text[i] == '\\' && i + 1 < text.len)
                        i++;
                to[n++] = text.text[i];
        }
        to[n] = '\0';
}

static void option_run(struct config_line *line, struct config_word value)
{
        struct config_word item, rest = config_word_unquote(value);
        bool more;

        do {
                more = config_word_split(rest, ';', &item, &rest);
                add_run(line, item);
        } while (more);
}

static const struct config_key option_keys[] = {
    {"console", false, option_console},
    {"exit", false, option_exit},
    {"loglevel", false, option_log_level},
    {"mem-fail", false, option_mem_fail},
    {"mitigations", false, option_mitigations},
    {"nvram", true, option_nvram},
    {"nvram-bad", true, option_nvram_bad},
    {"nvram-format", true, option_nvram_format},
    {"nvram-skip", true, option_nvram_skip},
    {"nvram-use", true, option_nvram_use},
    {"run", true, option_run},
};

/* What may have been meant to keep NVRAM from being formatted, also under a name not known. */
static bool is_about_nvram(struct config_word word)
{
        static const char prefix[] = "nvram-";

        return word.len >= sizeof prefix - 1 && !memcmp(word.text, prefix, sizeof prefix - 1);
}

int config_parse_options(struct config *config, const char *cmdline)
{
        struct config_line line = {
            .config = config, .vm = CONFIG_NO_VM, .rest = cmdline, .quotes = true};

        while (config_next_word(&line)) {
                unsigned mistakes = line.mistakes;

                line.word = config_word_unquote(line.word);
                config_parse_word(&line, option_keys, ARRAY_LEN(option_keys));
                if (line.mistakes != mistakes && is_about_nvram(line.word))
                        config->options.nvram_mistake = true;
        }
        return line.mistakes ? -EINVAL : 0;
}
