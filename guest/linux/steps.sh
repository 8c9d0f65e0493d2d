# What the guest can do, sourced by init: the demonstration and the steps of the tests.

pmem_size() # the bytes of /dev/pmemN
{
        echo $(($(cat /sys/block/$1/size 2>/dev/null || echo 0) * 512))
}

boots() # how many runs before this one left a line in /pmem/boots
{
        cat /pmem/boots 2>/dev/null | wc -l
}

has_ext4() # DEVICE: does it hold an ext4 file system (the magic number at 1080)?
{
        [ "$(dd if=$1 bs=1 skip=1080 count=2 2>/dev/null | hexdump -e '1/2 "%04x"')" = ef53 ]
}

mount_dax() # DEVICE FOLDER: mounts with DAX; makes the file system only where there is none
{
        if ! has_ext4 "$1"; then
                echo "making a file system on $1, which has none"
                mkfs.ext4 -q -F -b 4096 "$1" || return 1
        fi
        mount -t ext4 -o dax=always "$1" "$2"
}

shell_welcome()
{
        if mount_dax /dev/pmem0 /pmem; then
                echo "/dev/pmem0 ($(($(pmem_size pmem0) >> 20)) MiB of NVRAM) is mounted at /pmem with DAX."
                [ -e /pmem/boots ] && echo "The runs before stored:" && cat /pmem/boots
                echo "boot $(($(boots) + 1)): shell" >>/pmem/boots
                cd /pmem
        else
                echo "no file system on NVRAM: $(ls /dev/pmem* 2>/dev/null || echo there is no /dev/pmem0)"
        fi
        echo "A shell in the guest follows; 'exit' powers off."
}

demonstrate()
{
        size=$(pmem_size pmem0)
        echo "demo: /dev/pmem0 has $((size >> 20)) MiB"
        mount_dax /dev/pmem0 /pmem || return 1
        echo "demo: ext4 on it, mounted: $(grep ' /pmem ' /proc/mounts | cut -d' ' -f3,4)"
        n=$(boots)
        if [ "$n" -gt 0 ]; then
                echo "demo: the runs before stored $n lines, the last: $(tail -n 1 /pmem/boots)"
        else
                echo "demo: nothing is stored yet"
        fi
        echo "boot $((n + 1)): stored by Linux $(uname -r) through DAX" >>/pmem/boots
        sync
        echo "PF-TEST: demo ok boots=$((n + 1))"
}

step_info()
{
        for device in /sys/block/pmem*; do
                [ -e "$device" ] && echo "PF-STATE: ${device##*/} bytes=$(pmem_size ${device##*/})"
        done
        echo "PF-STATE: clock sources=$(cat /sys/devices/system/clocksource/clocksource0/available_clocksource)"
        echo "PF-STATE: memory total=$(sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
        echo "PF-TEST: info ok"
}

# The persistence tests use three regions: a raw one, one for files, one for libpmemobj's pool.

check_ext4() # DEVICE NAME: a file system that is there must be sound once its journal is replayed
{
        has_ext4 "$1" || return 0
        report=$(e2fsck -fp "$1" 2>&1) || [ $? = 1 ] || echo "PF-TEST: $2-fsck FAIL $report"
}

step_mount()
{
        check_ext4 /dev/pmem1 log
        check_ext4 /dev/pmem2 bank
        mount_dax /dev/pmem1 /pmem && mount_dax /dev/pmem2 /obj || return 1
        echo "PF-TEST: mount ok $(grep -c dax=always /proc/mounts)"
}

step_raw_write()
{
        pf_raw write /dev/pmem0 "$seed"
}

step_raw_start() # fills the region only when it is blank
{
        if [ "$(dd if=/dev/pmem0 bs=4k count=1 2>/dev/null | tr -d '\0' | wc -c)" = 0 ]; then
                step_raw_write
        fi
}

step_raw_verify()
{
        pf_raw verify /dev/pmem0 "$seed"
}

