# SPDX-License-Identifier: MIT
# Print a page of docs/ with what its commands printed: awk -v page=NAME -f fill.awk OUTPUT PAGE. A block ```text has the
# output of the block ```sh before it; where there is none, the commands are to print nothing.
FNR == NR {
	if ($1 == "@@") { key = $2 == page ? $3 : 0; next }
	sub(/\r$/, "")
	if (key) output[key] = output[key] $0 "\n"
	next
}
/^```sh$/ { number++ }
/^```text$/ { print; printf "%s", output[number]; delete output[number]; skip = 1; next }
/^```$/ { skip = 0 }
!skip
END {
	for (number in output) if (output[number]) {
		printf "%s: block %s shows nothing of what it prints:\n%s", page, number, output[number] >"/dev/stderr"
		exit 1
	}
}
