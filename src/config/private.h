/* SPDX-License-Identifier: Apache-2.0
 *
 * private: what the files of this room share: the config's inside and the steps of config_load.
 */
#ifndef CONFIG_PRIVATE_H
#define CONFIG_PRIVATE_H

#include "schema.h"

enum { CONFIG_VALUE_BYTES = 4096 }; /* a value with its NUL at most */

struct config_value {
    char *text;   /* owned */
    char *origin; /* owned: "default", "FILE:12", "environment NAME", "flag --name" */
};

struct config {
    enum program program;
    struct config_request request;
    char **arguments; /* owned copy of the command line of the start, NULL-terminated */
    int argument_count;
    const char *path;                            /* of --config, points into arguments; NULL: not given */
    struct config_value values[SCHEMA_SETTINGS]; /* in the order of schema_settings */
    struct config_flag {
        const struct setting *setting;
        const char *text; /* points into arguments */
    } flags[SCHEMA_SETTINGS];
    size_t flag_count;
    union {
        struct proxy_config proxy;
        struct hub_config hub;
    } view;
};

/* Checks and takes a copy of text; origin as above. ERR_CONFIG: "ORIGIN: KEY = VALUE: must be …". */
MUST_CHECK int config_assign(struct config *config, const struct setting *setting, struct slice text,
                             const char *origin, struct err *err);

/* file.c: a file, or a directory with its conf.d. wanted: a missing path is an error. */
MUST_CHECK int config_read_path(struct config *config, const char *path, bool wanted, struct err *err);

/* flags.c: fills request, path and flags from config->arguments; marks in kept[] which arguments are the
 * program's own. */
MUST_CHECK int config_parse_flags(struct config *config, bool *kept, struct err *err);

#endif
