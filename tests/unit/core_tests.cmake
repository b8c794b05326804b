mh_unit_test(status unit/status_test.c)
mh_unit_test(memory unit/memory_test.c)
mh_unit_test(paging unit/paging_test.c)
mh_unit_test(boot_state unit/boot_state_test.c)
mh_unit_test(exceptions unit/exceptions_test.c)
mh_unit_test(inbound unit/inbound_test.c)
mh_unit_test(serial unit/serial_test.c)
mh_unit_test(loader unit/loader_test.c support/temp_dir.c)
mh_unit_test(shared_files unit/shared_files_test.c support/temp_dir.c)
mh_unit_test(own_directory unit/own_directory_test.c support/temp_dir.c)

mh_unit_test(file_store unit/file_store_test.c support/temp_dir.c support/guest_files.c support/wrapped_io.c)
target_link_options(file_store_test PRIVATE -Wl,--wrap=pread,--wrap=pwrite,--wrap=ftruncate,--wrap=copy_file_range)
mh_unit_test(file unit/file_test.c support/temp_dir.c support/guest_files.c)

# mh_kvm_test(name sources...): a unit test with a fake KVM in the place of the kernel's.
function(mh_kvm_test name)
  mh_unit_test(${name} ${ARGN} support/fake_kvm.c support/temp_dir.c)
  target_link_options(${name}_test PRIVATE -Wl,--wrap=open,--wrap=ioctl,--wrap=mmap,--wrap=munmap)
endfunction()

mh_kvm_test(kvm_sys unit/kvm_sys_test.c)
mh_kvm_test(host unit/host_test.c)
