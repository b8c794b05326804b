# Unit tests of the GDB stub: NAME_test.c in this directory is the test unit_gdb_NAME. They need neither core nor the
# program: fake machines and a fake debugger stand in for them.
set(gdb_support ${CMAKE_CURRENT_LIST_DIR}/../../support)

# mh_gdbstub_test(name sources...): a cmocka program linked with the stub alone.
function(mh_gdbstub_test name)
  add_executable(gdb_${name}_test ${ARGN})
  target_include_directories(gdb_${name}_test PRIVATE ${gdb_support} ${PROJECT_SOURCE_DIR}/gdbstub)
  target_link_libraries(gdb_${name}_test PRIVATE mh_gdbstub cmocka)
  add_test(NAME unit_gdb_${name} COMMAND gdb_${name}_test)
  set_tests_properties(unit_gdb_${name} PROPERTIES TIMEOUT 60 LABELS unit)
  add_dependencies(gdbstub_tests gdb_${name}_test)
endfunction()

# Builds all of them: ninja gdbstub_tests && ctest -R '^unit_gdb_'
add_custom_target(gdbstub_tests)

foreach(name agent traceframes transport)
  mh_gdbstub_test(${name} ${CMAKE_CURRENT_LIST_DIR}/${name}_test.c)
endforeach()
foreach(name breakpoint_should_stop dispatch endpoint file hex memory monitor non_stop packet packets registers reply resume
    reverse server session trace tracepoints x86_desc)
  mh_gdbstub_test(${name}
    ${CMAKE_CURRENT_LIST_DIR}/${name}_test.c
    ${gdb_support}/fake_target.c
    ${gdb_support}/fake_debugger.c)
endforeach()
target_link_libraries(gdb_server_test PRIVATE Threads::Threads)

mh_gdbstub_test(stream
  ${CMAKE_CURRENT_LIST_DIR}/stream_test.c
  ${gdb_support}/abuse.c ${gdb_support}/fake_target.c ${gdb_support}/fake_debugger.c)
mh_abuse_test(unit_gdb_stream)

mh_gdbstub_test(server_abuse
  ${CMAKE_CURRENT_LIST_DIR}/server_abuse_test.c
  ${gdb_support}/abuse.c ${gdb_support}/fake_target.c ${gdb_support}/hostile_client.c)
target_link_options(gdb_server_abuse_test PRIVATE -Wl,--wrap=poll,--wrap=recv,--wrap=send,--wrap=accept4)
mh_abuse_test(unit_gdb_server_abuse)
