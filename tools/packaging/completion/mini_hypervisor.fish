# Completion for mini_hypervisor in fish. The options are those that --help of the program has.

function __mini_hypervisor_words
    switch $argv[1]
        case memory
            echo 2M 4M 8M
        case page
            echo 4K 2M
        case accel
            echo auto kvm soft
        case serial
            echo stdio file: pty null
        case label
            echo auto always never
        case gdb gdb-all
            echo 1234 unix: stdio
        case gdb-lost
            echo stop continue kill
    end
end

for line in (command mini_hypervisor --help 2>/dev/null)
    set -l text (string replace -r '^ +-\S+( [][A-Z.]+|, -\S+)*  +' '' -- $line)
    set -l letter (string match -rg '^  -([a-zA-Z]), ' -- $line)
    set -l name (string match -rg '^  (?:    |-[a-zA-Z], )--([a-z-]+)' -- $line)
    set -l value (string match -rg ' --[a-z-]+ ([][A-Z.]+)  ' -- $line)
    if test -z "$name"
        # two letters, each an option without a value
        set -l other (string match -rg '^  -[a-zA-Z], -([a-zA-Z]) ' -- $line)
        test -z "$other"; or complete -c mini_hypervisor -s $letter -s $other -d $text
        continue
    end
    set -l options -c mini_hypervisor -l $name -d $text
    test -z "$letter"; or set -a options -s $letter
    set -l words (__mini_hypervisor_words $name)
    if test -n "$words"
        # not -r: the value of --gdb is optional
        string match -q '\[*' -- $value; or set -a options -r
        complete $options -f -a "$words"
    else if test "$value" = DIR
        complete $options -r -f -a '(__fish_complete_directories)'
    else if test -n "$value"
        complete $options -r
    else
        complete $options
    end
end
