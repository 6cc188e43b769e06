"""Print the completions for a shell: verbs, options, recipes, images, and what --set can set.

They ask orch itself what could come next, so they know each project's own recipes and options.
"""

from __future__ import annotations

import argparse

from orchestrator.cli.opening import add_place_arguments

EPILOG = """\
examples:
  source <(orch completions bash)          in ~/.bashrc
  source <(orch completions zsh)           in ~/.zshrc, after compinit
  orch completions fish | source           in ~/.config/fish/config.fish
"""

_BASH = r"""# Completions of orch for bash (4.4 or newer): source <(orch completions bash)
_orch() {
    local line="${COMP_LINE:0:COMP_POINT}" program="${COMP_WORDS[0]/#\~/$HOME}" breaks="" word kept=""
    mapfile -t COMPREPLY < <("$program" complete "$line" 2>/dev/null)
    COMPREPLY=("${COMPREPLY[@]%%$'\t'*}")
    # bash replaces only what follows the last = or : of a word, if these part words.
    if [[ $COMP_WORDBREAKS == *=* ]]; then breaks+="="; fi
    if [[ $COMP_WORDBREAKS == *:* ]]; then breaks+=":"; fi
    word="${line##*[[:space:]]}"
    if [[ -n $breaks ]]; then kept="${word%"${word##*["$breaks"]}"}"; fi
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]]; then compopt -o nospace; fi
}
complete -o default -F _orch orch
"""

_ZSH = r"""#compdef orch
# Completions of orch for zsh: source <(orch completions zsh), or a file _orch in a directory of $fpath
_orch() {
    local -a found whole open
    local each word text
    found=("${(@f)$("${(Q)words[1]/#\~/$HOME}" complete "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ! $#found )); then
        _files
        return
    fi
    for each in "${found[@]}"; do
        word="${${each%%$'\t'*}//:/\\:}"
        text=""
        if [[ $each == *$'\t'* ]]; then text=":${each#*$'\t'}"; fi
        if [[ $word == *[=.] ]]; then open+=("$word$text"); else whole+=("$word$text"); fi
    done
    if (( $#whole )); then _describe -t orch orch whole; fi
    if (( $#open )); then _describe -t orch orch open -S ''; fi
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then _orch "$@"; else compdef _orch orch; fi
"""

_FISH = r"""# Completions of orch for fish: orch completions fish | source
function __orch_complete
    set -l words (commandline -opc)
    set -l found ($words[1] complete (commandline -cp) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c orch -f -a '(__orch_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), metavar="SHELL", help="bash, zsh or fish")
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    script = SCRIPTS[arguments.shell]
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("completions", {"shell": arguments.shell, "script": script})
    else:
        print(script, end="")
    return 0
