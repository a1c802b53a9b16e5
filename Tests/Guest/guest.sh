#!/bin/sh
# Boots Debian's kernel under QEMU, without KVM, with this machine's files as its own (read only), runs a script there as root, and powers off:
#   guest.sh CACHE SHARE
# CACHE    a folder that keeps the kernel from run to run; made when it is not there
# SHARE    a folder that the guest may write to, its /run/share. SHARE/script is what is run; SHARE/output gets what it prints, SHARE/status its exit code
# Exit code 0: booted and powered off; 69: something it needs is not here, the last line of standard error says what.
set -eu
cache=$1 share=$2
unavailable() { printf '%s\n' "$*" >&2; exit 69; }

[ "$(uname -m)" = x86_64 ] || unavailable 'The guest is made for x86-64 only.'
for need in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod dpkg-deb:dpkg apt-get:apt; do
    command -v "${need%:*}" > /dev/null || unavailable "The guest needs the Debian package ${need#*:}."
done
! ldd "$(command -v busybox)" > /dev/null 2>&1 || unavailable 'The guest needs the Debian package busybox-static.'

# The kernel, unpacked and not installed.
kernel=$cache/kernel
if [ ! -e "$cache/version" ]; then
    rm -rf "$cache" && mkdir -p "$kernel"
    newest() { apt-cache depends linux-image-amd64 2> /dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }
    [ -n "$(newest)" ] || apt-get update -qq || unavailable 'apt-get cannot say what kernels there are.'
    (cd "$cache" && apt-get download -qq "$(newest)") > "$cache/download" 2>&1 || unavailable "apt-get cannot download a kernel: $(tail -n 1 "$cache/download")"
    dpkg-deb -x "$cache"/linux-image-*.deb "$kernel"
    rm "$cache"/linux-image-*.deb
    version=$(basename "$kernel"/lib/modules/*)
    depmod -b "$kernel" "$version"
    printf '%s\n' "$version" > "$cache/version"
fi
version=$(cat "$cache/version")

# What must be there before the root file system is: busybox, and the modules for 9p.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/bin" "$work/root/modules" "$work/root/root" "$work/root/proc"
cp "$(command -v busybox)" "$work/root/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p; do
    modprobe -d "$kernel" -S "$version" --show-depends $module
done | awk '!seen[$2]++ { printf "%02d %s\n", NR, $2 }' | while read -r number file; do
    cp "$file" "$work/root/modules/$number.ko"
done

# Modules are found by those who run modprobe through MODPROBE_OPTIONS, and by the kernel, whose environment is its own, through a script.
cat > "$work/root/init" << INIT
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
for module in /modules/*.ko; do /bin/busybox insmod \$module; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro root /root
exec /bin/busybox switch_root /root /bin/sh -c '
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/temporary MODPROBE_OPTIONS="-d $kernel"
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev && mount -t tmpfs run /run
mkdir -p /run/share /run/temporary /dev/shm /dev/pts && mount -t tmpfs shm /dev/shm
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /run/share
printf "#!/bin/sh\nexec /sbin/modprobe -d $kernel \\"\\\$@\\"\n" > /run/modprobe && chmod +x /run/modprobe && echo /run/modprobe > /proc/sys/kernel/modprobe
ip link set lo up
sh /run/share/script > /run/share/output 2>&1 < /dev/null
echo \$? > /run/share/status
sync
echo o > /proc/sysrq-trigger
sleep 60'
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc 2> /dev/null | gzip -1) > "$work/initramfs"

# /dev/kvm may be there and not work: tcg always does. Newer processors have wider registers, which cost tcg more than they spare.
timeout 1500 qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -cpu Nehalem -m 2048 -nic none -nographic -no-reboot \
    -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initramfs" -append 'console=ttyS0 quiet panic=-1' \
    -virtfs local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$share,mount_tag=share,security_model=none" < /dev/null
