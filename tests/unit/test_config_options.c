/* Configuration: the hypervisor's options, and every mistake with its message. */
#include "guest/config/config.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

static void test_option_defaults(void)
{
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "  "), 0);
        CHECK_EQ(config.options.console_port, 0x3f8);
        CHECK_EQ(config.options.exit, CONFIG_EXIT_HALT);
        CHECK_EQ(config.options.log_level, LOG_NOTICE);
        CHECK_EQ(config.options.nvram_count, 0);
        CHECK(!config.options.nvram_force);
        CHECK(!config.options.mitigations_off);
}

static void test_mitigations(void)
{
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "mitigations=off"), 0);
        CHECK(config.options.mitigations_off);
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "mitigations=auto"), 0);
        CHECK(!config.options.mitigations_off);
        config_init(&config);
        CHECK(config_parse_options(&config, "mitigations=on") < 0);
        CHECK(!config.options.mitigations_off);
}

static void test_mem_fail(void)
{
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "mem-fail=7"), 0);
        CHECK_EQ(config.options.mem_fail, 7);
        config_init(&config);
        CHECK(config_parse_options(&config, "mem-fail=7x") < 0);
        CHECK_EQ(config.options.mem_fail, 0);
}

static void test_options(void)
{
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, " console=com2 exit=poweroff\tnvram=64M@0x10000000 "
                                               "nvram=1G@4G nvram-format=force loglevel=debug "),
                 0);
        CHECK_EQ(config.error_count, 0);
        CHECK_EQ(config.options.console_port, 0x2f8);
        CHECK_EQ(config.options.exit, CONFIG_EXIT_POWEROFF);
        CHECK_EQ(config.options.log_level, LOG_DEBUG);
        CHECK(config.options.nvram_force);
        CHECK_EQ(config.options.nvram_count, 2);
        CHECK_EQ(config.options.nvram[0].size, 64 * MiB);
        CHECK_EQ(config.options.nvram[0].start, 0x10000000);
        CHECK_EQ(config.options.nvram[1].start, 4 * GiB);
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "console=none exit=reboot loglevel=error"), 0);
        CHECK_EQ(config.options.console_port, 0);
        CHECK_EQ(config.options.exit, CONFIG_EXIT_REBOOT);
        CHECK_EQ(config.options.log_level, LOG_ERROR);
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "console=0xc000 exit=monitor"), 0);
        CHECK_EQ(config.options.exit, CONFIG_EXIT_MONITOR);
        CHECK_EQ(config.options.console_port, 0xc000);
}

/* What console= makes of a value: the port, or the default with a complaint. */
static int console_port(const char *value)
{
        char line[64];

        config_init(&config);
        snprintf(line, sizeof line, "console=%s", value);
        return config_parse_options(&config, line) ? -1 : config.options.console_port;
}

static void test_console_ports(void)
{
        CHECK_EQ(console_port("com1"), 0x3f8);
        CHECK_EQ(console_port("com4"), 0x2e8);
        CHECK_EQ(console_port("0x2F8"), 0x2f8);
        CHECK_EQ(console_port("0xfff8"), 0xfff8);
        CHECK_EQ(console_port("none"), 0);
        CHECK_EQ(console_port("com5"), -1);
        CHECK_EQ(console_port("com0"), -1);
        CHECK_EQ(console_port("com"), -1);
        CHECK_EQ(console_port("com10"), -1);
        CHECK_EQ(console_port("0x"), -1);
        CHECK_EQ(console_port("0x0"), -1);
        CHECK_EQ(console_port("0xfffc"), -1);
        CHECK_EQ(console_port("0x13f8a"), -1);
        CHECK_EQ(console_port("0x3g8"), -1);
        CHECK_EQ(console_port("0x3f8,115200"), -1);
        CHECK_EQ(config.options.console_port, 0x3f8);
}

