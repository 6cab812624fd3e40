/* SPDX-License-Identifier: Apache-2.0
 *
 * describe: prints the table of settings as the body of a sample file or of the manual page (mdoc), for
 * tools/generate. Not installed. Usage: config_describe conf|mdoc policy-proxy|mail-analytics
 */
#include "schema.h"

#include <stdio.h>

static const char *const type_names[] = {[SETTING_TEXT] = "text",
                                         [SETTING_PATH] = "path",
                                         [SETTING_BYTES] = "size",
                                         [SETTING_DURATION] = "time",
                                         [SETTING_COUNT] = "count"};

/* Comment lines of at most 100 columns. */
static void print_comment(const char *text)
{
    size_t column = 0;
    struct slice rest = slice_of(text), word;

    while (slice_split(&rest, ' ', &word)) {
        if (column == 0 || column + word.n + 1 > 100)
            column = (size_t)printf("%s#", column ? "\n" : "") - (column ? 1 : 0);
        column += (size_t)printf(" %.*s", (int)word.n, word.p);
    }
    printf("\n");
}

static void describe_conf(const struct setting *setting)
{
    printf("\n");
    print_comment(setting->doc);
    printf("#%s =%s%s\n", setting->key, *setting->fallback ? " " : "", setting->fallback);
}

/* A full stop or a backslash in the wrong place would be a request to mdoc. */
static void print_roff(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c == '\\')
            printf("\\e");
        else if (*c == '-')
            printf("\\-");
        else if (*c == '`')
            printf("\\(ga");
        else
            putchar(*c);
}

static void describe_mdoc(const struct setting *setting)
{
    printf(".It Ic %s No = Ar %s\n", setting->key, type_names[setting->type]);
    print_roff(setting->doc);
    printf(".\n");
    if (setting->rule.choices) {
        struct slice rest = slice_of(setting->rule.choices), choice;
        printf("One of");
        for (const char *before = " "; slice_split(&rest, '|', &choice); before = ", ")
            printf("%s%.*s", before, (int)choice.n, choice.p);
        printf(".\n");
    }
    if (*setting->fallback) {
        printf("Default:\n.Li ");
        print_roff(setting->fallback);
        printf(" .\n");
    }
    if (*setting->flag) {
        printf("Flag:\n.Fl \\-");
        print_roff(setting->flag);
        if (setting->letter)
            printf(" , Fl %c", setting->letter);
        printf(" .\n");
    }
}

int main(int argc, char **argv)
{
    enum program program = PROGRAM_POLICY_PROXY;
    size_t n;

    if (argc != 3)
        return 64;
    if (strcmp(argv[2], schema_program_name(program)) != 0)
        program = PROGRAM_MAIL_ANALYTICS;
    const struct setting *list = schema_settings(program, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(argv[1], "mdoc") == 0)
            describe_mdoc(&list[i]);
        else
            describe_conf(&list[i]);
    return 0;
}