step_read_only() # the first region can be read but not written, by Linux' own word; by a store it is a signal
{
        [ "$(blockdev --getro /dev/pmem0)" = 1 ] || return 1
        if dd if=/dev/zero of=/dev/pmem0 bs=4k count=1 2>/dev/null; then
                return 1
        fi
        mount -t ext4 -o ro,noload,dax=always /dev/pmem0 /pmem || return 1
        /pmem/busybox echo "PF-TEST: read-only ok $(tail -n 1 /pmem/boots)"
}

step_write_boot() # a file for step_read_only
{
        mount_dax /dev/pmem0 /pmem || return 1
        echo "written by $(argument name guest)" >>/pmem/boots
        cp /bin/busybox /pmem/ || return 1
        umount /pmem
        echo "PF-TEST: write-boot ok"
}

step_log_verify()
{
        pf_log verify /pmem "$seed"
}

step_bank_verify()
{
        pf_bank verify /obj/bank "$seed"
}

step_sync() # the promises of DAX on the first region: file system, mount option, synchronous mapping
{
        mount_dax /dev/pmem0 /pmem || return 1
        grep -q ' /pmem ext4 .*dax=always' /proc/mounts || return 1
        pf_log append /pmem "$seed" && echo "PF-TEST: map-sync ok" && pf_log verify /pmem "$seed"
}

step_execute() # a program on the first region, whose pages DAX maps where they are
{
        cp /bin/busybox /pmem/ && sync && /pmem/busybox echo "PF-TEST: execute ok"
}

# All three write at once. pf.ends lists how each boot ends, the first boot first; where it says cut or nothing they
# write until the power is cut, else for a few seconds. The count of boots is kept on the second region.
step_cycle()
{
        n=$(($(cat /pmem/ends 2>/dev/null | wc -l) + 1))
        ending=$(argument ends "" | cut -d, -f$n)
        echo "${ending:-cut}" >>/pmem/ends
        sync
        pf_raw cycle /dev/pmem0 "$seed" &
        writers=$!
        pf_log cycle /pmem "$seed" &
        writers="$writers $!"
        pf_bank cycle /obj/bank "$seed" &
        writers="$writers $!"
        if [ "${ending:-cut}" = cut ]; then
                wait
                echo "PF-TEST: cycle FAIL the writers ended"
                return
        fi
        sleep 3
        for writer in $writers; do
                kill $writer || echo "PF-TEST: cycle FAIL writer $writer ended before"
        done
        wait
        echo "PF-TEST: cycle ok then $ending"
}

step_cpus() # every CPU is there, and its clock agrees with the others'
{
        echo "PF-STATE: cpus online=$(grep -c ^processor /proc/cpuinfo) clock=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
        echo "PF-TEST: cpus ok"
}

load_virtio() # the drivers of virtio devices; those of a kernel that has them built in are there
{
        for module in $(cat /lib/modules/virtio); do
                grep -q "^$module " /proc/modules || insmod /lib/modules/$module.ko || return 1
        done
}

step_virtio() # the PCI bus and the virtio devices on it: each with its driver, and with interrupts that come
{
        load_virtio || return 1
        for device in /sys/bus/pci/devices/*; do
                echo "PF-STATE: pci ${device##*/} $(cat $device/vendor):$(cat $device/device) class $(cat $device/class)"
        done
        for device in /sys/bus/virtio/devices/*; do
                driver=$(readlink $device/driver)
                echo "PF-STATE: virtio ${device##*/} type=$(cat $device/device) driver=${driver##*/} status=$(cat $device/status)"
        done
        sed -n 's/  */ /g; /virtio/ s/^/PF-STATE: interrupts /p' /proc/interrupts
        echo "PF-TEST: virtio ok"
}

step_hwrng() # random numbers of the virtio device, other ones each time
{
        load_virtio || return 1
        one=$(head -c 4096 /dev/hwrng | md5sum) && two=$(head -c 4096 /dev/hwrng | md5sum) || return 1
        [ "$one" != "$two" ] || return 1
        echo "PF-STATE: hwrng source=$(cat /sys/class/misc/hw_random/rng_current) bytes=$(head -c 4096 /dev/hwrng | wc -c)"
        echo "PF-TEST: hwrng ok"
}

