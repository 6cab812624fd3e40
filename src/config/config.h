/* SPDX-License-Identifier: Apache-2.0
 *
 * config: one table (config.def) of every setting of both programs. Built-in defaults < files below
 * /etc/mail-analytics < files in its conf.d < environment (POLICY_PROXY_<KEY>, MAIL_ANALYTICS_<KEY>) < flags.
 * Files are "key = value" lines under [policy-proxy] or [mail-analytics]; '#' begins a comment at the start
 * of a line; later files win. Each value remembers where it came from, for --print-config and for errors
 * ("FILE:12: ..."). The sample files, the manual page and --help are made from the table or held against it
 * by a test.
 *
 * Which files: --config PATH, else $POLICY_PROXY_CONFIG or $MAIL_ANALYTICS_CONFIG, else /etc/mail-analytics.
 * PATH is a file, or a directory whose .conf files, then those of its conf.d, are read in the order of their
 * names.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/log.h"
#include "base/text.h"

enum program { PROGRAM_POLICY_PROXY, PROGRAM_MAIL_ANALYTICS };

/* SETTING(program, key, TYPE, default, flag, short, doc)
 * TYPE: TEXT (char *), PATH, BYTES (uint64_t), DURATION (int64_t µs), COUNT (uint64_t), BOOL, CHOICE_a_b as
 * TEXT checked by config_check. The struct's member has the key's name. */
typedef const char *config_text;
typedef const char *config_path;
typedef uint64_t config_bytes;
typedef int64_t config_duration;
typedef uint64_t config_count;
typedef bool config_bool;

#define CONFIG_CTYPE_TEXT     config_text
#define CONFIG_CTYPE_PATH     config_path
#define CONFIG_CTYPE_BYTES    config_bytes
#define CONFIG_CTYPE_DURATION config_duration
#define CONFIG_CTYPE_COUNT    config_count
#define CONFIG_CTYPE_BOOL     config_bool

struct proxy_config {
#define SETTING(program, key, type, fallback, flag, letter, doc)                                             \
    CONFIG_ONLY_##program(CONFIG_CTYPE_##type key;)
#define CONFIG_ONLY_POLICY_PROXY(x) x
#define CONFIG_ONLY_MAIL_ANALYTICS(x)
#include "config.def"
#undef CONFIG_ONLY_POLICY_PROXY
#undef CONFIG_ONLY_MAIL_ANALYTICS
};

struct hub_config {
#define CONFIG_ONLY_POLICY_PROXY(x)
#define CONFIG_ONLY_MAIL_ANALYTICS(x) x
#include "config.def"
#undef CONFIG_ONLY_POLICY_PROXY
#undef CONFIG_ONLY_MAIL_ANALYTICS
#undef SETTING
};

struct config;

/* Reads everything and checks it. Flags known to the table are taken out of argv (argc and argv are updated:
 * what is left is the program's own: verbs, operands); an unknown flag is ERR_USAGE. ERR_CONFIG with file,
 * line and what to do. One call at start-up, another at SIGHUP (with the argv of the start). */
MUST_CHECK int config_load(struct config **out, enum program program, int *argc, char **argv,
                           struct err *err);
void config_destroy(struct config **config);

/* Views into the config, valid until config_destroy; only of the program it was loaded for. */
const struct proxy_config *config_proxy(const struct config *config);
const struct hub_config *config_hub(const struct config *config);

/* --print-config: "key = value   # where it came from", secrets as (hidden). Writes to stdout. */
void config_print(const struct config *config);
/* The flags part of --help, from the table. */
void config_print_flags(enum program program);

#endif
