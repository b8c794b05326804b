# Modules under random calls. See "Abuse" in CONTRIBUTING.md.
mh_unit_test(gdb_server_abuse
  unit/gdb_server_abuse_test.c
  support/abuse.c support/fake_target.c support/hostile_client.c)
target_link_options(gdb_server_abuse_test PRIVATE -Wl,--wrap=poll,--wrap=recv,--wrap=send,--wrap=accept4)
mh_abuse_test(unit_gdb_server_abuse)
