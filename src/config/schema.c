/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include "loop/endpoint.h"

#include <inttypes.h>
#include <stdio.h>

#define ANY                                                                                                  \
    {                                                                                                        \
        .check = CHECK_ANY, .may_be_empty = true                                                             \
    }
#define SECRET                                                                                               \
    {                                                                                                        \
        .check = CHECK_ANY, .may_be_empty = true, .secret = true                                             \
    }
#define FILLED                                                                                               \
    {                                                                                                        \
        .check = CHECK_FILLED                                                                                \
    }
#define CHOICE(list)                                                                                         \
    {                                                                                                        \
        .check = CHECK_CHOICE, .choices = (list)                                                             \
    }
#define RANGE(from, to)                                                                                      \
    {                                                                                                        \
        .check = CHECK_RANGE, .low = (from), .high = (to)                                                    \
    }
#define POWER_OF_TWO(from, to)                                                                               \
    {                                                                                                        \
        .check = CHECK_POWER, .low = (from), .high = (to)                                                    \
    }
#define ADDRESS                                                                                              \
    {                                                                                                        \
        .check = CHECK_ADDRESS                                                                               \
    }
#define ADDRESS_OR_NONE                                                                                      \
    {                                                                                                        \
        .check = CHECK_ADDRESS, .may_be_empty = true                                                         \
    }
#define ENDPOINT                                                                                             \
    {                                                                                                        \
        .check = CHECK_ENDPOINT                                                                              \
    }
#define ENDPOINT_OR_NONE                                                                                     \
    {                                                                                                        \
        .check = CHECK_ENDPOINT, .may_be_empty = true                                                        \
    }
#define NETWORKS                                                                                             \
    {                                                                                                        \
        .check = CHECK_NETWORKS, .may_be_empty = true                                                        \
    }
#define ORIGINS                                                                                              \
    {                                                                                                        \
        .check = CHECK_ORIGINS, .may_be_empty = true                                                         \
    }
#define NAME                                                                                                 \
    {                                                                                                        \
        .check = CHECK_NAME, .may_be_empty = true                                                            \
    }
#define Z85_KEY                                                                                              \
    {                                                                                                        \
        .check = CHECK_Z85, .may_be_empty = true                                                             \
    }
#define LOG_OUTPUT                                                                                           \
    {                                                                                                        \
        .check = CHECK_LOG_OUTPUT                                                                            \
    }
#define SOCKET_PATH                                                                                          \
    {                                                                                                        \
        .check = CHECK_SOCKET, .may_be_empty = true                                                          \
    }

#define OWNER_POLICY_PROXY   struct proxy_config
#define OWNER_MAIL_ANALYTICS struct hub_config

static const struct setting settings[] = {
#define SETTING(of, name, kind, value, option, short_flag, test, text)                                       \
    {.program = PROGRAM_##of,                                                                                \
     .key = #name,                                                                                           \
     .fallback = (value),                                                                                    \
     .flag = (option),                                                                                       \
     .doc = (text),                                                                                          \
     .letter = (short_flag),                                                                                 \
     .type = SETTING_##kind,                                                                                 \
     .offset = offsetof(OWNER_##of, name),                                                                   \
     .rule = test},
#include "config.def"
#undef SETTING
};

static const size_t settings_count = sizeof settings / sizeof *settings;

/* The table lists policy-proxy first. */
const struct setting *schema_settings(enum program program, size_t *n)
{
    size_t first = 0, end;

    while (first < settings_count && settings[first].program != program)
        first++;
    for (end = first; end < settings_count && settings[end].program == program; end++)
        ;
    *n = end - first;
    return settings + first;
}

const struct setting *schema_find(enum program program, struct slice key)
{
    size_t n;
    const struct setting *list = schema_settings(program, &n);

    for (size_t i = 0; i < n; i++)
        if (slice_equal(key, slice_of(list[i].key)))
            return &list[i];
    return NULL;
}

const char *schema_program_name(enum program program)
{
    return program == PROGRAM_POLICY_PROXY ? "policy-proxy" : "mail-analytics";
}

const char *schema_variable_prefix(enum program program)
{
    return program == PROGRAM_POLICY_PROXY ? "POLICY_PROXY_" : "MAIL_ANALYTICS_";
}

static bool is_choice(struct slice value, const char *choices)
{
    struct slice rest = slice_of(choices), part;

    while (slice_split(&rest, '|', &part))
        if (slice_equal(part, value))
            return true;
    return false;
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
              c == '-' || c == '_'))
            return false;
    }
    return s.n <= 127;
}

