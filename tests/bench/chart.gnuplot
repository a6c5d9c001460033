# SPDX-License-Identifier: MIT
# gnuplot -e "data='FILE'; output_file='FILE.svg'; kernel='...'": draw what "longpin-pin-report data" printed.

set terminal svg noenhanced size 1300,800 background rgb "white" font "sans-serif,13"
set output output_file
set datafile separator tab
set datafile missing "?"

set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.85 noborder
set boxwidth 0.9
set logscale y
# Below a hundredth of an instruction a page is nothing.
set yrange [0.01:10000]
set grid ytics lc rgb "#dddddd"
set xrange [-0.6:6.6]
set xtics nomirror scale 0 font ",11"
set ytics nomirror
set border 3
set key outside top center horizontal

array colour[6] = ["#c0392b", "#333333", "#2980b9", "#8e44ad", "#e67e22", "#7fb77e"]

set multiplot layout 2,1 title "Instructions per 4 KiB page, 1 GiB at a time, Linux ".kernel
do for [block=0:1] {
	set ylabel (block == 0 ? "pin" : "unpin")
	plot for [column=2:7] data index block using (column(column) > 0.01 ? column(column) : 0.01):xtic(1) \
		lc rgb colour[column - 1] title columnheader(column)
}
unset multiplot
