# The stub under libFuzzer, which needs clang. It is compiled into the targets, for coverage of its own code:
#   gdb_packet_fuzz -max_total_time=60 NEW_INPUTS tests/fuzz/corpus/gdb_packet
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  file(GLOB_RECURSE gdbstub_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/gdbstub/*.c)
  foreach(name agent packet server)
    add_executable(gdb_${name}_fuzz EXCLUDE_FROM_ALL
      ${CMAKE_CURRENT_LIST_DIR}/gdb_${name}_fuzz.c
      ${CMAKE_CURRENT_LIST_DIR}/../support/fake_target.c
      ${gdbstub_sources})
    target_include_directories(gdb_${name}_fuzz PRIVATE
      ${PROJECT_SOURCE_DIR}/gdbstub ${PROJECT_SOURCE_DIR}/include ${CMAKE_CURRENT_LIST_DIR}/../support)
    target_compile_options(gdb_${name}_fuzz PRIVATE
      -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
    target_link_options(gdb_${name}_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_libraries(gdb_${name}_fuzz PRIVATE mh_base)
  endforeach()
  target_sources(gdb_server_fuzz PRIVATE ${CMAKE_CURRENT_LIST_DIR}/../support/hostile_client.c)
  target_link_options(gdb_server_fuzz PRIVATE -Wl,--wrap=poll,--wrap=recv,--wrap=send,--wrap=accept4)
endif()
