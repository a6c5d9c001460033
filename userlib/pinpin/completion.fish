# SPDX-License-Identifier: MIT
# Completion for pinpin, which is asked itself what may stand there.

function __pinpin_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l option (string match -r -- '^--[^=]*=' $word)
    set -l value (string replace -r -- '^--[^=]*=' '' $word)
    set -l found ($before[1] __complete $before[2..-1] "$word" 2>/dev/null)
    switch "$found[1]"
        case :file
            printf "$option%s\n" (__fish_complete_path "$value")
        case :command
            complete -C "$value"
        case :user
            printf "$option%s\n" (__fish_complete_users)
        case '*'
            printf '%s\n' $found
    end
end

complete -c pinpin -f -a '(__pinpin_complete)'