static bool is_z85_key(const char *text)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

    return strlen(text) == 40 && strspn(text, alphabet) == 40;
}

/* "tcp://host:port"; host is '*', an address or a name: ZeroMQ resolves it. */
static bool is_endpoint(struct slice s)
{
    uint64_t port;

    if (s.n < 6 || memcmp(s.p, "tcp://", 6) != 0)
        return false;
    struct slice rest = {s.p + 6, s.n - 6};
    const char *colon = rest.n > 0 ? memrchr(rest.p, ':', rest.n) : NULL;
    if (!colon || colon == rest.p)
        return false;
    struct slice host = {rest.p, (size_t)(colon - rest.p)};
    struct slice digits = {colon + 1, rest.n - host.n - 1};
    if (text_to_u64(digits, UINT16_MAX, &port) < 0 || port == 0)
        return false;
    if (slice_equal(host, SLICE("*")))
        return true;
    if (host.p[0] == '[') {
        struct ip ip;
        return ip_parse(host, &ip) == 0;
    }
    return is_name(host);
}

/* As a browser writes them: no path, not even "/". */
static bool are_origins(struct slice text)
{
    struct slice one;
    while (slice_split(&text, ',', &one)) {
        one = slice_trim(one);
        size_t n = one.n > 8 && memcmp(one.p, "https://", 8) == 0  ? 8
                   : one.n > 7 && memcmp(one.p, "http://", 7) == 0 ? 7
                                                                   : 0;
        if (n == 0)
            return false;
        for (size_t i = n; i < one.n; i++)
            if (one.p[i] <= ' ' || one.p[i] >= 0x7f || strchr("/?#@\\\"<>", one.p[i]) != NULL)
                return false;
    }
    return true;
}

static bool are_networks(struct slice s)
{
    struct slice part;
    struct ip_prefix prefix;

    while (slice_split(&s, ',', &part))
        if (ip_prefix_parse(slice_trim(part), &prefix) < 0)
            return false;
    return true;
}

static bool is_log_output(const char *text)
{
    return strcmp(text, "stderr") == 0 || strcmp(text, "syslog") == 0 || strncmp(text, "file:/", 6) == 0;
}

static int check_text(const struct setting_rule *rule, const char *text, struct err *err)
{
    struct slice s = slice_of(text);
    struct endpoint endpoint;

    if (s.n == 0)
        return rule->may_be_empty ? 0 : err_set(err, ERR_CONFIG, "must not be empty");
    switch (rule->check) {
    case CHECK_CHOICE:
        return is_choice(s, rule->choices) ? 0 : err_set(err, ERR_CONFIG, "must be one of %s", rule->choices);
    case CHECK_ADDRESS:
        return endpoint_parse(s, &endpoint, NULL) == 0
                   ? 0
                   : err_set(
                         err, ERR_CONFIG,
                         "must be ADDRESS:PORT, [IPV6]:PORT, *:PORT or unix:/PATH (an address, not a name)");
    case CHECK_ENDPOINT:
        return is_endpoint(s) ? 0 : err_set(err, ERR_CONFIG, "must be tcp://HOST:PORT or tcp://*:PORT");
    case CHECK_NETWORKS:
        return are_networks(s) ? 0
                               : err_set(err, ERR_CONFIG,
                                         "must be networks such as 192.0.2.0/24, 2001:db8::/32, "
                                         "comma-separated, without host bits");
    case CHECK_ORIGINS:
        return are_origins(s) ? 0
                              : err_set(err, ERR_CONFIG,
                                        "must be origins such as https://panel.example or "
                                        "http://localhost:5173, comma-separated");
    case CHECK_NAME:
        return is_name(s) ? 0
                          : err_set(err, ERR_CONFIG,
                                    "must be letters, digits, '.', '-' and '_', at most 127 of them");
    case CHECK_Z85:
        return is_z85_key(text) ? 0
                                : err_set(err, ERR_CONFIG,
                                          "must be 40 characters of Z85: ask the hub with "
                                          "`mail-analytics key`");
    case CHECK_LOG_OUTPUT:
        return is_log_output(text) ? 0 : err_set(err, ERR_CONFIG, "must be stderr, syslog or file:/PATH");
    case CHECK_SOCKET:
        return s.n < ENDPOINT_PATH_BYTES
                   ? 0
                   : err_set(err, ERR_CONFIG, "must be shorter than %d bytes", ENDPOINT_PATH_BYTES);
    case CHECK_ANY:
    case CHECK_FILLED:
    case CHECK_RANGE:
    case CHECK_POWER:
        break;
    }
    return 0;
}

