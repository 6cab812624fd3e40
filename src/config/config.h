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
 * names; there, the other program's own file (mail-analytics.conf for policy-proxy and the other way round)
 * is passed over when it may not be read. No file at the default place is no error; at a named one it is.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/log.h"
#include "base/text.h"

enum program { PROGRAM_POLICY_PROXY, PROGRAM_MAIL_ANALYTICS };

enum {
    CONFIG_FILE_BYTES = 1 << 20, /* a file at most */
    CONFIG_LINE_BYTES = 4096,    /* a line at most */
    CONFIG_FILES = 256,          /* files in a directory at most */
    CONFIG_ARGUMENTS = 4096,     /* arguments on the command line at most */
};

/* The types of SETTING: TEXT, PATH (relative ones are taken from the working directory, which a daemon keeps
 * for its reloads), BYTES, DURATION (µs), COUNT. The struct's member has the key's name; texts are never
 * NULL, "" when not set. */
typedef const char *config_text;
typedef const char *config_path;
typedef uint64_t config_bytes;
typedef int64_t config_duration;
typedef uint64_t config_count;

#define CONFIG_CTYPE_TEXT     config_text
#define CONFIG_CTYPE_PATH     config_path
#define CONFIG_CTYPE_BYTES    config_bytes
#define CONFIG_CTYPE_DURATION config_duration
#define CONFIG_CTYPE_COUNT    config_count

struct proxy_config {
#define SETTING(program, key, type, fallback, flag, letter, check, doc)                                      \
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

/* What the command line asked for besides settings. Both programs know these flags:
 *   --config PATH   -c, --command start|stop|reload   --check-config   --print-config   -h, --help
 *   -V, --version   -D: --daemonise (policy-proxy) or --debug (mail-analytics: log_level = debug) */
enum config_command { CONFIG_COMMAND_NONE, CONFIG_COMMAND_START, CONFIG_COMMAND_STOP, CONFIG_COMMAND_RELOAD };
struct config_request {
    enum config_command command;
    bool daemonise;
    bool debug;
    bool check_only; /* say whether the configuration is valid, and exit */
    bool print;      /* config_print, and exit */
    bool help;       /* help and version win over everything: nothing was read or checked then */
    bool version;
};

struct config;

/* Reads everything and checks it. The flags above and those of the table are taken out of argv wherever they
 * stand (argc and argv are updated; argv[0] stays): what is left are verb, operands and the verb's own flags.
 * An unknown flag before the verb is ERR_USAGE; behind it, it is left for the verb, which must refuse what it
 * doesn't know (config_no_more). Short flags are two characters; "--" ends the flags. A wrong value is
 * ERR_CONFIG, or ERR_USAGE when it came from a flag, with its place and what to do. api_key is filled from
 * api_key_file when that is set. Warnings go to the log. */
MUST_CHECK int config_load(struct config **out, enum program program, int *argc, char **argv,
                           struct err *err);

/* For SIGHUP: reads files and environment anew, with the flags of the start. */
MUST_CHECK int config_reload(struct config **out, const struct config *old, struct err *err);
void config_destroy(struct config **config);

/* Views into the config, valid until config_destroy; only of the program it was loaded for. */
const struct proxy_config *config_proxy(const struct config *config);
const struct hub_config *config_hub(const struct config *config);
const struct config_request *config_request(const struct config *config);

/* ERR_USAGE naming argv[from] when there is one. */
MUST_CHECK int config_no_more(int argc, char **argv, int from, struct err *err);

/* --print-config: "key = value   # where it came from", secrets as (hidden). Writes to stdout. */
void config_print(const struct config *config);
/* The flags part of --help, from the table. */
void config_print_flags(enum program program);

#endif
