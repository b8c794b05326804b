/* The page of a report, as the program carries it: see run_report.c. */
    .section .rodata

    .globl report_page_begin, report_page_begin_end, report_page_rest, report_page_rest_end
    .type report_page_begin, @object
    .type report_page_rest, @object

report_page_begin:
    .incbin "head.html"
    .incbin "style.css"
    .incbin "body.html"
report_page_begin_end:
    .size report_page_begin, . - report_page_begin

report_page_rest:
    .incbin "middle.html"
    .incbin "model.js"
    .incbin "tables.js"
    .incbin "memory.js"
    .incbin "timeline.js"
    .incbin "text.js"
    .incbin "page.js"
    .incbin "end.html"
report_page_rest_end:
    .size report_page_rest, . - report_page_rest

    .section .note.GNU-stack, "", @progbits
