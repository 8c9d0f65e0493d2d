/*
 * The hypervisor's options and module lines (guest/config*.c): lines of text, the first one the
 * options, each other one a module of (its length) KiB.
 */
#include "guest/config/config.h"
#include "guest/load/layout.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "tests/fuzz/fuzz.h"

static struct config config;

static bool is_name(const char *name)
{
        size_t len = strnlen(name, WORD_NAME_SIZE);

        return len && len < WORD_NAME_SIZE &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
                   len;
}

static bool is_mapped_size(uint64_t size)
{
        return size && size % PAGE_2M == 0 && size <= CONFIG_SIZE_MAX;
}

static void check_options(const struct hv_options *options)
{
        DEMAND(options->exit <= CONFIG_EXIT_MONITOR);
        DEMAND(options->log_level >= LOG_ERROR && options->log_level <= LOG_DEBUG);
        DEMAND(options->nvram_count <= CONFIG_NVRAM_MAX);
        DEMAND(options->nvram_bad.count <= CONFIG_BAD_MAX && options->run_count <= CONFIG_RUN_MAX);
        for (size_t i = 0; i < options->nvram_count; i++)
                DEMAND(options->nvram[i].size &&
                       options->nvram[i].start + options->nvram[i].size >= options->nvram[i].start);
        for (size_t i = 0; i < options->run_count; i++)
                DEMAND(memchr(options->run[i], 0, COMMAND_LINE_SIZE));
}

/* A VM that is going to be started is right in every part. */
static void check_startable(const struct vm_config *vm)
{
        struct vm_layout layout;

        DEMAND(!vm->mistakes && is_name(vm->name) && vm->kernel.size);
        DEMAND(is_mapped_size(vm->mem) && vm->mem >= CONFIG_MEM_MIN);
        DEMAND(vm->vcpus >= 1 && vm->vcpus <= CONFIG_VCPUS_MAX);
        for (size_t i = 0; i < vm->region_count; i++) {
                DEMAND(is_name(vm->region[i].name) && is_mapped_size(vm->region[i].size));
                for (size_t j = 0; j < i; j++)
                        DEMAND(strcmp(vm->region[i].name, vm->region[j].name));
        }
        if (layout_compute(vm, 46, &layout))
                return;
        for (size_t i = 0; i < layout.region_count; i++)
                DEMAND(layout.region[i].gpa.v % PAGE_1G == 0 &&
                       layout.region[i].gpa.v + layout.region[i].size <= 1ull << 46);
}

static void check_vms(void)
{
        DEMAND(config.vm_count <= CONFIG_VMS_MAX);
        for (size_t i = 0; i < config.vm_count; i++) {
                const struct vm_config *vm = &config.vm[i];

                DEMAND(memchr(vm->name, 0, sizeof vm->name));
                DEMAND(memchr(vm->cmdline, 0, sizeof vm->cmdline));
                DEMAND(vm->region_count <= CONFIG_REGIONS_MAX);
                if (vm->startable)
                        check_startable(vm);
                for (size_t j = 0; vm->startable && j < i; j++)
                        DEMAND(!config.vm[j].startable || strcmp(config.vm[j].name, vm->name));
        }
        for (size_t i = 0; i < config.error_count && i < CONFIG_ERRORS_MAX; i++) {
                const char *text = config.error[i].text;

                DEMAND(*text && memchr(text, 0, CONFIG_TEXT_SIZE));
                DEMAND(config.error[i].vm < (int)config.vm_count);
        }
}

/* The line up to a newline or the input's end. */
static char *next_line(struct fuzz_input *in)
{
        const uint8_t *end = in->left ? memchr(in->at, '\n', in->left) : NULL;
        size_t len = end ? (size_t)(end - in->at) : in->left;
        char *line = fuzz_string(in, len);

        (void)fuzz_take(in, 1);
        return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        unsigned long told;
        uint64_t at = MiB;
        size_t before = 0;
        char *line = next_line(&in);

        config_init(&config);
        DEMAND((config_parse_options(&config, line) != 0) == (config.error_count != 0));
        check_options(&config.options);
        free(line);
        while (in.left) {
                size_t len;

                line = next_line(&in);
                len = strlen(line);
                before = config.error_count;
                /* A module of a VM that found no room is refused as well; that was told before. */
                if (config_add_module(&config, HPA(at), len * KiB, line))
                        DEMAND(config.error_count);
                else
                        DEMAND(config.error_count == before);
                at += align_up(len * KiB, PAGE_4K);
                free(line);
        }
        config_finish(&config);
        check_vms();
        told = fuzz_complaints;
        config_report(&config);
        DEMAND(!config.error_count || fuzz_complaints > told);
        return 0;
}
