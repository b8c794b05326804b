# The reader of recordings under libFuzzer, which needs clang:
#   recording_fuzz -max_total_time=60 NEW_INPUTS tests/fuzz/corpus/recording
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  add_executable(recording_fuzz EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/recording_fuzz.c)
  target_include_directories(recording_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/core)
  target_compile_options(recording_fuzz PRIVATE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
  target_link_options(recording_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
  target_link_libraries(recording_fuzz PRIVATE mh_core)
endif()
