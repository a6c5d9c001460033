# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion for pinpin, which is asked itself what may stand there.

_pinpin() {
	# Not COMP_WORDS: for bash, --kind=anon and 3:1 are several words.
	local line=${COMP_LINE:0:COMP_POINT} word before='' breaks=''
	local -a words
	read -ra words <<<"$line"
	[[ $line != *[[:space:]] ]] || words+=('')
	word=${words[-1]}
	mapfile -t COMPREPLY < <("${1/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)

	case ${COMPREPLY[0]-} in
	:file) COMPREPLY=() && compopt -o default ;;
	:command) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
	:user) mapfile -t COMPREPLY < <(compgen -u -- "${word#*=}") ;;
	*)
		# But it is only the last of these words that is replaced.
		[[ $COMP_WORDBREAKS != *=* ]] || breaks+='='
		[[ $COMP_WORDBREAKS != *:* ]] || breaks+=':'
		[[ ! $breaks ]] || before=${word%"${word##*["$breaks"]}"}
		COMPREPLY=("${COMPREPLY[@]#"$before"}")
		;;
	esac
}
complete -F _pinpin pinpin