step_hvc() # the console of the virtio device: a page is written, a line is read
{
        load_virtio || return 1
        until [ -c /dev/hvc0 ]; do sleep 0.1; done
        exec 3<>/dev/hvc0 # open until the end: its last close would throw away what was typed
        stty -echo <&3 || return 1
        { head -c 4080 /dev/zero | tr '\0' '.'; echo; echo "hvc0: type something"; } >&3
        read -r line <&3 || return 1
        exec 3>&-
        echo "PF-STATE: hvc0 read='$line'"
        echo "PF-TEST: hvc ok"
}

told() # a program's output and status, as state of that name
{
        name=$1
        shift
        out=$("$@" 2>&1 </dev/null)
        status=$?
        echo "$out" | sed "s/^/PF-STATE: $name: /"
        echo "PF-STATE: $name status=$status"
}

step_control() # administer the machine from here: look, type for the VM "other", pause and stop it
{
        load_virtio || return 1
        until pfctl vm log other | grep -q "hvc0: type something"; do sleep 0.1; done
        told list pfctl vm list
        told json pfctl -o json vm list
        told pause pfctl vm pause other
        told paused pfctl vm list
        told resume pfctl vm resume other
        told top pfctl top -n 1
        told unknown pfctl nonsense
        told unasked pfctl poweroff
        pfctl vm type other "typed by pfctl%0d" || return 1
        until ! pfctl vm log other >/dev/null 2>&1; do sleep 0.1; done
        echo "PF-TEST: control ok"
}

step_control_ro() # look, and be refused everything else
{
        load_virtio || return 1
        until pfctl vm list >/dev/null 2>&1; do sleep 0.1; done # the driver makes the port a moment later
        told look pfctl nv list
        told change pfctl vm stop db -y
        echo "PF-TEST: control-ro ok"
}

step_disks() # what Linux knows of each disk, and the sum of what is on it
{
        load_virtio || return 1
        for disk in /sys/block/vd*; do
                queue=$disk/queue
                echo "PF-STATE: disk ${disk##*/} serial=$(cat $disk/serial) bytes=$(($(cat $disk/size) * 512)) ro=$(cat $disk/ro)" \
                        "sectors=$(cat $queue/logical_block_size),$(cat $queue/physical_block_size)" \
                        "cache=$(tr ' ' - <$queue/write_cache) discard=$(cat $queue/discard_max_bytes)" \
                        "zeroes=$(cat $queue/write_zeroes_max_bytes) sum=$(md5sum </dev/${disk##*/} | cut -d' ' -f1)"
        done
        echo "PF-TEST: disks ok"
}

disk_file() # N: what stands in the Nth file of the disk
{
        yes "file $1 of $seed" | head -c 12288
}

step_disk_verify() # the file system of the disk, made if there is none: sound, with each file that is there whole
{
        check_ext4 ${1:-/dev/vda} disk
        has_ext4 ${1:-/dev/vda} || mkfs.ext4 -q -F ${1:-/dev/vda} || return 1
        mount -t ext4 ${1:-/dev/vda} /mnt || return 1
        newest=0
        while [ -e /mnt/$((newest + 1)) ]; do
                newest=$((newest + 1))
                disk_file $newest | cmp -s - /mnt/$newest || echo "PF-TEST: disk-verify FAIL file $newest"
        done
        echo "PF-TEST: disk-verify ok newest=$newest"
}

step_pmem_verify() # the same file system, found on the first region as memory
{
        step_disk_verify /dev/pmem0
}

step_disk_refuses() # Linux writes nothing to the second disk
{
        [ "$(blockdev --getro /dev/vdb)" = 1 ] || return 1
        if dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync 2>/dev/null; then
                return 1
        fi
        echo "PF-TEST: disk-refuses ok"
}

