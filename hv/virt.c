/* Binds the backend for this machine's CPU; contract in virt.h. */
#include "hv/virt.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/vmx/vmx.h"

const struct virt_ops *virt;
struct virt_caps virt_caps;

int virt_init(struct dram *dram)
{
        int err = vmx_ops.probe(&virt_caps);

        if (err)
                return err;
        err = vmx_ops.cpu_enable(dram);
        if (err)
                return err;
        virt = &vmx_ops;
        printk(LOG_INFO, "virt: %s, second-level pages up to %s", virt->name,
               virt_caps.page_max == PAGE_1G ? "1 GiB" : "2 MiB");
        return 0;
}
