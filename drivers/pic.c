/* The two 8259 interrupt controllers. Command words: Intel 8259A data sheet. */
#include "drivers/pic.h"

#include "hv/cpu.h"

#define MASTER_COMMAND 0x20
#define MASTER_DATA    0x21
#define SLAVE_COMMAND  0xa0
#define SLAVE_DATA     0xa1

#define ICW1_INIT_ICW4 0x11
#define ICW3_MASTER    0x04 /* the slave is on line 2 */
#define ICW3_SLAVE     0x02
#define ICW4_8086      0x01
#define MASK_ALL       0xff

void pic_disable(uint8_t vector)
{
        cpu_outb(MASTER_DATA, MASK_ALL);
        cpu_outb(SLAVE_DATA, MASK_ALL);
        cpu_outb(MASTER_COMMAND, ICW1_INIT_ICW4);
        cpu_outb(SLAVE_COMMAND, ICW1_INIT_ICW4);
        cpu_outb(MASTER_DATA, vector);
        cpu_outb(SLAVE_DATA, (uint8_t)(vector + 8));
        cpu_outb(MASTER_DATA, ICW3_MASTER);
        cpu_outb(SLAVE_DATA, ICW3_SLAVE);
        cpu_outb(MASTER_DATA, ICW4_8086);
        cpu_outb(SLAVE_DATA, ICW4_8086);
        /* initialisation clears the masks */
        cpu_outb(MASTER_DATA, MASK_ALL);
        cpu_outb(SLAVE_DATA, MASK_ALL);
}
