# The software processor against the host's, against binutils, and against itself. See docs/processor.md.
enable_language(ASM)
set(differential_dir ${CMAKE_CURRENT_LIST_DIR})
add_library(mh_differential STATIC
  ${differential_dir}/alias_guest.c ${differential_dir}/both.c ${differential_dir}/cases.c ${differential_dir}/chance.c ${differential_dir}/differences.c
  ${differential_dir}/encoding.c ${differential_dir}/known.c ${differential_dir}/kvm_guest.c
  ${differential_dir}/kvm_guest_code.S ${differential_dir}/kvm_known.c ${differential_dir}/kvm_side.c
  ${differential_dir}/loop_code.c ${differential_dir}/loop_guest.c ${differential_dir}/native.c ${differential_dir}/native_entry.S
  ${differential_dir}/probe_forms.c ${differential_dir}/skipped.c ${differential_dir}/soft_side.c support/abuse.c
  support/translate.c)
target_include_directories(mh_differential PUBLIC
  ${differential_dir} ${CMAKE_CURRENT_SOURCE_DIR}/support ${PROJECT_SOURCE_DIR}/core)
target_link_libraries(mh_differential PUBLIC mh_core cmocka)

# mh_differential_test(name): a program, run as the test differential_<name>; tools/dev/soak makes it last longer.
function(mh_differential_test name)
  add_executable(differential_${name} ${differential_dir}/${name}_test.c)
  target_link_libraries(differential_${name} PRIVATE mh_differential)
  add_test(NAME differential_${name} COMMAND differential_${name})
  set_tests_properties(differential_${name} PROPERTIES TIMEOUT 600 LABELS "differential;abuse" SKIP_RETURN_CODE 77)
endfunction()

# mh_translated_test(name): the same with generated code from the first execution of a block on.
function(mh_translated_test name)
  add_test(NAME differential_${name}_translated COMMAND differential_${name})
  set_tests_properties(differential_${name}_translated PROPERTIES
    TIMEOUT 600 LABELS "differential;abuse" SKIP_RETURN_CODE 77 ENVIRONMENT MH_TRANSLATE=1)
endfunction()

mh_differential_test(host)
mh_translated_test(host)
mh_differential_test(program)
mh_translated_test(program)
mh_differential_test(random_bytes)
mh_differential_test(interrupted)
mh_differential_test(decoder)
mh_differential_test(kvm)
