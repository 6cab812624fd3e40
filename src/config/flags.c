/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"

#include <stdio.h>

/* The flags that are no settings. with_value: the next argument, or what follows '='. */
enum common {
    COMMON_NONE,
    COMMON_CONFIG,
    COMMON_COMMAND,
    COMMON_CHECK,
    COMMON_PRINT,
    COMMON_HELP,
    COMMON_VERSION,
    COMMON_DAEMONISE,
    COMMON_DEBUG
};

static const struct common_flag {
    enum common common;
    const char *name, *doc;
    char letter;
    const char *value; /* its name in --help; NULL: takes none */
    int only;          /* -1: both programs */
} common_flags[] = {
    {COMMON_COMMAND, "command", "start (the default), or stop or reload the one that runs (pid_file)", 'c',
     "start|stop|reload", -1},
    {COMMON_DAEMONISE, "daemonise", "go to the background", 'D', NULL, PROGRAM_POLICY_PROXY},
    {COMMON_DAEMONISE, "daemonize", NULL, 0, NULL, PROGRAM_POLICY_PROXY},
    {COMMON_DEBUG, "debug", "the same as --log-level debug", 'D', NULL, PROGRAM_MAIL_ANALYTICS},
    {COMMON_CONFIG, "config", "file or directory to read instead of /etc/mail-analytics", 0, "PATH", -1},
    {COMMON_CHECK, "check-config", "say whether the configuration is valid, and exit", 0, NULL, -1},
    {COMMON_PRINT, "print-config", "show every setting and where its value came from, and exit", 0, NULL, -1},
    {COMMON_HELP, "help", "show this, and exit", 'h', NULL, -1},
    {COMMON_VERSION, "version", "show the version, and exit", 'V', NULL, -1},
};

/* One argument taken apart: "--name", "--name=value" or "-x". */
struct argument {
    struct slice name; /* empty when short */
    char letter;       /* 0 when long */
    const char *value; /* behind '='; NULL: none */
};

static bool take_apart(const char *text, struct argument *out)
{
    *out = (struct argument){.letter = 0};
    if (text[0] != '-' || text[1] == '\0')
        return false;
    if (text[1] != '-') {
        out->letter = text[2] == '\0' ? text[1] : '\0';
        return true;
    }
    const char *name = text + 2, *equals = strchr(name, '=');
    out->name = (struct slice){name, equals ? (size_t)(equals - name) : strlen(name)};
    out->value = equals ? equals + 1 : NULL;
    return true;
}

static bool matches(const struct argument *argument, const char *name, char letter)
{
    if (argument->letter)
        return argument->letter == letter;
    return argument->name.n > 0 && *name && slice_equal(argument->name, slice_of(name));
}

static const struct common_flag *find_common(enum program program, const struct argument *argument)
{
    for (size_t i = 0; i < sizeof common_flags / sizeof *common_flags; i++)
        if ((common_flags[i].only < 0 || common_flags[i].only == (int)program) &&
            matches(argument, common_flags[i].name, common_flags[i].letter))
            return &common_flags[i];
    return NULL;
}

static const struct setting *find_setting(enum program program, const struct argument *argument)
{
    size_t n;
    const struct setting *list = schema_settings(program, &n);

    for (size_t i = 0; i < n; i++)
        if (matches(argument, list[i].flag, list[i].letter))
            return &list[i];
    return NULL;
}

static int set_command(struct config_request *request, const char *value, struct err *err)
{
    static const char *const names[] = {
        [CONFIG_COMMAND_START] = "start", [CONFIG_COMMAND_STOP] = "stop", [CONFIG_COMMAND_RELOAD] = "reload"};

    for (int i = CONFIG_COMMAND_START; i <= CONFIG_COMMAND_RELOAD; i++)
        if (strcmp(value, names[i]) == 0) {
            request->command = (enum config_command)i;
            return 0;
        }
    return err_set(err, ERR_USAGE, "--command %s: must be start, stop or reload", value);
}

static int apply_common(struct config *config, const struct common_flag *flag, const char *value,
                        struct err *err)
{
    struct config_request *request = &config->request;

