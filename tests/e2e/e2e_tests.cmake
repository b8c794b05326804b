mh_e2e_test(command_line)
mh_e2e_test(samples)