step_disk_discard() # what is discarded, or overwritten with zeroes, reads as zero
{
        echo data | dd of=/dev/vdc bs=4k seek=3 conv=sync,fsync 2>/dev/null
        blkdiscard -o 12288 -l 4096 /dev/vdc || return 1
        [ "$(dd if=/dev/vdc bs=4k skip=3 count=1 2>/dev/null | tr -d '\0' | wc -c)" = 0 ] || return 1
        echo "PF-TEST: disk-discard ok"
}

step_disk_write() # file after file, each acknowledged when it is durable, until the power is cut or there are as many as told
{
        while [ $newest -lt $(argument files 1000) ]; do
                disk_file $((newest + 1)) | dd of=/mnt/$((newest + 1)) bs=4k conv=fsync 2>/dev/null || return 1
                newest=$((newest + 1))
                echo "PF-ACK: disk $newest"
        done
        umount /mnt
        echo "PF-TEST: disk-write ok"
}

step_net_up() # eth0 with the address 10.0.0.N of the argument pf.ip=N, once there is another station
{
        load_virtio || return 1
        ifconfig eth0 10.0.0.$(argument ip 1) netmask 255.255.255.0 up || return 1
        echo "PF-STATE: net mac=$(cat /sys/class/net/eth0/address) carrier=$(cat /sys/class/net/eth0/carrier)"
        echo "PF-TEST: net-up ok"
}

step_net_serve() # give 4 MiB to whoever connects, then take a file; nc ends when the other side has sent all
{
        head -c 4194304 /dev/zero | nc -l -p 5000 || return 1
        nc -l -p 5001 >/tmp/got || return 1
        echo "PF-STATE: net served=$(wc -c </tmp/got) sum=$(md5sum </tmp/got | cut -d' ' -f1)"
        echo "PF-TEST: net-serve ok"
}

step_net_ask() # find the server, take what it gives and send it a file
{
        until nc 10.0.0.1 5000 >/tmp/got 2>/dev/null; do sleep 0.1; done
        ping -c 3 -q 10.0.0.1 || return 1
        until nc 10.0.0.1 5001 </bin/busybox 2>/dev/null; do sleep 0.1; done
        echo "PF-STATE: net asked=$(wc -c </tmp/got) sum=$(md5sum </bin/busybox | cut -d' ' -f1)"
        counters=/sys/class/net/eth0/statistics
        echo "PF-STATE: net frames $(cat $counters/rx_packets) bytes $(cat $counters/rx_bytes)" \
                "features $(cat /sys/class/net/eth0/device/features)"
        echo "PF-TEST: net-ask ok"
}

step_memtype() # what memory is mapped as, and where the regions are
{
        echo "PF-STATE: nvram at $(sed -n 's/.*permafrost\.nvram=\([^ ]*\).*/\1/p' /proc/cmdline)"
        mount -t debugfs debug /sys/kernel/debug || return 1
        sed 's/^/PF-STATE: memtype /' /sys/kernel/debug/x86/pat_memtype_list || return 1
        echo "PF-TEST: memtype ok"
}

step_warnings() # what the kernel has warned of, or worse
{
        dmesg -r -s 1048576 | sed -n 's/^<[0-4]>\(\[[^]]*\] \)*/PF-WARN: /p'
        echo "PF-TEST: warnings ok"
}

step_stress() # locks, shared memory and memory patterns on all CPUs, each result verified
{
        stress-ng --verify --timeout "$(argument stress 5)" --mutex 4 --sem 4 --futex 2 --atomic 4 --pthread 2 --vm 4 \
                --vm-bytes 8M --switch 2 >/run/stress 2>&1 || { tail -n 20 /run/stress; return 1; }
        echo "PF-TEST: stress ok"
}

step_neighbour() # write to a file on the first region and verify all of it, for ever
{
        mount_dax /dev/pmem0 /pmem || return 1
        round=0
        while pf_log append /pmem "$seed" >/run/log && pf_log verify /pmem "$seed" >>/run/log; do
                round=$((round + 1))
                echo "PF-STATE: neighbour round=$round"
        done
        cat /run/log
        return 1
}
