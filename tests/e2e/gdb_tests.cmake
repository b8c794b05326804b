# End-to-end tests with a real gdb, one file a behaviour.
foreach(behaviour breakpoints ends exit lost memory ports registers steps watchpoints)
  mh_e2e_test(gdb_${behaviour})
endforeach()
mh_e2e_test(gdbtest)
