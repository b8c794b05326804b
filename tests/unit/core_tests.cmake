# Unit tests of base and core: tests/unit/DIRECTORY/NAME_test.c is the test unit_NAME. They link nothing above core.
# mh_core_test(directory name sources...)
function(mh_core_test directory name)
  add_executable(${name}_test ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${directory}/${name}_test.c ${ARGN})
  target_include_directories(${name}_test PRIVATE
    ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../support ${PROJECT_SOURCE_DIR}/core)
  target_link_libraries(${name}_test PRIVATE mh_core cmocka)
  add_test(NAME unit_${name} COMMAND ${name}_test)
  set_tests_properties(unit_${name} PROPERTIES TIMEOUT 240 LABELS unit)
endfunction()

set(support ${CMAKE_CURRENT_LIST_DIR}/../support)

mh_core_test(base crc32)
mh_core_test(base status)
mh_core_test(base atomic_file ${support}/temp_dir.c)

mh_core_test(x86 paging)
mh_core_test(x86 page_tables)
mh_core_test(x86 boot_state)
mh_core_test(x86 exceptions)
mh_core_test(x86 cpuid)
mh_core_test(x86 xsave)
mh_core_test(x86 cpu_state)

foreach(name count decode exec fault io mem points profile run simd slices state system x87)
  mh_core_test(soft soft_${name} ${support}/soft_machine.c ${support}/translate.c)
  add_test(NAME unit_soft_${name}_translated COMMAND soft_${name}_test) # the same with generated code
  set_tests_properties(unit_soft_${name}_translated PROPERTIES
    TIMEOUT 60 LABELS unit ENVIRONMENT MH_TRANSLATE=1)
endforeach()
mh_core_test(soft soft_jit ${support}/soft_machine.c ${support}/translate.c)

mh_core_test(devices input_log)
mh_core_test(devices exchange)
mh_core_test(devices serial)
mh_core_test(devices shared_files ${support}/temp_dir.c)
mh_core_test(devices own_directory ${support}/temp_dir.c)
foreach(name file_store file_store_dir file_store_io file_store_host)
  mh_core_test(devices ${name} ${support}/stores.c ${support}/temp_dir.c ${support}/guest_files.c ${support}/wrapped_io.c)
  target_link_options(${name}_test PRIVATE
    -Wl,--wrap=pread,--wrap=pwrite,--wrap=ftruncate,--wrap=copy_file_range)
endforeach()
mh_core_test(devices file_snapshot ${support}/temp_dir.c ${support}/guest_files.c)
foreach(name file file_call)
  mh_core_test(devices ${name} ${support}/ports.c ${support}/temp_dir.c ${support}/guest_files.c)
endforeach()
mh_core_test(devices file_abuse ${support}/abuse.c ${support}/file_model.c ${support}/file_play.c ${support}/temp_dir.c
  ${support}/guest_files.c)
mh_abuse_test(unit_file_abuse)

mh_core_test(machine ram)
mh_core_test(machine ram_snapshot)
mh_core_test(machine image ${support}/temp_dir.c)

mh_core_test(debug catchpoints)

# mh_fake_test(directory name sources...): machines run on the fake processor.
function(mh_fake_test directory name)
  mh_core_test(${directory} ${name} ${ARGN}
    ${support}/fake_cpu.c ${support}/fake_machine.c ${support}/temp_dir.c ${support}/guest_files.c)
  target_link_options(${name}_test PRIVATE -Wl,--wrap=soft_cpu_create)
endfunction()

mh_core_test(machine soft_machine)
mh_core_test(machine memory_view)
foreach(name events guest_mem ports report run_loop snapshot vm)
  mh_fake_test(machine ${name})
endforeach()
mh_core_test(debug breakpoints)
foreach(name core_file debug_group debug_target monitor proc_files resume)
  mh_fake_test(debug ${name})
endforeach()
mh_core_test(accel auto_cpu ${support}/fake_cpu.c)
target_link_options(auto_cpu_test PRIVATE -Wl,--wrap=soft_cpu_create)

foreach(name locate recording timeline)
  mh_core_test(replay ${name} ${support}/past_machine.c ${support}/uncounted_cpu.c ${support}/guest_files.c ${support}/temp_dir.c)
endforeach()
mh_core_test(replay port_log)

# mh_kvm_test(directory name sources...): a fake KVM in the place of the kernel's.
function(mh_kvm_test directory name)
  mh_core_test(${directory} ${name} ${ARGN} ${support}/fake_kvm.c ${support}/temp_dir.c)
  target_link_options(${name}_test PRIVATE -Wl,--wrap=open,--wrap=ioctl,--wrap=mmap,--wrap=munmap)
endfunction()

foreach(name kvm_cpu kvm_debug kvm_host kvm_memslots kvm_probe kvm_state kvm_sys)
  mh_kvm_test(kvm ${name})
endforeach()
mh_core_test(kvm kvm_regs)
mh_kvm_test(accel host ${support}/fake_cpu.c)
target_link_options(host_test PRIVATE -Wl,--wrap=soft_cpu_create)
