# SPDX-License-Identifier: MIT
# What zsh makes of a line by a tab: FOLDER LINE. An interactive zsh on a pseudo-terminal is asked; as completion ends
# it prints the line that it edits, between two marks.
zmodload zsh/zpty
folder=$1 line=$2
own=$(mktemp -d)
cp $folder/completion.zsh $own/_pinpin
zpty shell zsh -f -i
zpty -w shell "PS1= RPS1=; fpath=($own \$fpath); autoload -U compinit; compinit -D -u"
zpty -w shell "complete-and-tell() { zle expand-or-complete; print -r -- \"<<\$BUFFER>>\"; zle kill-whole-line }"
zpty -w shell "zle -N complete-and-tell; bindkey '^I' complete-and-tell; print rea''dy"
zpty -r -m shell said '*ready*'
zpty -w -n shell "$line"$'\t'
zpty -r -m shell said '*<<*>>*'
zpty -d shell
rm -r $own
print -r -- ${${said##*<<}%>>*}
