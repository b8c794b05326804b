# What guests, debuggers and people do to the program that nobody should. See "Abuse" in CONTRIBUTING.md.
mh_e2e_test(abuse_gdb_silence)
mh_abuse_test(e2e_abuse_gdb_silence)
mh_e2e_test(abuse_gdb_flood)
mh_abuse_test(e2e_abuse_gdb_flood)
mh_e2e_test(abuse_guests)
mh_abuse_test(e2e_abuse_guests)

# a library that is loaded into the program and makes calls fail; a sanitizer brings its own allocator
add_library(fail_nth MODULE ${CMAKE_CURRENT_LIST_DIR}/../support/fail_nth.c)
target_compile_options(fail_nth PRIVATE -fno-sanitize=all)
if(NOT MH_SANITIZE)
  target_compile_definitions(fail_nth PRIVATE FAIL_MEMORY)
endif()

mh_e2e_test(abuse_refusals)
mh_abuse_test(e2e_abuse_refusals)
mh_e2e_test(abuse_gdb_fifty)
mh_abuse_test(e2e_abuse_gdb_fifty)
mh_e2e_test(abuse_gdb_random)
mh_abuse_test(e2e_abuse_gdb_random)
mh_e2e_test(abuse_kill)
mh_abuse_test(e2e_abuse_kill)

set(abuse_support ${CMAKE_CURRENT_LIST_DIR}/../support)
add_executable(abuse_many_lives_test ${CMAKE_CURRENT_LIST_DIR}/abuse_many_lives_test.c ${abuse_support}/abuse.c
  ${abuse_support}/temp_dir.c)
target_include_directories(abuse_many_lives_test PRIVATE ${abuse_support})
target_link_libraries(abuse_many_lives_test PRIVATE mh_core cmocka)
add_test(NAME e2e_abuse_many_lives COMMAND abuse_many_lives_test)
set_tests_properties(e2e_abuse_many_lives PROPERTIES SKIP_RETURN_CODE 77 LABELS e2e)
mh_abuse_test(e2e_abuse_many_lives)
mh_e2e_test(abuse_signals)
mh_abuse_test(e2e_abuse_signals)
