# The packet path under libFuzzer, which needs clang. The stub is compiled into it, for coverage of its own code:
#   gdb_packet_fuzz -max_total_time=60 NEW_INPUTS tests/fuzz/corpus/gdb_packet
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  file(GLOB gdbstub_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/gdbstub/*.c)
  add_executable(gdb_packet_fuzz EXCLUDE_FROM_ALL
    ${CMAKE_CURRENT_LIST_DIR}/gdb_packet_fuzz.c
    ${CMAKE_CURRENT_LIST_DIR}/../support/fake_target.c
    ${gdbstub_sources})
  target_include_directories(gdb_packet_fuzz PRIVATE
    ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include ${CMAKE_CURRENT_LIST_DIR}/../support)
  target_compile_options(gdb_packet_fuzz PRIVATE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
  target_link_options(gdb_packet_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
  target_link_libraries(gdb_packet_fuzz PRIVATE mh_base)
endif()
