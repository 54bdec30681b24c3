"""`completion`: scripts for bash, zsh and fish. They ask `wardian __complete` for what may stand at the cursor."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation

# Words are cut at blanks alone, as wardian sees them; bash itself cuts at `=` and `:` too (COMP_WORDBREAKS) and puts in
# only what follows the last of those.
_BASH = """\
# bash completion of wardian: source <(wardian completion bash)
_wardian() {
    local line=${COMP_LINE:0:COMP_POINT} words current head candidate directive
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]} - 1]}
    head=${current%"${current##*[=:]}"}
    COMPREPLY=()
    while IFS=$'\\t' read -r candidate _; do
        case $candidate in
        :*) directive=$candidate ;;
        *) [[ $candidate == "$current"* ]] && COMPREPLY+=("${candidate#"$head"}") ;;
        esac
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    case $directive in
    *nospace*) compopt -o nospace ;;
    esac
    case $directive in
    *files*)
        compopt -o filenames
        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${current##*[=:]}")
        ;;
    *directories*)
        compopt -o filenames
        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -d -- "${current##*[=:]}")
        ;;
    esac
}
complete -F _wardian wardian
"""
_ZSH = """\
#compdef wardian
# zsh completion of wardian: source <(wardian completion zsh), or as _wardian in a directory of $fpath
_wardian() {
    local -a lines described
    local line value directive
    lines=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        case $line in
        :*) directive=$line ;;
        ?*)
            value=${line%%$'\\t'*}
            described+=("${value//:/\\\\:}:${line#*$'\\t'}")
            ;;
        esac
    done
    case $directive in
    *nospace*) (( ${#described} )) && _describe -t values value described -S '' ;;
    *) (( ${#described} )) && _describe -t values value described ;;
    esac
    case $directive in
    *files*) _files ;;
    *directories*) _files -/ ;;
    esac
}
if [ "${funcstack[1]}" = "_wardian" ]; then _wardian "$@"; else compdef _wardian wardian; fi
"""
_FISH = """\
# fish completion of wardian: wardian completion fish | source
function __wardian_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l directive
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':*'
                set directive $line
            case '*'
                echo $line
        end
    end
    switch "$directive"
        case '*files*'
            __fish_complete_path "$current"
        case '*directories*'
            __fish_complete_directories "$current"
    end
end
complete -c wardian -f -a '(__wardian_complete)'
"""
SHELLS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}


def completion(invocation: Invocation) -> int:
    shell = invocation.args[0]
    if shell not in SHELLS:
        raise Failure(f"no completion for {shell}: {', '.join(SHELLS)} are what there is")
    sys.stdout.write(SHELLS[shell])
    return 0


COMPLETION = Command(completion, "bash|zsh|fish", least=1, most=1)
