/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"

#include "loop/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

/* What a value is completed to before it is checked: relative paths by the working directory (a daemon
 * changes its own), endpoints by the scheme and port that earlier versions added to a bare host. */
static int complete(const struct setting *setting, struct slice text, char out[CONFIG_VALUE_BYTES])
{
    char cwd[PATH_MAX];
    const char *before = "", *between = "", *behind = "";

    if (text.n > 0 && setting->type == SETTING_PATH && text.p[0] != '/') {
        if (!getcwd(cwd, sizeof cwd))
            return ERR_IO;
        before = cwd;
        between = "/";
    } else if (text.n > 0 && setting->rule.check == CHECK_ENDPOINT && !memmem(text.p, text.n, "://", 3)) {
        before = "tcp://";
        bool has_port =
            text.p[0] == '[' ? memmem(text.p, text.n, "]:", 2) != NULL : memchr(text.p, ':', text.n) != NULL;
        behind = has_port ? "" : ":4000";
    }
    int n = snprintf(out, CONFIG_VALUE_BYTES, "%s%s%.*s%s", before, between, (int)text.n, text.p, behind);
    return n < 0 || n >= CONFIG_VALUE_BYTES ? ERR_LIMIT : 0;
}

int config_assign(struct config *config, const struct setting *setting, struct slice text, const char *origin,
                  struct err *err)
{
    char value[CONFIG_VALUE_BYTES];
    struct err why = {.code = 0};
    size_t n;
    const struct setting *list = schema_settings(config->program, &n);
    struct config_value *slot = &config->values[setting - list];

    if (text.n >= CONFIG_VALUE_BYTES || complete(setting, text, value) < 0)
        return err_set(err, ERR_CONFIG, "%s: %s: the value is too long", origin, setting->key);
    char *copy = strdup(value), *from = strdup(origin);
    if (!copy || !from) {
        free(copy);
        free(from);
        return err_set(err, ERR_NO_MEMORY, "config: out of memory");
    }
    free(slot->text);
    free(slot->origin);
    *slot = (struct config_value){copy, from};
    if (schema_store(setting, copy, &config->view, &why) < 0) {
        bool secret = setting->rule.secret;
        return err_set(err, ERR_CONFIG, "%s: %s = %.100s: %s", origin, setting->key,
                       secret ? "(hidden)" : copy, err_detail(&why));
    }
    return 0;
}

static int assign_defaults(struct config *config, struct err *err)
{
    size_t n;
    const struct setting *list = schema_settings(config->program, &n);
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = config_assign(config, &list[i], slice_of(list[i].fallback), "default", err);
    return rc;
}

static int read_files(struct config *config, struct err *err)
{
    const char *path = config->path;

    if (!path)
        path =
            getenv(config->program == PROGRAM_POLICY_PROXY ? "POLICY_PROXY_CONFIG" : "MAIL_ANALYTICS_CONFIG");
    if (path && *path)
        return config_read_path(config, path, true, err);
    return config_read_path(config, "/etc/mail-analytics", false, err);
}

/* NAME=value with our prefix → the setting; NULL: none of ours, or unknown (logged). */
static const struct setting *match_variable(enum program program, const char *entry, struct slice *name)
{
    const char *prefix = schema_variable_prefix(program), *equals = strchr(entry, '=');
    size_t n = strlen(prefix);
    char key[64];

    if (!equals || strncmp(entry, prefix, n) != 0)
        return NULL;
    *name = (struct slice){entry, (size_t)(equals - entry)};
    struct slice tail = {entry + n, name->n - n};
    if (slice_equal(tail, SLICE("CONFIG")))
        return NULL;
    const struct setting *setting = NULL;
    if (tail.n < sizeof key) {
        text_lower(tail, key);
        setting = schema_find(program, (struct slice){key, tail.n});
    }
    if (!setting)
        log_warning("config: environment variable %.*s names no setting: unset or correct it", (int)name->n,
                    name->p);
    return setting;
}

static int read_environment(struct config *config, struct err *err)
{
    char origin[128];
    int rc = 0;

    for (char **entry = environ; entry && *entry && rc == 0; entry++) {
        struct slice name;
        const struct setting *setting = match_variable(config->program, *entry, &name);
        if (!setting)
            continue;
        snprintf(origin, sizeof origin, "environment %.*s", (int)name.n, name.p);
        rc = config_assign(config, setting, slice_trim(slice_of(*entry + name.n + 1)), origin, err);
    }
    return rc;
}

static int read_flags(struct config *config, struct err *err)
{
    char origin[64];
    int rc = 0;

    if (config->request.debug) {
        const struct setting *setting = schema_find(config->program, SLICE("log_level"));
        rc = config_assign(config, setting, SLICE("debug"), "flag --debug", err);
    }
    for (size_t i = 0; i < config->flag_count && rc == 0; i++) {
        const struct config_flag *flag = &config->flags[i];
        snprintf(origin, sizeof origin, "flag --%s", flag->setting->flag);
        rc = config_assign(config, flag->setting, slice_of(flag->text), origin, err);
    }
    if (rc == ERR_CONFIG && err)
        err->code = ERR_USAGE;
    return rc == ERR_CONFIG ? ERR_USAGE : rc;
}

