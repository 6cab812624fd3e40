/* SPDX-License-Identifier: Apache-2.0
 *
 * cli: what the verbs of mail-analytics share. A verb is one line in verbs.def and one function
 * verb_NAME(struct cli *) that returns 0 or a code with cli->err filled; main prints the line and exits with
 * the code's status.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buf.h"
#include "config/config.h"

#include <jansson.h>

struct cli {
    const struct config *config;
    const struct hub_config *settings;
    const char *verb;
    int argc; /* behind the verb */
    char **argv;
    bool json; /* --json */
    int64_t
        patience_us; /* for the hub's answer, beyond that for a question; 0 unless the verb says otherwise */
    struct err err;
};

/* Runs the verb in argv[1]; with help wanted, prints its help. Returns the exit status. */
int cli_run(const struct config *config, int argc, char **argv);

/* Flags of a verb: "--name value" or "--name=value". */
enum flag_type { FLAG_TEXT, FLAG_LIST, FLAG_TRUE };
enum { FLAG_VALUES = 64 };
struct flag {
    const char *name; /* without the dashes */
    enum flag_type type;
    size_t count;                    /* times given */
    const char *values[FLAG_VALUES]; /* TEXT: the first; LIST: all */
};
/* Takes flags and --json out of the arguments; what is left are at most `max` operands. ERR_USAGE. */
MUST_CHECK int cli_flags(struct cli *cli, struct flag *flags, size_t count, const char **operands, size_t max,
                         size_t *operand_count);

/* Reads a file, or stdin for "-", at most limit bytes. ERR_NOT_FOUND, ERR_LIMIT, ERR_IO, ERR_DENIED. */
MUST_CHECK int cli_read(struct cli *cli, const char *path, size_t limit, struct buf *out);

/* Fills cli->err; returns code. */
int cli_fail(struct cli *cli, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Writes the document with a newline to stdout. */
void cli_print_json(const json_t *document);

#define VERB(name, summary, usage) int verb_##name(struct cli *cli);
#include "verbs.def"
#undef VERB

#endif