/* A quote that is not closed takes the rest of the line with it, whatever that was. */
static void test_open_quote(void)
{
        config_init(&config);
        CHECK(config_parse_options(&config, "exit=reboot run=\"nv list exit=halt nvram-skip=1") <
              0);
        CHECK_EQ(config.error_count, 1);
        CHECK(said("command line", "a quote is not closed"));
        CHECK_EQ(config.options.exit, CONFIG_EXIT_REBOOT);
        CHECK_EQ(config.options.run_count, 0);
        CHECK(config.options.nvram_mistake);
}

static void test_long_option(void)
{
        static char line[CONFIG_WORD_SIZE + 32];

        memset(line, 'x', CONFIG_WORD_SIZE);
        strcpy(line + CONFIG_WORD_SIZE, " exit=reboot");
        config_init(&config);
        CHECK(config_parse_options(&config, line) < 0);
        CHECK(said("command line: xxx", "longer than 4095"));
        CHECK_EQ(config.options.exit, CONFIG_EXIT_REBOOT);
        CHECK(config.options.nvram_mistake);
        config_init(&config);
        CHECK(config_parse_options(&config, line + 1) < 0);
        CHECK(said("command line: xxx", "unknown key"));
}

static void expect_runs(const char *cmdline, const char *const *lines, size_t count)
{
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, cmdline), 0);
        CHECK_EQ(config.options.run_count, count);
        for (size_t i = 0; i < count && i < config.options.run_count; i++) {
                CHECK(strcmp(config.options.run[i], lines[i]) == 0);
                if (strcmp(config.options.run[i], lines[i]) != 0)
                        printf("# %s: \"%s\"\n", cmdline, config.options.run[i]);
        }
}

#define RUNS(cmdline, ...)                                                                         \
        expect_runs(cmdline, (const char *const[]){__VA_ARGS__},                                   \
                    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* As typed, and as GRUB 2 hands it over. */
static void test_run(void)
{
        RUNS("run=map", "map");
        RUNS("run=\"nv list\"", "nv list");
        RUNS("\"run=nv list\"", "nv list");
        RUNS("exit=halt \"run=nv list -o json; map ;;\" run=mem", "nv list -o json", "map", "mem");
        RUNS("\"run=nv label a \\\"two words\\\" \\\\\"", "nv label a \"two words\" \\");
        expect_runs("run= \"run= ; \"", NULL, 0);
}

static void test_wrong_runs(void)
{
        char line[2 * COMMAND_LINE_SIZE];

        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "run=1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16"), 0);
        CHECK_EQ(config_parse_options(&config, "run=17 exit=reboot"), -EINVAL);
        CHECK(said("run=17", "more than 16 lines"));
        CHECK_EQ(config.options.run_count, CONFIG_RUN_MAX);
        CHECK_EQ(config.options.exit, CONFIG_EXIT_REBOOT);
        config_init(&config);
        memset(line, 'x', sizeof line);
        memcpy(line, "run=", 4);
        line[4 + COMMAND_LINE_SIZE] = '\0';
        CHECK_EQ(config_parse_options(&config, line), -EINVAL);
        CHECK(said("run=xxx", "longer than 255"));
        line[4 + COMMAND_LINE_SIZE - 1] = '\0';
        CHECK_EQ(config_parse_options(&config, line), 0);
        CHECK_EQ(strlen(config.options.run[0]), COMMAND_LINE_SIZE - 1);
        CHECK_EQ(config_parse_options(&config, "\"run=not closed exit=halt"), -EINVAL);
        CHECK_EQ(config.options.run_count, 1);
}

static void test_bad_addresses(void)
{
        char line[16 * CONFIG_BAD_MAX] = "nvram-bad=0x20000000,4096 nvram-bad=0";

        config_init(&config);
        CHECK_EQ(config_parse_options(&config, line), 0);
        CHECK_EQ(config.options.nvram_bad.count, 3);
        CHECK_EQ(config.options.nvram_bad.at[0], 0x20000000);
        CHECK_EQ(config.options.nvram_bad.at[1], 4096);
        CHECK_EQ(config.options.nvram_bad.at[2], 0);
        strcpy(line, "nvram-bad=0");
        for (unsigned i = 1; i <= CONFIG_BAD_MAX; i++)
                sprintf(line + strlen(line), ",0x%x", i);
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, line), -EINVAL);
        CHECK(said("nvram-bad=", "more than 64 addresses"));
        CHECK_EQ(config.options.nvram_bad.count, CONFIG_BAD_MAX);
        CHECK_EQ(config.options.nvram_bad.at[63], 63);
}

