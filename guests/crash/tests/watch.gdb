# Who writes the first student's grade? gdb's answer has to be what watch.expected says.
set print address off
watch ada.grade
continue
backtrace 3
