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
    if set -l parts (string match -rg '^  (-[a-zA-Z]), (-[a-zA-Z])  +(.*)' -- $line)
        complete -c mini_hypervisor -s (string sub -s 2 -- $parts[1]) -d $parts[3]
        complete -c mini_hypervisor -s (string sub -s 2 -- $parts[2]) -d $parts[3]
    else if set -l parts (string match -rg '^  (?:    |-([a-zA-Z]), )--([a-z-]+) ?([][A-Z.]*)  +(.*)' -- $line)
        set -l options -c mini_hypervisor -l $parts[2] -d $parts[4]
        test -z "$parts[1]"; or set -a options -s $parts[1]
        set -l words (__mini_hypervisor_words $parts[2])
        if test -n "$words"
            # not required: [WHERE] is optional
            complete $options -f -a $words
        else if string match -q '*DIR*' -- $parts[3]
            complete $options -r -f -a '(__fish_complete_directories)'
        else if test -n "$parts[3]"
            complete $options -r
        else
            complete $options
        end
    end
end