static void test_nvram_choice(void)
{
        config_init(&config);
        CHECK_EQ(config_parse_options(&config,
                                      "nvram-use=0x20000000,4096 nvram-skip=7 nvram-skip=8 "
                                      "nvram-format=9,10 nvram-format=force"),
                 0);
        CHECK_EQ(config.options.nvram_use.count, 2);
        CHECK_EQ(config.options.nvram_use.at[1], 4096);
        CHECK_EQ(config.options.nvram_skip.count, 2);
        CHECK_EQ(config.options.nvram_skip.at[1], 8);
        CHECK_EQ(config.options.nvram_format.count, 2);
        CHECK(config.options.nvram_force && !config.options.nvram_mistake);
        config_init(&config);
        CHECK(config_parse_options(&config, "exit=never") < 0);
        CHECK(!config.options.nvram_mistake);
        /* whatever was meant, it may have been to keep something */
        for (unsigned i = 0; i < 4; i++) {
                static const char *const wrong[] = {"nvram-skip=0x2000000z", "nvram-skp=4096",
                                                    "nvram-use=", "nvram-format=0x1000,"};

                config_init(&config);
                CHECK(config_parse_options(&config, wrong[i]) < 0);
                CHECK(config.options.nvram_mistake);
        }
}

/* A wrong option leaves its default, and the others are read. */
static void test_wrong_options(void)
{
        static const char *const wrong[] = {
            "console=com9",
            "console=",
            "console",
            "exit=off",
            "exit=poweroffs",
            "loglevel=7",
            "nvram=64M",
            "nvram=0@1M",
            "nvram=64M@",
            "nvram=@1M",
            "nvram=64X@1M",
            "nvram=1M@0x1ffffffffffffffff",
            "nvram=2M@0xffffffffffe00001",
            "nvram-bad=",
            "nvram-bad=1,",
            "nvram-bad=1K",
            "nvram-format=yes",
            "nvram-format=",
            "what=ever",
            "stray",
            "=x",
            "nvram=16777216T@0",
        };

        for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
                char line[128];

                config_init(&config);
                snprintf(line, sizeof line, "%s nvram=2M@4M", wrong[i]);
                CHECK_EQ(config_parse_options(&config, line), -EINVAL);
                CHECK_EQ(config.error_count, 1);
                CHECK(said("command line", wrong[i]));
                CHECK_EQ(config.error[0].vm, -1);
                CHECK_EQ(config.options.console_port, 0x3f8);
                CHECK_EQ(config.options.exit, CONFIG_EXIT_HALT);
                CHECK_EQ(config.options.log_level, LOG_NOTICE);
                CHECK(!config.options.nvram_force);
                CHECK_EQ(config.options.nvram_count, 1);
        }
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "exit=halt exit=reboot"), -EINVAL);
        CHECK(said("exit=reboot", "twice"));
        CHECK_EQ(config.options.exit, CONFIG_EXIT_HALT);
        config_init(&config);
        CHECK_EQ(config_parse_options(&config, "nvram=1@1 nvram=1@2 nvram=1@3 nvram=1@4 nvram=1@5 "
                                               "nvram=1@6 nvram=1@7 nvram=1@8 nvram=1@9"),
                 -EINVAL);
        CHECK(said("nvram=1@9", "more than"));
        CHECK_EQ(config.options.nvram_count, CONFIG_NVRAM_MAX);
}

int main(void)
{
        RUN(test_option_defaults);
        RUN(test_mitigations);
        RUN(test_mem_fail);
        RUN(test_options);
        RUN(test_console_ports);
        RUN(test_open_quote);
        RUN(test_long_option);
        RUN(test_run);
        RUN(test_wrong_runs);
        RUN(test_bad_addresses);
        RUN(test_nvram_choice);
        RUN(test_wrong_options);
        return unit_done();
}
