# The modules of tools/python/mh_grade.
foreach(part parts reports suite)
  add_test(NAME unit_grade_${part} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/${part}_test.py)
  set_tests_properties(unit_grade_${part} PROPERTIES TIMEOUT 240 LABELS unit ENVIRONMENT "MH_SOURCE=${PROJECT_SOURCE_DIR}")
endforeach()
