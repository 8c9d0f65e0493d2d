/* permafrost.cfg: the words as GRUB 2.06 hands them over, and mistakes with their lines. */
#include "boot/efi/efi_config.h"

#include "hv/lib/string.h"
#include "tests/unit/unit.h"

static struct efi_config config;
static char *room;

/* Parse a copy of the text in exactly the room that is asked for, so that ASan sees every overrun.
 */
static const char *parse_bytes(const char *text, size_t size)
{
        char *copy = malloc(size ? size : 1);
        const char *wrong;

        free(room);
        room = malloc(EFI_CONFIG_ROOM(size));
        memcpy(copy, text, size);
        wrong = efi_config_parse(copy, size, room, &config);
        free(copy);
        return wrong;
}

static const char *parse(const char *text)
{
        return parse_bytes(text, strlen(text));
}

static void check_wrong(const char *text, unsigned line, const char *words)
{
        const char *wrong = parse(text);

        CHECK(wrong && strstr(wrong, words));
        CHECK_EQ(config.line, line);
}

static void test_entry(void)
{
        CHECK(!parse("# comment\n\nset timeout=0\ninsmod all_video\n"
                     "menuentry \"a name\" {\r\n"
                     "\tmultiboot2 /boot/permafrost.elf  console=com1 exit=halt # and more\r\n"
                     "  module2 /boot/vmlinuz vm=db mem=256M -- console=ttyS0   quiet\r\n"
                     "  module2 --nounzip /boot/initrd.img initrd\r\n"
                     "  module2 '/a b/c'\r\n"
                     "}\r\n"
                     "menuentry other {\n multiboot2 /other\n}\nnonsense\n"));
        CHECK(strcmp(config.image.path, "/boot/permafrost.elf") == 0);
        CHECK(strcmp(config.image.args, "console=com1 exit=halt") == 0);
        CHECK_EQ(config.module_count, 3);
        CHECK(strcmp(config.module[0].path, "/boot/vmlinuz") == 0);
        CHECK(strcmp(config.module[0].args, "vm=db mem=256M -- console=ttyS0 quiet") == 0);
        CHECK(strcmp(config.module[1].path, "/boot/initrd.img") == 0);
        CHECK(strcmp(config.module[1].args, "initrd") == 0);
        CHECK(strcmp(config.module[2].path, "/a b/c") == 0);
        CHECK(strcmp(config.module[2].args, "") == 0);
}

static void test_without_entry(void)
{
        CHECK(!parse("\xef\xbb\xbfmultiboot2 /x"));
        CHECK(strcmp(config.image.path, "/x") == 0);
        CHECK(strcmp(config.image.args, "") == 0);
        CHECK(!parse("menuentry empty {\n}\nmultiboot2 /x a\n}"));
        CHECK(strcmp(config.image.args, "a") == 0);
}

/* By GRUB 2.06's rules for words and for the command line that it makes of them. */
static void test_quotes(void)
{
        static const struct {
                const char *written, *told;
        } words[] = {
            {"run=\"nv list; map\"", "\"run=nv list; map\""},
            {"\"run=nv list\"", "\"run=nv list\""},
            {"'run=nv list'", "\"run=nv list\""},
            {"run=nv\\ list", "\"run=nv list\""},
            {"a\"b\"'c'd", "abcd"},
            {"a\\\"b", "a\\\"b"},
            {"\"a \\\"b\\\" c\"", "\"a \\\"b\\\" c\""},
            {"'a\\b'", "a\\\\b"},
            {"\"a\\b\"", "a\\\\b"},
            {"\"it's\"", "it\\'s"},
            {"'$x;'", "$x;"},
            {"\"\\$x\"", "$x"},
            {"a#b", "a#b"},
            {"\"\" x", " x"},
        };
        char line[100];

        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                snprintf(line, sizeof line, "multiboot2 /x %s", words[i].written);
                CHECK(!parse(line));
                if (config.image.args && strcmp(config.image.args, words[i].told) != 0)
                        printf("%s gives %s\n", words[i].written, config.image.args);
                CHECK(config.image.args && strcmp(config.image.args, words[i].told) == 0);
        }
}

static void test_mistakes(void)
{
        char many[BOOT_MODULES_MAX * 16 + 64] = "multiboot2 /x\n";

        check_wrong("", 0, "no multiboot2");
        check_wrong("# only this\nmenuentry x {\n}\n", 0, "no multiboot2");
        check_wrong("multiboot2", 1, "path is missing");
        check_wrong("\n\nmultiboot2 # /x\n", 3, "path is missing");
        check_wrong("multiboot2 x", 1, "begin with a slash");
        check_wrong("multiboot2 (hd0)/x", 1, "begin with a slash");
        check_wrong("multiboot2 --nounzip /x\n", 1, "begin with a slash");
        check_wrong("multiboot2 /x\nmodule2 --nounzip\n", 2, "path is missing");
        check_wrong("multiboot2 /x\nmodule2 --nounzip --nounzip /y\n", 2, "begin with a slash");
        check_wrong("module2 /x\n", 1, "without a multiboot2");
        check_wrong("multiboot2 /x\nmultiboot2 /y\n", 2, "second multiboot2");
        check_wrong("multiboot2 /x\nlinux /y\n", 2, "only multiboot2");
        check_wrong("multiboot2 /x a \"b\nc\"\n", 1, "not closed");
        check_wrong("multiboot2 /x 'b", 1, "not closed");
        check_wrong("multiboot2 /x b\\", 1, "backslash");
        check_wrong("multiboot2 /x b\\\nc", 1, "backslash");
        check_wrong("multiboot2 /x run=a;b", 1, "in quotes");
        check_wrong("multiboot2 $root/x", 1, "variables");
        check_wrong("multiboot2 /x \"$y\"", 1, "variables");
        CHECK(strstr(parse_bytes("multiboot2 /x\0y", 15), "zero byte"));
        for (unsigned i = 0; i <= BOOT_MODULES_MAX; i++)
                strcat(many, "module2 /y\n");
        CHECK(!parse(many));
        CHECK_EQ(config.module_count, BOOT_MODULES_MAX);
        CHECK_EQ(config.modules_left, 1);
}

/* Random text of the characters that mean something: ends in a result, within its room. */
static void test_random(void)
{
        static const char chars[] = "\"\"''\\\\ \n\n#;$}/ab\t\r";
        uint64_t seed = unit_seed();
        unsigned good = 0;

        for (unsigned i = 0; i < 50000; i++) {
                char text[64] = "multiboot2 /";
                size_t n = strlen(text), more = unit_random(&seed) % 40;

                for (; more > 0; more--)
                        text[n++] = chars[unit_random(&seed) % (sizeof chars - 1)];
                if (!parse_bytes(text, n)) {
                        good++;
                        CHECK(strlen(config.image.path) + strlen(config.image.args) < 2 * n + 64);
                }
        }
        CHECK(good > 0);
}

int main(void)
{
        RUN(test_entry);
        RUN(test_without_entry);
        RUN(test_quotes);
        RUN(test_mistakes);
        RUN(test_random);
        free(room);
        return unit_done();
}