    switch (flag->common) {
    case COMMON_CONFIG:
        config->path = value;
        break;
    case COMMON_COMMAND:
        return set_command(request, value, err);
    case COMMON_CHECK:
        request->check_only = true;
        break;
    case COMMON_PRINT:
        request->print = true;
        break;
    case COMMON_HELP:
        request->help = true;
        break;
    case COMMON_VERSION:
        request->version = true;
        break;
    case COMMON_DAEMONISE:
        request->daemonise = true;
        break;
    case COMMON_DEBUG:
        request->debug = true;
        break;
    case COMMON_NONE:
        break;
    }
    return 0;
}

/* A setting given twice: the last one wins. */
static void remember(struct config *config, const struct setting *setting, const char *text)
{
    size_t i = 0;

    while (i < config->flag_count && config->flags[i].setting != setting)
        i++;
    config->flags[i] = (struct config_flag){setting, text};
    if (i == config->flag_count)
        config->flag_count++;
}

/* Deals with the flag at arguments[i]; returns how many arguments it took (0: not one of ours) or an error.
 */
static int parse_one(struct config *config, int i, struct err *err)
{
    const char *text = config->arguments[i];
    struct argument argument;

    if (!take_apart(text, &argument))
        return 0;
    const struct common_flag *common = find_common(config->program, &argument);
    const struct setting *setting = common ? NULL : find_setting(config->program, &argument);
    if (!common && !setting)
        return 0;
    bool takes_value = setting || common->value;
    if (!takes_value && argument.value)
        return err_set(err, ERR_USAGE, "%s: this flag takes no value", text);
    const char *value = argument.value;
    int taken = 1;
    if (takes_value && !value) {
        value = config->arguments[i + 1];
        if (!value)
            return err_set(err, ERR_USAGE, "%s: a value is missing behind this flag", text);
        taken = 2;
    }
    if (setting)
        remember(config, setting, value);
    int rc = common ? apply_common(config, common, value, err) : 0;
    return rc < 0 ? rc : taken;
}

int config_parse_flags(struct config *config, bool *kept, struct err *err)
{
    bool verb_seen = false;
    int i = 1;

    while (i < config->argument_count) {
        const char *text = config->arguments[i];
        if (strcmp(text, "--") == 0) {
            for (i++; i < config->argument_count; i++)
                kept[i] = true;
            return 0;
        }
        int taken = parse_one(config, i, err);
        if (taken < 0)
            return taken;
        bool is_flag = text[0] == '-' && text[1] != '\0';
        if (taken == 0 && is_flag && !verb_seen)
            return err_set(err, ERR_USAGE, "%s: unknown flag; see %s --help", text,
                           schema_program_name(config->program));
        if (taken == 0) {
            kept[i] = true;
            verb_seen = true;
            taken = 1;
        }
        i += taken;
    }
    return 0;
}

int config_no_more(int argc, char **argv, int from, struct err *err)
{
    if (from < argc)
        return err_set(err, ERR_USAGE, "%s: not understood here; see --help", argv[from]);
    return 0;
}

static void print_flag(char letter, const char *name, const char *value, const char *doc,
                       const char *fallback)
{
    char head[96];

    snprintf(head, sizeof head, "%c%c%s--%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
             letter ? ", " : "  ", name, value ? " " : "", value ? value : "");
    printf("  %-34s %s", head, doc);
    if (fallback && *fallback)
        printf(" (default %s)", fallback);
    printf("\n");
}

void config_print_flags(enum program program)
{
    static const char *const value_names[] = {[SETTING_TEXT] = "TEXT",
                                              [SETTING_PATH] = "PATH",
                                              [SETTING_BYTES] = "SIZE",
                                              [SETTING_DURATION] = "TIME",
                                              [SETTING_COUNT] = "COUNT"};
    size_t n;
    const struct setting *list = schema_settings(program, &n);

    for (size_t i = 0; i < sizeof common_flags / sizeof *common_flags; i++) {
        const struct common_flag *flag = &common_flags[i];
        if (flag->doc && (flag->only < 0 || flag->only == (int)program))
            print_flag(flag->letter, flag->name, flag->value, flag->doc, NULL);
    }
    printf("\nSettings (mail-analytics.conf(5) has them all):\n");
    for (size_t i = 0; i < n; i++)
        if (*list[i].flag)
            print_flag(list[i].letter, list[i].flag, value_names[list[i].type], list[i].doc,
                       list[i].fallback);
}
