# mh_soft_test(name sources...): a unit test of the software processor.
function(mh_soft_test name)
  mh_unit_test(${name} ${ARGN} support/soft_machine.c)
  target_link_libraries(${name}_test PRIVATE mh_soft)
endfunction()

if(TARGET mh_soft)
  mh_unit_test(xsave unit/xsave_test.c)
  foreach(name soft_mem soft_points soft_io soft_run soft_state)
    mh_soft_test(${name} unit/${name}_test.c)
  endforeach()
endif()
