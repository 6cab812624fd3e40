/* SPDX-License-Identifier: Apache-2.0
 *
 * cli: the table of verbs, their flags, and how a verb's failure leaves the program. See cli.h.
 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

static const struct verb {
    const char *name, *summary, *usage;
    int (*run)(struct cli *cli);
} verbs[] = {
#define VERB(name, summary, usage) {#name, summary, usage, verb_##name},
#include "verbs.def"
#undef VERB
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static void print_overview(void)
{
    printf("usage: mail-analytics [flags] VERB [...]\n\nverbs (mail-analytics help VERB says more):\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        printf("  %-8s %s\n", verbs[i].name, verbs[i].summary);
    printf("\nflags:\n");
    config_print_flags(PROGRAM_MAIL_ANALYTICS);
}

static void print_usage(const struct verb *verb)
{
    printf("mail-analytics %s: %s\n\nusage: %s", verb->name, verb->summary, verb->usage);
}

int verb_help(struct cli *cli)
{
    const char *name = NULL;
    size_t n;
    int rc = cli_flags(cli, NULL, 0, &name, 1, &n);
    const struct verb *verb = n > 0 ? find_verb(name) : NULL;
    if (rc == 0 && n > 0 && verb == NULL)
        return cli_fail(cli, ERR_USAGE, "there is no verb '%s': `mail-analytics help` lists them", name);
    if (rc == 0 && verb != NULL)
        print_usage(verb);
    else if (rc == 0)
        print_overview();
    return rc;
}

int cli_run(const struct config *config, int argc, char **argv)
{
    const struct config_request *request = config_request(config);
    const struct verb *verb = argc > 1 ? find_verb(argv[1]) : NULL;
    if (argc == 1 && request->command != CONFIG_COMMAND_NONE)
        verb = find_verb("serve"); /* as earlier versions were started */
    if (request->help) {
        if (verb != NULL)
            print_usage(verb);
        else
            print_overview();
        return EX_OK;
    }
    if (verb == NULL) {
        fprintf(stderr, "mail-analytics: %s%.40s%s\n", argc > 1 ? "there is no verb '" : "a verb is missing",
                argc > 1 ? argv[1] : "",
                argc > 1 ? "': `mail-analytics help` lists them" : ": try `mail-analytics help`");
        return EX_USAGE;
    }
    struct cli cli = {.config = config,
                      .settings = config_hub(config),
                      .verb = verb->name,
                      .argc = argc > 1 ? argc - 2 : 0,
                      .argv = argv + 2};
    int rc = verb->run(&cli);
    if (rc == 0 && fflush(stdout) != 0)
        rc = cli_fail(&cli, ERR_IO, "standard output can't be written (%s)", strerror(errno));
    if (rc != 0) {
        cli.err.code = rc;
        fprintf(stderr, "mail-analytics: %s\n", err_detail(&cli.err));
    }
    return err_exit_status(rc);
}

int cli_fail(struct cli *cli, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cli->err.code = code;
    (void)vsnprintf(cli->err.detail, sizeof cli->err.detail, fmt, args);
    va_end(args);
    return code;
}

static int take_flag(struct cli *cli, struct flag *flags, size_t count, int *at)
{
    const char *word = cli->argv[*at] + 2, *equals = strchr(word, '=');
    size_t n = equals != NULL ? (size_t)(equals - word) : strlen(word);
    struct flag *flag = NULL;
    for (size_t i = 0; i < count && flag == NULL; i++)
        if (strlen(flags[i].name) == n && memcmp(flags[i].name, word, n) == 0)
            flag = &flags[i];
    if (flag == NULL)
        return cli_fail(cli, ERR_USAGE, "%s doesn't know --%.*s: try `mail-analytics help %s`", cli->verb,
                        n < 40 ? (int)n : 40, word, cli->verb);
    if ((flag->type != FLAG_LIST && flag->count > 0) || flag->count == FLAG_VALUES)
        return cli_fail(cli, ERR_USAGE, "--%s is given too often", flag->name);
    if (flag->type == FLAG_TRUE) {
        flag->count++;
        return equals == NULL ? 0 : cli_fail(cli, ERR_USAGE, "--%s takes no value", flag->name);
    }
    if (equals == NULL && *at + 1 >= cli->argc)
        return cli_fail(cli, ERR_USAGE, "--%s needs a value", flag->name);
    flag->values[flag->count++] = equals != NULL ? equals + 1 : cli->argv[++*at];
    return 0;
}

int cli_flags(struct cli *cli, struct flag *flags, size_t count, const char **operands, size_t max,
              size_t *operand_count)
{
    bool only_operands = false;
    int rc = 0;
    *operand_count = 0;
    for (int i = 0; rc == 0 && i < cli->argc; i++) {
        const char *word = cli->argv[i];
        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = true;
        else if (!only_operands && strcmp(word, "--json") == 0)
            cli->json = true;
        else if (!only_operands && word[0] == '-' && word[1] == '-')
            rc = take_flag(cli, flags, count, &i);
        else if (!only_operands && word[0] == '-' && word[1] != '\0')
            rc = cli_fail(cli, ERR_USAGE, "%s doesn't know %.40s: try `mail-analytics help %s`", cli->verb,
                          word, cli->verb);
        else if (*operand_count == max)
            rc = cli_fail(cli, ERR_USAGE, "'%.60s' is one word too many: try `mail-analytics help %s`", word,
                          cli->verb);
        else
            operands[(*operand_count)++] = word;
    }
    return rc;
}

int cli_read(struct cli *cli, const char *path, size_t limit, struct buf *out)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    if (file == NULL)
        return err_errno(&cli->err, errno, "%s can't be read", path);
    int rc = 0;
    buf_init(out, limit + 1);
    for (size_t n = 1; rc == 0 && n > 0; out->n += n)
        if ((rc = buf_reserve(out, out->limit - out->n < 65536 ? out->limit - out->n : 65536)) == 0)
            n = fread(out->p + out->n, 1, out->capacity - out->n, file);
        else
            n = 0;
    if (rc == 0 && ferror(file))
        rc = err_errno(&cli->err, errno, "%s can't be read", path);
    else if (rc == 0 && out->n > limit)
        rc = cli_fail(cli, ERR_LIMIT, "%s is longer than %zu bytes: split it", path, limit);
    if (!standard)
        (void)fclose(file);
    return rc;
}

void cli_print_json(const json_t *document)
{
    (void)json_dumpf(document, stdout, JSON_COMPACT);
    (void)putchar('\n');
}
