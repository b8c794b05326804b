# Completion for mini_hypervisor in bash. The options are those that --help of the program on the command line has.

# Fill value_of: what --help calls the value of each option, such as FILE... or [WHERE]; "" when it has none.
_mini_hypervisor_read_help()
{
    local line
    while IFS= read -r line; do
        if [[ $line =~ ^\ \ (\ \ \ \ |(-[a-zA-Z]),\ )(--[a-z-]+)(\ ([][A-Z.]+))? ]]; then
            value_of[${BASH_REMATCH[3]}]=${BASH_REMATCH[5]}
            [[ -z ${BASH_REMATCH[2]} ]] || value_of[${BASH_REMATCH[2]}]=${BASH_REMATCH[5]}
        elif [[ $line =~ ^\ \ (-[a-zA-Z]),\ (-[a-zA-Z])\  ]]; then
            value_of[${BASH_REMATCH[1]}]='' value_of[${BASH_REMATCH[2]}]=''
        fi
    done < <("$1" --help 2>/dev/null)
}

_mini_hypervisor_words()
{
    case $1 in
    --memory | -m) echo 2M 4M 8M ;;
    --page | -p) echo 4K 2M ;;
    --accel) echo auto kvm soft ;;
    --serial) echo stdio file: pty null ;;
    --label) echo auto always never ;;
    --gdb | --gdb-all) echo 1234 unix: stdio ;;
    --gdb-lost) echo stop continue kill ;;
    esac
}

# The option that the word at the cursor is a value of: the one before it, or one that takes any number of values.
_mini_hypervisor_option()
{
    local i=$((COMP_CWORD - 1))
    [[ ${COMP_WORDS[i]} != = ]] || ((i--)) # bash takes = for a word of its own
    local before=${COMP_WORDS[i]}
    while ((i > 0)) && [[ ${COMP_WORDS[i]} != -* ]]; do
        ((i--))
    done
    if [[ ${COMP_WORDS[i]} == "$before" || ${value_of[${COMP_WORDS[i]}]-} == *... ]]; then
        echo "${COMP_WORDS[i]}"
    fi
}

_mini_hypervisor()
{
    local word=$2 option value words
    local -A value_of=()
    COMPREPLY=()
    _mini_hypervisor_read_help "$1"
    [[ $word != = ]] || word=
    option=$(_mini_hypervisor_option)
    value=${value_of[${option:-none}]-}
    words=$(_mini_hypervisor_words "$option")
    if [[ $word == -* || -z $value ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${!value_of[*]}" -- "$word")
    elif [[ -n $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
        [[ ${COMPREPLY[*]-} != *: ]] || compopt -o nospace
    elif [[ $value == DIR ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
    elif [[ $value == FILE* ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -F _mini_hypervisor mini_hypervisor
