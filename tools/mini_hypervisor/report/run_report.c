#include "report/run_report.h"

#include "console/output.h"
#include "pages.h"
#include "report/facts.h"

#include <unistd.h>

struct run_report {
    int fd;
    const atomic_bool *ending; /* see output_write() */
    struct stats stats;
    struct writer writer;
    struct report_timeline timeline;
    struct serial_text in, out;
};

/* template.S: the page before the facts, and behind them. */
extern const char report_page_begin[], report_page_begin_end[], report_page_rest[], report_page_rest_end[];

enum mh_status run_report_open(struct run_report **report, const char *path, const atomic_bool *ending,
                               struct mh_error *err)
{
    const char *why = NULL;
    *report = NULL;
    const int fd = output_open(path, &why);
    if (fd < 0)
        return mh_fail(err, MH_ERR_IO, "--report %s: cannot open it: %s", path, why);
    struct run_report *made = pages_alloc(sizeof *made);
    if (made == NULL) {
        close(fd);
        return mh_fail(err, MH_ERR_HOST, "--report %s: not enough memory", path);
    }
    made->fd = fd;
    made->ending = ending;
    *report = made;
    return MH_OK;
}

void run_report_close(struct run_report *report)
{
    if (report == NULL)
        return;
    close(report->fd);
    pages_free(report, sizeof *report);
}

void run_report_event(struct run_report *report, uint64_t now, const struct mh_event *event)
{
    stats_event(&report->stats, now, event);
    report_timeline_event(&report->timeline, now, event);
    if (event->kind == MH_EVENT_PORT && event->port == MH_PORT_SERIAL && event->width == 1)
        serial_text_add(event->is_in ? &report->in : &report->out, event->data, event->count);
}

int run_report_write(struct run_report *report, const struct mh_vm_config *config, struct mh_vm *vm,
                     const struct mh_stop *stop)
{
    struct writer *writer = &report->writer;
    const struct facts facts = {.config = config,
                                .stats = &report->stats,
                                .timeline = &report->timeline,
                                .in = &report->in,
                                .out = &report->out};
    writer_begin(writer, report->fd, report->ending);
    writer_put(writer, report_page_begin, (size_t)(report_page_begin_end - report_page_begin));
    facts_write(writer, &facts, vm, stop);
    writer_put(writer, report_page_rest, (size_t)(report_page_rest_end - report_page_rest));
    return writer_end(writer);
}
