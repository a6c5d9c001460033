#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: PROBES.c SYMVERS OUTPUT.h COMPILER [FLAG...]
# Writes OUTPUT.h: "#define LONGPIN_HAVE_X 1" for each PROBE_X of PROBES.c that compiles, and for
# what the kernel exports by its list SYMVERS, Module.symvers.
set -eu

probes=$1
symvers=$2
output=$3
shift 3

compiles() {
	probe=$1
	shift
	"$@" -Werror=implicit-function-declaration -Werror=int-conversion \
		-Werror=incompatible-pointer-types -DKBUILD_MODNAME='"probe"' \
		-D"PROBE_$probe" -c -o /dev/null "$probes"
}

# A probe that fails for a reason of its own (a flag, a missing header) would be
# taken for a "no": so the first one must compile.
if ! compiles SANITY "$@"; then
	echo "$0: can't compile against this kernel's headers (the compiler's words are above)" >&2
	exit 1
fi

partial=$output.tmp
echo "/* What this kernel's headers offer. */" > "$partial"
sed -n 's/.*defined(PROBE_\([A-Z_]*\)).*/\1/p' "$probes" | while read -r probe; do
	if [ "$probe" = SANITY ]; then
		continue
	fi
	if compiles "$probe" "$@" 2> /dev/null; then
		echo "#define LONGPIN_HAVE_$probe 1" >> "$partial"
	else
		echo "/* no LONGPIN_HAVE_$probe */" >> "$partial"
	fi
done
# A module can only call what is exported; without a list, nothing is.
if cut -f 2 "$symvers" 2> /dev/null | grep -qx free_uid; then
	echo "#define LONGPIN_HAVE_FREE_UID 1" >> "$partial"
else
	echo "/* no LONGPIN_HAVE_FREE_UID */" >> "$partial"
fi
mv "$partial" "$output"