/* Writes a bound the way a person would type it. */
static void format_bound(enum setting_type type, uint64_t value, char out[32])
{
    static const struct {
        enum setting_type type;
        uint64_t unit;
        const char *suffix;
    } units[] = {
        {SETTING_BYTES, UINT64_C(1) << 30, "G"},       {SETTING_BYTES, UINT64_C(1) << 20, "M"},
        {SETTING_BYTES, UINT64_C(1) << 10, "k"},       {SETTING_DURATION, UINT64_C(86400000000), "d"},
        {SETTING_DURATION, UINT64_C(3600000000), "h"}, {SETTING_DURATION, UINT64_C(60000000), "m"},
        {SETTING_DURATION, UINT64_C(1000000), "s"},    {SETTING_DURATION, UINT64_C(1000), "ms"},
    };

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].type == type && value > 0 && value % units[i].unit == 0) {
            snprintf(out, 32, "%" PRIu64 "%s", value / units[i].unit, units[i].suffix);
            return;
        }
    snprintf(out, 32, "%" PRIu64, value);
}

static int parse_number(enum setting_type type, struct slice s, uint64_t *out)
{
    int64_t us = 0;
    int rc;

    switch (type) {
    case SETTING_BYTES:
        return text_to_bytes(s, out);
    case SETTING_DURATION:
        rc = text_to_duration_us(s, &us);
        *out = (uint64_t)us;
        return rc;
    case SETTING_COUNT:
        return text_to_u64(s, UINT64_MAX, out);
    case SETTING_TEXT:
    case SETTING_PATH:
        break;
    }
    return ERR_INVALID;
}

static int check_number(const struct setting *setting, struct slice s, uint64_t *out, struct err *err)
{
    static const char *const shapes[] = {[SETTING_BYTES] = "a size such as 64k, 512M or 2G",
                                         [SETTING_DURATION] = "a time such as 250ms, 30s, 15m, 24h or 7d",
                                         [SETTING_COUNT] = "a whole number"};
    const struct setting_rule *rule = &setting->rule;
    char low[32], high[32];

    int rc = parse_number(setting->type, s, out);
    if (rc < 0 && rc != ERR_LIMIT)
        return err_set(err, ERR_CONFIG, "must be %s", shapes[setting->type]);
    if (rc == ERR_LIMIT || *out < rule->low || *out > rule->high) {
        format_bound(setting->type, rule->low, low);
        format_bound(setting->type, rule->high, high);
        return err_set(err, ERR_CONFIG, "must be from %s to %s", low, high);
    }
    if (rule->check == CHECK_POWER && (*out & (*out - 1)) != 0)
        return err_set(err, ERR_CONFIG, "must be a power of two (256k, 512k, 1M, …)");
    return 0;
}

int schema_store(const struct setting *setting, const char *text, void *base, struct err *err)
{
    char *member = (char *)base + setting->offset;
    uint64_t number = 0;
    int rc;

    if (setting->type == SETTING_TEXT || setting->type == SETTING_PATH) {
        rc = check_text(&setting->rule, text, err);
        memcpy(member, &text, sizeof text);
        return rc;
    }
    rc = check_number(setting, slice_of(text), &number, err);
    if (rc < 0)
        return rc;
    /* int64_t and uint64_t share size and, for the checked range, representation. */
    memcpy(member, &number, sizeof number);
    return 0;
}
