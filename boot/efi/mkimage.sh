#!/bin/sh
# Writes a GPT disk image with one EFI system partition (UEFI 2.10, 5.3 and 13.3), without root or loop mounts.
# usage: mkimage.sh IMAGE FILE=PATH...   each FILE becomes /PATH of the partition
set -eu

image=$1
shift
start_mib=1 # of the partition
kib=34000   # FAT32 needs 65525 clusters of 512 bytes at least
for pair; do
        kib=$((kib + $(stat -L -c %s "${pair%=*}") / 1024 + 64))
done
mib=$(((kib + 1023) / 1024))

rm -f "$image"
truncate -s $((mib + start_mib + 1))M "$image"
sgdisk --new=1:${start_mib}M:+${mib}M --typecode=1:ef00 --change-name=1:Permafrost "$image" >/dev/null
# It warns that the file goes on behind the partition.
said=$(mkfs.vfat -F 32 -s 1 -n PERMAFROST --offset $((start_mib * 2048)) "$image" $((mib * 1024)) 2>&1) || {
        echo "$said" >&2
        exit 1
}

export MTOOLS_SKIP_CHECK=1
made=
for pair; do
        path=${pair##*=}
        folder=
        rest=$path
        while [ "$rest" != "${rest#*/}" ]; do
                folder=$folder/${rest%%/*}
                rest=${rest#*/}
                case " $made " in
                *" $folder "*) ;;
                *) mmd -i "$image@@${start_mib}M" "::$folder" && made="$made $folder" ;;
                esac
        done
        mcopy -i "$image@@${start_mib}M" "${pair%=*}" "::/$path"
done
