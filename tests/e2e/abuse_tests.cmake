# What guests, debuggers and people do to the program that nobody should. See "Abuse" in CONTRIBUTING.md.
mh_e2e_test(abuse_gdb_silence)
mh_abuse_test(e2e_abuse_gdb_silence)
mh_e2e_test(abuse_gdb_flood)
mh_abuse_test(e2e_abuse_gdb_flood)
mh_e2e_test(abuse_guests)
mh_abuse_test(e2e_abuse_guests)
