# Unit tests of the protocol room: tests/unit/gdb_NAME_test.c, with the fake machines and the fake debugger.
set(gdb_support ${CMAKE_CURRENT_LIST_DIR}/../support)
mh_unit_test(gdb_traceframes ${CMAKE_CURRENT_LIST_DIR}/gdb_traceframes_test.c)
mh_unit_test(gdb_agent ${CMAKE_CURRENT_LIST_DIR}/gdb_agent_test.c)
foreach(name commands dispatch endpoint file hex hits memory monitor packet regs reply run server session trace
    tracepoints x86_desc)
  mh_unit_test(gdb_${name}
    ${CMAKE_CURRENT_LIST_DIR}/gdb_${name}_test.c
    ${gdb_support}/fake_target.c
    ${gdb_support}/fake_debugger.c)
endforeach()
target_link_libraries(gdb_server_test PRIVATE Threads::Threads)
