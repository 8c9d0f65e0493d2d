/* Binds the backend for this machine's CPU; contract in virt.h. */
#include "hv/virt.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/svm/svm.h"
#include "hv/vmx/vmx.h"

static const struct virt_ops *const backends[] = {&vmx_ops, &svm_ops};

const struct virt_ops *virt;
struct virt_caps virt_caps;

static int use(const struct virt_ops *ops, struct dram *dram)
{
        int err = ops->probe(true, &virt_caps);

        if (err)
                return err;
        err = ops->cpu_enable(dram);
        if (err) {
                printk(LOG_ERROR, "virt: %s cannot be switched on (error %d)", ops->name, -err);
                return err;
        }
        virt = ops;
        printk(LOG_NOTICE, "virt: %s, second-level pages up to %s, local APICs virtualized by %s",
               ops->name, virt_caps.page_max == PAGE_1G ? "1 GiB" : "2 MiB",
               virt_caps.virtual_apic ? "the CPU" : "software");
        return 0;
}

int virt_start_cpu(struct dram *dram)
{
        struct virt_caps caps;
        int err = virt->present() ? virt->probe(false, &caps) : -ENODEV;

        if (!err && caps.invpcid != virt_caps.invpcid) { /* the rest has been compared */
                printk(LOG_ERROR, "virt: INVPCID is %u here and %u on the first CPU", caps.invpcid,
                       virt_caps.invpcid);
                err = -ENODEV;
        }
        return err ? err : virt->cpu_enable(dram);
}

int virt_init(struct dram *dram)
{
        for (size_t i = 0; i < ARRAY_LEN(backends); i++)
                if (backends[i]->present())
                        return use(backends[i], dram);
        /* Neither: each tells what it misses. */
        for (size_t i = 0; i < ARRAY_LEN(backends); i++)
                if (!backends[i]->probe(true, &virt_caps))
                        panic("virt: %s is usable but not present", backends[i]->name);
        return -ENODEV;
}
