mh_unit_test(options unit/options_test.c)
mh_unit_test(output unit/output_test.c)
mh_unit_test(console unit/console_test.c support/collector.c)