/* The key's first line, so that an editor's last newline does no harm. */
static int read_api_key(struct config *config, struct err *err)
{
    const char *path = config->view.proxy.api_key_file;
    char bytes[512], origin[PATH_MAX];

    if (!*path)
        return 0;
    if (*config->view.proxy.api_key)
        return err_set(err, ERR_CONFIG, "api_key and api_key_file are both set; keep one");
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(err, ERR_CONFIG, "api_key_file %s: can't be read (%s)", path, strerror(errno));
    size_t n = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    struct slice rest = {bytes, n}, line = {bytes, 0};
    if (!slice_split(&rest, '\n', &line) || slice_trim(line).n == 0 || n == sizeof bytes)
        return err_set(err, ERR_CONFIG, "api_key_file %s: its first line must be the API key", path);
    snprintf(origin, sizeof origin, "%.4000s", path);
    return config_assign(config, schema_find(config->program, SLICE("api_key")), slice_trim(line), origin,
                         err);
}

static const char *origin_of(const struct config *config, const char *key)
{
    size_t n;
    const struct setting *list = schema_settings(config->program, &n);

    return config->values[schema_find(config->program, slice_of(key)) - list].origin;
}

/* What no single setting can tell. */
static int check_together(struct config *config, struct err *err)
{
    struct endpoint endpoint;

    if (config->program == PROGRAM_MAIL_ANALYTICS && *config->view.hub.mongo_uri)
        return err_set(
            err, ERR_UNSUPPORTED,
            "mongo_uri: the mongodb engine is not in this build; remove the setting (%s), the store is %s",
            origin_of(config, "mongo_uri"), config->view.hub.store);
    if (config->program == PROGRAM_MAIL_ANALYTICS)
        return 0;
    int rc = read_api_key(config, err);
    if (rc < 0)
        return rc;
    const struct proxy_config *proxy = &config->view.proxy;
    if (!*proxy->allow && endpoint_parse(slice_of(proxy->listen), &endpoint, NULL) == 0 &&
        !endpoint_is_local(&endpoint))
        return err_set(err, ERR_CONFIG,
                       "%s: listen = %s is beyond loopback: set allow to the networks of the Postfix servers "
                       "that may ask, such as 192.0.2.0/24",
                       origin_of(config, "listen"), proxy->listen);
    return 0;
}

static int copy_arguments(struct config *config, int argc, char **argv, struct err *err)
{
    if (argc < 1 || argc > CONFIG_ARGUMENTS)
        return err_set(err, ERR_USAGE, "more than %d arguments", CONFIG_ARGUMENTS);
    config->arguments = calloc((size_t)argc + 1, sizeof *config->arguments);
    if (!config->arguments)
        return err_set(err, ERR_NO_MEMORY, "config: out of memory");
    config->argument_count = argc;
    for (int i = 0; i < argc; i++) {
        config->arguments[i] = strdup(argv[i]);
        if (!config->arguments[i])
            return err_set(err, ERR_NO_MEMORY, "config: out of memory");
    }
    return 0;
}

static int read_all(struct config *config, struct err *err)
{
    if (config->request.help || config->request.version)
        return assign_defaults(config, err);
    int rc = assign_defaults(config, err);
    if (rc == 0)
        rc = read_files(config, err);
    if (rc == 0)
        rc = read_environment(config, err);
    if (rc == 0)
        rc = read_flags(config, err);
    return rc == 0 ? check_together(config, err) : rc;
}

static int load(struct config **out, enum program program, int argc, char **argv, bool *kept, struct err *err)
{
    struct config *config = calloc(1, sizeof *config);

    *out = NULL;
    if (!config)
        return err_set(err, ERR_NO_MEMORY, "config: out of memory");
    config->program = program;
    int rc = copy_arguments(config, argc, argv, err);
    if (rc == 0)
        rc = config_parse_flags(config, kept, err);
    if (rc == 0)
        rc = read_all(config, err);
    if (rc < 0)
        config_destroy(&config);
    *out = config;
    return rc;
}

int config_load(struct config **out, enum program program, int *argc, char **argv, struct err *err)
{
    static bool kept[CONFIG_ARGUMENTS];
    int n = 1;

    memset(kept, 0, sizeof kept);
    int rc = load(out, program, *argc, argv, kept, err);
    if (rc < 0)
        return rc;
    for (int i = 1; i < *argc; i++)
        if (kept[i])
            argv[n++] = argv[i];
    argv[n] = NULL;
    *argc = n;
    return 0;
}

int config_reload(struct config **out, const struct config *old, struct err *err)
{
    static bool kept[CONFIG_ARGUMENTS];

    return load(out, old->program, old->argument_count, old->arguments, kept, err);
}

void config_destroy(struct config **config)
{
    struct config *c = *config;

    *config = NULL;
    if (!c)
        return;
    for (size_t i = 0; i < SCHEMA_SETTINGS; i++) {
        free(c->values[i].text);
        free(c->values[i].origin);
    }
    for (int i = 0; c->arguments && i < c->argument_count; i++)
        free(c->arguments[i]);
    free(c->arguments);
    free(c);
}

const struct proxy_config *config_proxy(const struct config *config)
{
    return &config->view.proxy;
}

const struct hub_config *config_hub(const struct config *config)
{
    return &config->view.hub;
}

const struct config_request *config_request(const struct config *config)
{
    return &config->request;
}
