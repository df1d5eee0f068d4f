"""Shell completion: a script for bash, zsh or fish that knows the commands, their options and the values of these.

The script holds all names, so that a Tab starts no Python; the run folders are looked up when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from talewright.cli.arguments import Argument, arguments_of
from talewright.cli.commands import COMMANDS, TOP_LEVEL, function_of, second_words
from talewright.config import recipe_names
from talewright.config.loading import setting_names
from talewright.errors import UserError

FILES, RUNS, ANY = "FILES", "RUNS", "ANY"
"""In place of words: names of files; run folders; a number or a text, which nothing completes."""
RUN_OPTIONS = ("run", "runs", "resume", "init_from", "against")
WORDS = {
    "checkpoint": ("best", "last"),
    "device": ("cpu", "cuda", "mps"),
    "ladder": ("story", "storyx"),
    "data": ("bundled", FILES),
}
"""Values of arguments that are no choices of their type."""
PATHS = ("valid", "test", "out", "prompts", "file", "folder", "folders", "source", "runtime", "tokenizer")
"""Arguments that name files or folders."""

BASH = """# Completion of talewright. ~/.bashrc takes it with: eval "$(talewright --completion bash)"
# and ~/.zshrc with: eval "$(talewright --completion zsh)"
_talewright_words() {
    case "$1" in
@CASES@
    esac
}

_talewright_runs() {
    local recipe
    for recipe in runs/*/recipe.yaml sweeps/*/*/recipe.yaml "$1"*/recipe.yaml; do
        [ -e "$recipe" ] && printf '%s\\n' "${recipe%/recipe.yaml}"
    done | sort -u
}

_talewright() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="" at=1 word words
    [ "$previous" = "=" ] && previous="${COMP_WORDS[COMP_CWORD-2]}"  # bash takes --option=value for three words
    COMPREPLY=()
    while [ "$at" -lt "$COMP_CWORD" ]; do
        word="${COMP_WORDS[at]}"
        case " $(_talewright_words "$command") " in
            *" $word "*) command="${command:+$command }$word"; at=$((at + 1)) ;;
            *) break ;;
        esac
    done
    words="$(_talewright_words "$command $previous")"
    if [ "$at" -eq "$COMP_CWORD" ] || [ -z "$words" ]; then
        case "$current" in
            --*.*) words="$(_talewright_words settings)" ;;
            -*) words="$(_talewright_words "$command --")" ;;
            *)
                words="$(_talewright_words "$command ARGUMENT")"
                [ "$at" -eq "$COMP_CWORD" ] && words="$(_talewright_words "$command") $words"
                ;;
        esac
    fi
    for word in $words; do
        case "$word" in
            FILES | ANY) ;;
            RUNS)
                while IFS= read -r word; do
                    case "$word" in "$current"*) COMPREPLY+=("$(printf '%q' "$word")") ;; esac
                done < <(_talewright_runs "$current")
                ;;
            "$current"*) COMPREPLY+=("$word") ;;
        esac
    done
}
"""
BASH_END = "complete -o default -F _talewright talewright\n"
# zsh runs the script for bash
ZSH_START = (
    "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\nautoload -Uz bashcompinit && bashcompinit\n"
)

FISH = """# Completion of talewright: talewright --completion fish > ~/.config/fish/completions/talewright.fish
function __talewright_words
    switch "$argv[1]"
@CASES@
    end
end

function __talewright_runs
    for recipe in runs/*/recipe.yaml sweeps/*/*/recipe.yaml
        string replace -- /recipe.yaml "" $recipe
    end
end

function __talewright
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l command ""
    set -l at 2
    while test $at -le (count $typed); and contains -- $typed[$at] (string split " " -- (__talewright_words "$command"))
        set command (string trim -- "$command $typed[$at]")
        set at (math $at + 1)
    end
    set -l first (test $at -gt (count $typed); and echo yes)
    set -l words (__talewright_words "$command $typed[-1]")
    if test -n "$first"; or test -z "$words"
        if string match -q -- "--*.*" $current
            set words (__talewright_words settings)
        else if string match -q -- "-*" $current
            set words (__talewright_words "$command --")
        else
            set words (__talewright_words "$command ARGUMENT")
            test -n "$first"; and set words (__talewright_words "$command") $words
        end
    end
    for word in (string split -n " " -- $words)
        switch $word
            case FILES
                __fish_complete_path "$current"
            case ANY
            case RUNS
                __talewright_runs | string match -- "$current*"
                or __fish_complete_directories "$current" ""
            case "*"
                echo $word
        end
    end
end

complete -c talewright -f -a "(__talewright)"
"""


def completion_script(shell: str) -> str:
    """The script that makes a shell complete the commands. Raises UserError for a shell without one."""
    if shell not in ("bash", "zsh", "fish"):
        raise UserError(f"no completion for {shell or 'no shell'}; --completion bash, zsh or fish prints a script")
    places: dict[str, list[str]] = {}
    for place, text in completions().items():
        places.setdefault(text, []).append(f'"{place}"')
    if shell == "fish":
        cases = [f"        case {' '.join(same)}\n            echo '{text}'" for text, same in places.items()]
        return FISH.replace("@CASES@", "\n".join(cases))
    cases = [f"        {' | '.join(same)}) echo '{text}' ;;" for text, same in places.items()]
    script = BASH.replace("@CASES@", "\n".join(cases)) + BASH_END
    return ZSH_START + script if shell == "zsh" else script


def completions() -> dict[str, str]:
    """What may stand at each place of a command line, as words with spaces between them.

    After a command ("" for none), "COMMAND" has its second words, "COMMAND --" its options, "COMMAND ARGUMENT" what its
    arguments may be, "COMMAND --OPTION" the values of an option; "settings" has the options for settings of recipes.
    """
    words = {"": " ".join(TOP_LEVEL), " --": "--help --version --completion", " --completion": "bash zsh fish"}
    words["settings"] = " ".join(f"--{name.replace('_', '-')}" for name in setting_names() if "." in name)
    for name, command in COMMANDS.items():
        if following := second_words(name):
            words[name] = " ".join(following)
        if command.alone:
            words |= _completions_of(name, function_of(name))
        else:
            words[f"{name} --"] = "--help"
    return words


def _completions_of(name: str, function: Callable[..., Any]) -> dict[str, str]:
    arguments = list(arguments_of(function))
    options = [each for each in arguments if not each.positional]
    words = {f"{name} --": " ".join([*(each.option for each in options), "--help"])}
    if places := [each for each in arguments if each.positional]:
        words[f"{name} ARGUMENT"] = _values(places[0])
    return words | {f"{name} {each.option}": _values(each) for each in options if each.takes_value}


def _values(argument: Argument) -> str:
    """The words that an argument may be."""
    if argument.name in RUN_OPTIONS:
        return RUNS
    if argument.name in ("recipe", "name"):
        return f"{' '.join(recipe_names())} {FILES}"
    if argument.name == "to":
        from talewright.export import TARGETS

        return " ".join(TARGETS)
    others = (FILES,) if argument.name in PATHS else (ANY,)
    return " ".join(argument.choices or WORDS.get(argument.name, others))
