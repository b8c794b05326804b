# Where does it crash, and who called? Passes when no command fails.
continue
backtrace
print ada.grade
frame function hold_exam
