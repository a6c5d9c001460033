#compdef pinpin
# SPDX-License-Identifier: MIT
# Completion for pinpin, which is asked itself what may stand there.

local -a found
# Only what stands before the cursor, without its quotes.
found=("${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")

case ${found[1]} in
:file) compset -P '--*=' ; _files ;;
:command) _command_names -e ;;
:user) compset -P '--*=' ; _users ;;
?*) compadd -- "${found[@]}" ;;
esac
