#!/bin/busybox sh
# The first process of the guest. The kernel's command line says where, on the host, the
# modules are (lb.modules) and what to run (lb.job). The host's files are there to be read;
# what is written stays in the guest's memory, and is gone with it. What the job says goes to
# the second serial port, and last how it ended.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for word in $(cat /proc/cmdline); do
    case $word in
        lb.modules=*) modules=${word#lb.modules=} ;;
        lb.job=*) job=${word#lb.job=} ;;
    esac
done

fail() {
    echo "the guest cannot $1" > /dev/ttyS1
    echo "exit 1" > /dev/ttyS1
    echo o > /proc/sysrq-trigger
    sleep 60
}

while read -r module; do
    insmod "/modules/$module" || fail "load $module"
done < /modules/order
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=524288 host /lo ||
    fail "see the host's files"
mount -t tmpfs -o mode=755,size=60% memory /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/lo,upperdir=/rw/upper,workdir=/rw/work new /new ||
    fail "lay its own files over the host's"
release=$(uname -r)
mkdir -p "/new/lib/modules/$release" /new/sys/fs/bpf /dev/pts /dev/shm
mount --bind "/new$modules" "/new/lib/modules/$release"
mount -t tmpfs run /new/run
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t bpf bpf /sys/fs/bpf
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
ip link set lo up
stty -F /dev/ttyS1 raw
for directory in proc sys dev; do
    mount --move /$directory /new/$directory
done
exec switch_root /new /bin/sh -c "
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=dumb
    sh '$job' < /dev/null > /dev/ttyS1 2>&1
    echo \"exit \$?\" > /dev/ttyS1
    echo o > /proc/sysrq-trigger
    sleep 60"
