# Modules under random calls. See "Abuse" in CONTRIBUTING.md.
mh_unit_test(file_abuse unit/file_abuse_test.c support/abuse.c support/file_model.c support/file_play.c
  support/temp_dir.c support/guest_files.c)
mh_abuse_test(unit_file_abuse)
