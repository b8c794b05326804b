# Modules under random calls. See "Abuse" in CONTRIBUTING.md.
mh_unit_test(gdb_server_abuse
  unit/gdb_server_abuse_test.c
  support/abuse.c support/fake_target.c support/hostile_client.c)
target_link_options(gdb_server_abuse_test PRIVATE -Wl,--wrap=poll,--wrap=recv,--wrap=send,--wrap=accept4)
mh_abuse_test(unit_gdb_server_abuse)
mh_unit_test(file_abuse unit/file_abuse_test.c support/abuse.c support/file_model.c support/file_play.c
  support/temp_dir.c support/guest_files.c)
mh_abuse_test(unit_file_abuse)
