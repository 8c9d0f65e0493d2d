/*
 * Parser of the hypervisor's command line and of module lines; the syntax is in config.h.
 *
 * Both are lists of KEY=VALUE words, so both go through one dispatcher with a table of keys. A
 * parser of a value stores it or complains; it never stops the line, so that one start shows every
 * mistake.
 */
#include "guest/config.h"

#include "drivers/uart.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define WORD_SHOWN 60 /* characters of a word in a message */
#define NO_VM      (-1)
#define COM1_PORT  0x3f8

struct word {
        const char *text;
        size_t len;
};

/* The line being read and the word that a complaint is about. */
struct line {
        struct config *config;
        unsigned module; /* 0: the hypervisor's command line */
        int vm;          /* index of the VM it concerns, or NO_VM */
        const char *rest;
        bool quotes; /* keep blanks together */
        struct word word;
        unsigned keys; /* bit n: key n of the line's table was seen */
        unsigned mistakes;
};

struct key {
        const char *name;
        bool repeatable;
        void (*parse)(struct line *line, struct word value);
};

static void complain(struct line *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void complain(struct line *line, const char *fmt, ...)
{
        struct config *config = line->config;
        size_t shown = line->word.len < WORD_SHOWN ? line->word.len : WORD_SHOWN;
        struct config_error *error;
        char where[24] = "command line";
        va_list ap;
        int len;

        line->mistakes++;
        if (line->vm != NO_VM)
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

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool word_is(struct word word, const char *text)
{
        return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

/* Cut word at the first c: before it and, in *after, behind it. false: there is no c. */
static bool word_split(struct word word, char c, struct word *before, struct word *after)
{
        size_t at = 0;

        while (at < word.len && word.text[at] != c)
                at++;
        *before = (struct word){word.text, at};
        if (at == word.len)
                return false;
        *after = (struct word){word.text + at + 1, word.len - at - 1};
        return true;
}

/* Take the next word of the line into line->word, quotes and all; false at its end, with an empty
 * word. */
static bool next_word(struct line *line)
{
        const char *p = line->rest;
        bool inside = false;

        while (is_blank(*p))
                p++;
        line->word.text = p;
        for (; *p && (inside || !is_blank(*p)); p++) {
                if (line->quotes && *p == '"')
                        inside = !inside;
                else if (inside && *p == '\\' && p[1])
                        p++;
        }
        line->word.len = (size_t)(p - line->word.text);
        line->rest = p;
        return line->word.len > 0;
}

/* A word that stands in quotes as a whole: what is between them. */
static struct word word_unquote(struct word word)
{
        if (word.len < 2 || word.text[0] != '"' || word.text[word.len - 1] != '"')
                return word;
        return (struct word){word.text + 1, word.len - 2};
}

static int digit_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return 16;
}

/* Read the digits at the start of word and leave what follows them in *rest. */
static int parse_digits(struct word word, uint64_t *out, struct word *rest)
{
        bool hex = word.len > 2 && word.text[0] == '0' && (word.text[1] | 0x20) == 'x';
        unsigned base = hex ? 16 : 10;
        size_t first = hex ? 2 : 0, at = first;
        uint64_t value = 0;

        for (; at < word.len && (unsigned)digit_value(word.text[at]) < base; at++) {
                unsigned digit = (unsigned)digit_value(word.text[at]);

                if (value > (UINT64_MAX - digit) / base)
                        return -ERANGE;
                value = value * base + digit;
        }
        *out = value;
        *rest = (struct word){word.text + at, word.len - at};
        return at == first ? -EINVAL : 0;
}

int config_parse_size(const char *text, size_t len, uint64_t *out)
{
        static const char suffixes[] = {'k', 'm', 'g', 't'};
        struct word rest;
        unsigned shift = 0;
        uint64_t value;
        int err = parse_digits((struct word){text, len}, &value, &rest);

        if (err)
                return err;
        for (unsigned i = 0; rest.len == 1 && i < ARRAY_LEN(suffixes); i++)
                if ((rest.text[0] | 0x20) == suffixes[i])
                        shift = 10 * (i + 1);
        if (rest.len > 0 && shift == 0)
                return -EINVAL;
        if (value > UINT64_MAX >> shift)
                return -ERANGE;
        *out = value << shift;
        return 0;
}

/* A size with a complaint for everything that is none. */
static bool read_size(struct line *line, struct word value, uint64_t *out)
{
        int err = config_parse_size(value.text, value.len, out);

        if (err == -ERANGE)
                complain(line, "the number does not fit in 64 bits");
        else if (err)
                complain(line, "a number with an optional suffix K, M, G or T is expected");
        return err == 0;
}

/* A size that is mapped into a guest: whole large pages, from min up to CONFIG_SIZE_MAX. */
static bool read_mapped_size(struct line *line, struct word value, uint64_t min, uint64_t *out)
{
        uint64_t size;

        if (!read_size(line, value, &size))
                return false;
        if (size < min || size > CONFIG_SIZE_MAX) {
                complain(line, "the size must be from %lu MiB to %lu MiB", min / MiB,
                         CONFIG_SIZE_MAX / MiB);
                return false;
        }
        if (!is_aligned(size, PAGE_2M)) {
                complain(line, "the size must be a multiple of 2 MiB");
                return false;
        }
        *out = size;
        return true;
}

static bool read_name(struct line *line, struct word value, char name[CONFIG_NAME_SIZE])
{
        bool good = value.len > 0 && value.len < CONFIG_NAME_SIZE;

        for (size_t i = 0; good && i < value.len; i++) {
                char c = value.text[i], lower = (char)(c | 0x20);

                good = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '-';
        }
        if (!good) {
                complain(line, "a name of 1 to %d characters A-Z a-z 0-9 . _ - is expected",
                         CONFIG_NAME_SIZE - 1);
                return false;
        }
        memcpy(name, value.text, value.len);
        name[value.len] = '\0';
        return true;
}

/* The index of value in a list of choices, or -1 with a complaint. */
static int read_choice(struct line *line, struct word value, const char *const *choices, int count,
                       const char *expected)
{
        for (int i = 0; i < count; i++)
                if (word_is(value, choices[i]))
                        return i;
        complain(line, "%s is expected", expected);
        return -1;
}

/* Give line->word to the key of its name. */
static void parse_word(struct line *line, const struct key *keys, size_t count)
{
        struct word name, value;
        bool has_value = word_split(line->word, '=', &name, &value);

        for (size_t i = 0; i < count; i++) {
                if (!word_is(name, keys[i].name))
                        continue;
                if (!has_value)
                        complain(line, "a value is expected: %s=VALUE", keys[i].name);
                else if ((line->keys & 1u << i) && !keys[i].repeatable)
                        complain(line, "%s= is given twice", keys[i].name);
                else
                        keys[i].parse(line, value);
                line->keys |= 1u << i;
                return;
        }
        complain(line, "unknown key");
}

/* The hypervisor's options. */

static void option_console(struct line *line, struct word value)
{
        uint16_t port = 0;

        if (!word_is(value, "none") && uart_parse_port(value.text, value.len, &port))
                complain(line, "com1 to com4, an I/O port as 0xPORT, or none is expected");
        else
                line->config->options.console_port = port;
}

static void option_exit(struct line *line, struct word value)
{
        static const char *const names[] = {
            [CONFIG_EXIT_HALT] = "halt",
            [CONFIG_EXIT_POWEROFF] = "poweroff",
            [CONFIG_EXIT_REBOOT] = "reboot",
            [CONFIG_EXIT_MONITOR] = "monitor",
        };
        int choice =
            read_choice(line, value, names, ARRAY_LEN(names), "poweroff, reboot, halt or monitor");

        if (choice >= 0)
                line->config->options.exit = (enum config_exit)choice;
}

static void option_log_level(struct line *line, struct word value)
{
        static const char *const names[] = {
            [LOG_ERROR] = "error",
            [LOG_WARN] = "warn",
            [LOG_INFO] = "info",
            [LOG_DEBUG] = "debug",
        };
        int choice =
            read_choice(line, value, names, ARRAY_LEN(names), "error, warn, info or debug");

        if (choice >= 0)
                line->config->options.log_level = choice;
}

static void option_nvram(struct line *line, struct word value)
{
        struct hv_options *options = &line->config->options;
        struct word size_word, start_word;
        struct config_range range;

        if (!word_split(value, '@', &size_word, &start_word)) {
                complain(line, "SIZE@ADDRESS is expected");
                return;
        }
        if (!read_size(line, size_word, &range.size) || !read_size(line, start_word, &range.start))
                return;
        if (range.size == 0 || range.start > UINT64_MAX - range.size)
                complain(line, "the range is empty or ends beyond 64 bits");
        else if (options->nvram_count == CONFIG_NVRAM_MAX)
                complain(line, "more than %d ranges", CONFIG_NVRAM_MAX);
        else
                options->nvram[options->nvram_count++] = range;
}

static void option_nvram_format(struct line *line, struct word value)
{
        /* one word and no other: data is lost by it */
        if (word_is(value, "force"))
                line->config->options.nvram_format = true;
        else
                complain(line, "only force is known");
}

static void option_nvram_bad(struct line *line, struct word value)
{
        struct hv_options *options = &line->config->options;
        struct word item, end, rest = value;
        uint64_t addr;
        bool more;

        do {
                more = word_split(rest, ',', &item, &rest);
                if (parse_digits(item, &addr, &end) || end.len > 0) {
                        complain(line, "ADDRESS[,ADDRESS...] is expected");
                        return;
                }
                if (options->nvram_bad_count == CONFIG_BAD_MAX) {
                        complain(line, "more than %d addresses", CONFIG_BAD_MAX);
                        return;
                }
                options->nvram_bad[options->nvram_bad_count++] = addr;
        } while (more);
}

/* One line of run=, without the blanks around it; backslashes go. */
static void add_run(struct line *line, struct word text)
{
        struct hv_options *options = &line->config->options;
        size_t n = 0;
        char *to;

        while (text.len && is_blank(*text.text))
                text = (struct word){text.text + 1, text.len - 1};
        while (text.len && is_blank(text.text[text.len - 1]))
                text.len--;
        if (text.len == 0)
                return;
        if (options->run_count == CONFIG_RUN_MAX) {
                complain(line, "more than %d lines", CONFIG_RUN_MAX);
                return;
        }
        if (text.len >= COMMAND_LINE_SIZE) {
                complain(line, "a line is longer than %d characters", COMMAND_LINE_SIZE - 1);
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

static void option_run(struct line *line, struct word value)
{
        struct word item, rest = word_unquote(value);
        bool more;

        do {
                more = word_split(rest, ';', &item, &rest);
                add_run(line, item);
        } while (more);
}

static const struct key option_keys[] = {
    {"console", false, option_console},
    {"exit", false, option_exit},
    {"loglevel", false, option_log_level},
    {"nvram", true, option_nvram},
    {"nvram-bad", true, option_nvram_bad},
    {"nvram-format", false, option_nvram_format},
    {"run", true, option_run},
};

/* The keys of a VM. */

static struct vm_config *line_vm(const struct line *line)
{
        return &line->config->vm[line->vm];
}

static void vm_name(struct line *line, struct word value)
{
        struct vm_config *vm = line_vm(line);

        if (!read_name(line, value, vm->name))
                return;
        for (int i = 0; i < line->vm; i++)
                if (strcmp(line->config->vm[i].name, vm->name) == 0)
                        complain(line, "the VM of module %u has this name already",
                                 line->config->vm[i].module);
}

static void vm_mem(struct line *line, struct word value)
{
        read_mapped_size(line, value, CONFIG_MEM_MIN, &line_vm(line)->mem);
}

static void vm_vcpus(struct line *line, struct word value)
{
        struct word rest;
        uint64_t count;

        if (parse_digits(value, &count, &rest) || rest.len > 0 || count == 0)
                complain(line, "a number from 1 is expected");
        else if (count > CONFIG_VCPUS_MAX)
                complain(line, "at most %u virtual CPU is supported", CONFIG_VCPUS_MAX);
        else
                line_vm(line)->vcpus = (unsigned)count;
}

/*
 * The VM, up to the line's own, that names this region in a way that excludes the line's: itself,
 * or another one that also wants to write. NULL: none does.
 */
static const struct vm_config *region_rival(const struct line *line,
                                            const struct config_region *region)
{
        for (int v = 0; v <= line->vm; v++) {
                const struct vm_config *vm = &line->config->vm[v];

                for (size_t i = 0; i < vm->region_count; i++)
                        if (strcmp(vm->region[i].name, region->name) == 0 &&
                            (v == line->vm || !(vm->region[i].read_only || region->read_only)))
                                return vm;
        }
        return NULL;
}

static void vm_region(struct line *line, struct word item)
{
        struct vm_config *vm = line_vm(line);
        struct config_region region = {.size = 0};
        struct word name, size, access;
        const struct vm_config *rival;

        if (!word_split(item, ':', &name, &size)) {
                complain(line, "NAME:SIZE[:ro][,NAME:SIZE...] is expected");
                return;
        }
        region.read_only = word_split(size, ':', &size, &access);
        if (region.read_only && !word_is(access, "ro")) {
                complain(line, "only ro is known behind NAME:SIZE:");
                return;
        }
        if (!read_name(line, name, region.name) ||
            !read_mapped_size(line, size, PAGE_2M, &region.size))
                return;
        rival = region_rival(line, &region);
        if (rival)
                complain(line, "region %s is named in module %u already", region.name,
                         rival->module);
        else if (vm->region_count == CONFIG_REGIONS_MAX)
                complain(line, "more than %d regions", CONFIG_REGIONS_MAX);
        else
                vm->region[vm->region_count++] = region;
}

static void vm_nvram(struct line *line, struct word value)
{
        struct word item, rest = value;
        bool more;

        do {
                more = word_split(rest, ',', &item, &rest);
                vm_region(line, item);
        } while (more);
}

static void vm_nvram_max(struct line *line, struct word value)
{
        read_mapped_size(line, value, PAGE_2M, &line_vm(line)->nvram_max);
}

static const struct key vm_keys[] = {
    {"vm", false, vm_name},
    {"mem", false, vm_mem},
    {"vcpus", false, vm_vcpus},
    {"nvram", false, vm_nvram},
    {"nvram-max", false, vm_nvram_max},
};

static void copy_cmdline(struct line *line)
{
        const char *text = line->rest;
        size_t len;

        while (is_blank(*text))
                text++;
        len = strlen(text);
        while (len > 0 && is_blank(text[len - 1]))
                len--;
        if (len < CONFIG_CMDLINE_SIZE)
                memcpy(line_vm(line)->cmdline, text, len); /* the rest of it is zero */
        else
                complain(line, "the kernel's command line is longer than %d characters",
                         CONFIG_CMDLINE_SIZE - 1);
}

static void open_vm(struct line *line, const struct config_file *file)
{
        struct config *config = line->config;

        config->current_dropped = config->vm_count == CONFIG_VMS_MAX;
        if (config->current_dropped) {
                line->vm = NO_VM;
                complain(line, "more than %d VMs", CONFIG_VMS_MAX);
                return;
        }
        line->vm = (int)config->vm_count++;
        *line_vm(line) = (struct vm_config){.module = line->module, .kernel = *file, .vcpus = 1};
        if (file->size == 0)
                complain(line, "the module is empty");
        do {
                if (word_is(line->word, "--")) {
                        copy_cmdline(line);
                        break;
                }
                parse_word(line, vm_keys, ARRAY_LEN(vm_keys));
        } while (next_word(line));
}

static void add_initrd(struct line *line, const struct config_file *file)
{
        struct vm_config *vm;

        if (line->vm == NO_VM) {
                complain(line, "no vm= in a module before it: whose initrd is it?");
                return;
        }
        vm = line_vm(line);
        if (vm->has_initrd)
                complain(line, "VM %s has an initrd already", vm->name);
        else if (file->size == 0)
                complain(line, "the module is empty");
        vm->initrd = *file;
        vm->has_initrd = true;
        while (next_word(line))
                complain(line, "unknown key");
}

static bool names_root(const char *cmdline)
{
        struct line line = {.rest = cmdline};

        while (next_word(&line))
                if (line.word.len > 5 && memcmp(line.word.text, "root=", 5) == 0)
                        return true;
        return false;
}

void config_init(struct config *config)
{
        memset(config, 0, sizeof *config);
        config->options.console_port = COM1_PORT;
        config->options.exit = CONFIG_EXIT_HALT;
        config->options.log_level = LOG_INFO;
}

int config_parse_options(struct config *config, const char *cmdline)
{
        struct line line = {.config = config, .vm = NO_VM, .rest = cmdline, .quotes = true};

        while (next_word(&line)) {
                line.word = word_unquote(line.word);
                parse_word(&line, option_keys, ARRAY_LEN(option_keys));
        }
        return line.mistakes ? -EINVAL : 0;
}

int config_add_module(struct config *config, hpa_t start, uint64_t size, const char *string)
{
        struct config_file file = {start, size};
        struct line line = {
            .config = config,
            .module = ++config->modules,
            .vm = (int)config->vm_count - 1, /* NO_VM before the first */
            .rest = string,
        };
        struct word name, value;

        if (config->current_dropped)
                line.vm = NO_VM;
        next_word(&line);
        if (word_split(line.word, '=', &name, &value) && word_is(name, "vm"))
                open_vm(&line, &file);
        else if (config->current_dropped)
                return -EINVAL; /* said when its VM was dropped */
        else if (word_is(line.word, "initrd"))
                add_initrd(&line, &file);
        else
                complain(&line, "a module starts with vm=NAME or initrd");
        return line.mistakes ? -EINVAL : 0;
}

void config_finish(struct config *config)
{
        for (size_t i = 0; i < config->vm_count; i++) {
                struct vm_config *vm = &config->vm[i];
                struct line line = {.config = config, .module = vm->module, .vm = (int)i};

                line.word = (struct word){vm->name, strlen(vm->name)};
                if (vm->mem == 0 && vm->mistakes == 0)
                        complain(&line, "mem= is missing");
                /* GRUB passes over a file that it cannot read: without this check its absence
                   would only show as a guest that finds no root file system */
                if (!vm->has_initrd && vm->mistakes == 0 && !names_root(vm->cmdline))
                        complain(&line, "no initrd module, and no root= for the kernel");
                vm->startable = vm->mistakes == 0;
        }
}

void config_report(const struct config *config)
{
        for (size_t i = 0; i < config->error_count && i < CONFIG_ERRORS_MAX; i++)
                printk(LOG_ERROR, "%s", config->error[i].text);
        if (config->error_count > CONFIG_ERRORS_MAX)
                printk(LOG_ERROR, "and %zu more mistakes in the configuration",
                       config->error_count - CONFIG_ERRORS_MAX);
        for (size_t i = 0; i < config->vm_count; i++)
                if (!config->vm[i].startable)
                        printk(LOG_ERROR, "VM %s (module %u) is not started: see above",
                               config->vm[i].name, config->vm[i].module);
}
