/* SPDX-License-Identifier: Apache-2.0
 *
 * columns_doc: prints docs/reference/event.md from the tables of columns; with a file name it compares
 * instead and fails when they differ.
 */
#include "base/buf.h"
#include "event/event.h"

#include <stdio.h>
#include <stdlib.h>

enum { DOC_BYTES = 256 * 1024 };

static const char *type_text(enum column_type type)
{
    static const char *texts[] = {
        [TYPE_U8] = "8-bit number",
        [TYPE_U16] = "16-bit number",
        [TYPE_U32] = "32-bit number",
        [TYPE_U64] = "64-bit number",
        [TYPE_BOOL] = "true or false",
        [TYPE_TS] = "time, microseconds, UTC",
        [TYPE_TEXT] = "text",
        [TYPE_IP] = "IPv4 or IPv6 address",
        [TYPE_ID128] = "128-bit identity",
        [TYPE_DIRECTION] = "direction",
        [TYPE_STAGE] = "stage",
        [TYPE_NETWORK] = "network",
    };
    return texts[type];
}

static int print_columns(struct buf *doc)
{
    int rc = buf_add_slice(
        doc, SLICE("# The columns of an event\n\n"
                   "One event is one policy request. This page is made from `src/event/columns.def`.\n"
                   "Source `postfix` is the attribute of the same name, as Postfix sent it; `derived` is\n"
                   "computed on the way; `session` comes from the authenticated session and the record's\n"
                   "identity. A column that may be absent is absent when Postfix sent nothing, an empty\n"
                   "value or 0.\n\n"
                   "| column | type | may be absent | source | what it is |\n"
                   "|---|---|---|---|---|\n"));
    for (size_t i = 0; rc == 0 && i < COLUMN_COUNT; i++) {
        const struct column_info *c = &event_columns[i];
        rc = buf_addf(doc, "| `%s` | %s | %s | %s | %s |\n", c->name, type_text(c->type),
                      c->nullable ? "yes" : "no", c->source, c->doc);
    }
    return rc;
}

static int print_derived(struct buf *doc)
{
    int rc = buf_add_slice(
        doc, SLICE("\n## Derived columns\n\n"
                   "Not stored and in no list of events: questions make them of a column when they group or\n"
                   "filter by them (`src/event/derived.def`). Times follow the question's `timezone`.\n\n"
                   "| column | type | may be absent | made of | what it is |\n"
                   "|---|---|---|---|---|\n"));
    for (size_t i = COLUMN_COUNT + 1; rc == 0 && i < COLUMN_END; i++) {
        const struct column_info *c = &event_columns[i];
        rc = buf_addf(doc, "| `%s` | %s | %s | `%s` | %s |\n", c->name, type_text(c->type),
                      c->nullable ? "yes" : "no", c->source, c->doc);
    }
    return rc;
}

static int print_names(struct buf *doc)
{
    int rc = buf_add_slice(doc, SLICE("\n## Stages\n\n"));
    for (enum stage stage = 0; rc == 0 && stage < STAGE_COUNT; stage++)
        rc =
            buf_addf(doc, "- `%s`%s\n", event_stage_name(stage),
                     stage == STAGE_OTHER ? ": a protocol_state not known here; its text is in `extra`" : "");
    if (rc == 0)
        rc = buf_add_slice(
            doc, SLICE("\n## Directions\n\nAbsent where a message's recipients differ, else one of:\n\n"));
    for (enum direction direction = DIRECTION_IN; rc == 0 && direction < DIRECTION_COUNT; direction++)
        rc = buf_addf(doc, "- `%s`\n", event_direction_name(direction));
    return rc;
}

static int compare(const char *path, struct slice want)
{
    static char have[DOC_BYTES];
    FILE *file = fopen(path, "rb");
    size_t n = file != NULL ? fread(have, 1, sizeof have, file) : 0;
    if (file != NULL)
        (void)fclose(file);
    if (slice_equal((struct slice){have, n}, want))
        return EXIT_SUCCESS;
    fprintf(stderr, "%s differs from columns.def: write it again with columns_doc >%s\n", path, path);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct buf doc;
    buf_init(&doc, DOC_BYTES);
    if (print_columns(&doc) != 0 || print_derived(&doc) != 0 || print_names(&doc) != 0)
        return EXIT_FAILURE;
    int status = EXIT_SUCCESS;
    if (argc > 1)
        status = compare(argv[1], buf_slice(&doc));
    else if (fwrite(doc.p, 1, doc.n, stdout) != doc.n)
        status = EXIT_FAILURE;
    buf_fini(&doc);
    return status;
}
