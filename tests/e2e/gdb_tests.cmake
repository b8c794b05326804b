# End-to-end tests with a real gdb, one file a behaviour.
foreach(behaviour all breakpoints catch conditions connect debuggers ends exchange fallbacks faults files interrupt maps memory mi
    moves nonstop rebuild registers rings restart reverse reverse_places snapshots steps tracepoints traps watchpoints)
  mh_e2e_test(gdb_${behaviour})
endforeach()
mh_e2e_once(editors)
mh_e2e_once(gdb_dap)
mh_e2e_once(gdb_extension)
mh_e2e_test(core_file)
mh_e2e_test(record)
mh_e2e_once(gdbtest)
