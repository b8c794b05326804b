# mh_soft_test(name): unit/<name>_test.c, a unit test of the software processor.
function(mh_soft_test name)
  mh_unit_test(${name} unit/${name}_test.c support/soft_machine.c)
  target_link_libraries(${name}_test PRIVATE mh_soft)
endfunction()

mh_unit_test(xsave unit/xsave_test.c)
foreach(name cpuid soft_decode soft_exec soft_fault soft_mem soft_points soft_io soft_run soft_simd soft_slices soft_state soft_system soft_x87)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/unit/${name}_test.c)
    mh_soft_test(${name})
  endif()
endforeach()
