/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: config.def as an array, and the one place where a value's text becomes a member of proxy_config or
 * hub_config. Private to the room. Pure, apart from the working directory that completes relative paths.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config.h"

enum setting_type { SETTING_TEXT, SETTING_PATH, SETTING_BYTES, SETTING_DURATION, SETTING_COUNT };

enum setting_check {
    CHECK_ANY,
    CHECK_FILLED,     /* not empty */
    CHECK_CHOICE,     /* one of choices */
    CHECK_RANGE,      /* low ≤ value ≤ high */
    CHECK_POWER,      /* and a power of two */
    CHECK_ADDRESS,    /* loop/endpoint.h */
    CHECK_ENDPOINT,   /* tcp://host:port */
    CHECK_NETWORKS,   /* comma-separated prefixes */
    CHECK_ORIGINS,    /* comma-separated origins of web pages */
    CHECK_NAME,       /* letters, digits, '.', '-', '_', at most 127 */
    CHECK_Z85,        /* empty or 40 characters of Z85 */
    CHECK_LOG_OUTPUT, /* stderr, syslog, file:/path */
    CHECK_SOCKET,     /* a path that fits a Unix socket */
};

struct setting {
    enum program program;
    const char *key, *fallback, *flag, *doc;
    char letter; /* 0: none */
    enum setting_type type;
    size_t offset; /* of the member in proxy_config or hub_config */
    struct setting_rule {
        enum setting_check check;
        bool may_be_empty, secret;
        const char *choices; /* "a|b" */
        uint64_t low, high;
    } rule;
};

enum { SCHEMA_SETTINGS = 64 }; /* of one program at most */

const struct setting *schema_settings(enum program program, size_t *n);
const struct setting *schema_find(enum program program, struct slice key); /* NULL: unknown */
const char *schema_program_name(enum program program);                     /* "policy-proxy", … */
const char *schema_variable_prefix(enum program program);                  /* "POLICY_PROXY_", … */

/* Checks text and stores it into the struct at base. TEXT and PATH members point at text afterwards, which
 * must live as long. ERR_CONFIG, the detail says what the value must be. */
MUST_CHECK int schema_store(const struct setting *setting, const char *text, void *base, struct err *err);

#endif
